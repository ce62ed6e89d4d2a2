"""Reading stored features into training batches, against a bare np.load loop over the same files.

    python benchmarks/read_features.py [--videos 1000] [--folder FOLDER]

Writes simulated features (n about 700, d 2,048, float16, both streams: 5.7 GB for 1,000 videos) into FOLDER
where they are not there yet, reads them once to have them in the page cache, then times both ways in turn.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from tsrnet.datasets.datamodule import VideoDataModule
from tsrnet.datasets.records import VideoDataset
from tsrnet.features.store import FeatureStore
from tsrnet.synthetic.drawn_annotations import drawn_collection, published_statistics
from tsrnet.synthetic.simulated import (
    SimulatedStore,
    SimulationSettings,
    store_features,
)

STREAMS = ("rgb", "flow")
ROUNDS = 3


def bare(files: list[Path]) -> None:
    for path in files:
        np.load(path)


def epoch(dataset: VideoDataset, store: FeatureStore, stream: str) -> None:
    data = VideoDataModule(dataset, store, stream=stream, batch_size=16)
    for batch in data.train_dataloader():
        assert batch.videos.mask.any()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--videos", type=int, default=1000)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    whole = drawn_collection("activitynet", seed=0, statistics=published_statistics("activitynet"))
    records = whole.train[:: len(whole.train) // arguments.videos][: arguments.videos]
    dataset = VideoDataset(whole.name, whole.classes, records, (), whole.videos)
    source = SimulatedStore(records, SimulationSettings(seed=0), trimmed=False)
    with tempfile.TemporaryDirectory() as temporary:
        store = store_features(source, STREAMS, arguments.folder or Path(temporary))
        files = {s: [store.path(s, record.id) for record in records] for s in STREAMS}
        size = sum(path.stat().st_size for paths in files.values() for path in paths)
        lengths = [source.shape(record.id)[0] for record in records]
        print(f"{len(records)} videos, {size / 1e9:.2f} GB, mean n {np.mean(lengths):.0f}")
        bare(files["rgb"] + files["flow"])
        for _ in range(ROUNDS):
            start = time.perf_counter()
            bare(files["rgb"] + files["flow"])
            middle = time.perf_counter()
            for stream in STREAMS:
                epoch(dataset, store, stream)
            end = time.perf_counter()
            rates = size / 1e9 / np.array([middle - start, end - middle])
            print(
                f"np.load {rates[0]:.2f} GB/s, batches {rates[1]:.2f} GB/s, ratio {rates[1] / rates[0]:.2f}"
            )


if __name__ == "__main__":
    main()
