"""Localisation of a whole benchmark from kept activations, and scoring: time and memory.

    python benchmarks/localize.py [--videos 4926] [--classes 200] [--snippets 700] [--all-classes]

Activations of both streams are drawn (a few bumps a video over noise), written, and localised by the
paper's rule. `--all-classes` localises every class of every video instead of those of probability 0.1.
Then the detections are scored against random ground truth.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from tsrnet.evaluation.localize_videos import localize_videos
from tsrnet.evaluation.predictions import PredictionStore, PredictionWriter, VideoPredictions
from tsrnet.localization.settings import LocalizationSettings
from tsrnet.metrics.detection import Segments
from tsrnet.metrics.protocols import PROTOCOLS
from tsrnet.video.time_grid import TimeGrid


def drawn(arguments: argparse.Namespace, seed: int) -> Iterator[VideoPredictions]:
    rng = np.random.default_rng(seed)
    noise = rng.normal(-3, 1, (arguments.snippets, arguments.classes)).astype(np.float16)
    times = np.arange(arguments.snippets)
    for number in range(arguments.videos):
        centres = rng.uniform(0, arguments.snippets, 3)
        bumps = np.exp(-(((times[:, None] - centres) / 30) ** 2)).sum(axis=1)
        activations = np.roll(noise, number, axis=0).copy()
        activations[:, number % arguments.classes] += (6 * bumps).astype(np.float16)
        logits = (2 * bumps + rng.normal(0, 0.2, len(times)))[:, None].astype(np.float32)
        powers = np.exp(logits - logits.max())
        probabilities = np.full(arguments.classes, 0.1 / arguments.classes, np.float32)
        probabilities[number % arguments.classes] += 0.9
        yield VideoPredictions(f"video_{number}", probabilities, logits, powers / powers.sum(), activations)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--videos", type=int, default=4926)
    parser.add_argument("--classes", type=int, default=200)
    parser.add_argument("--snippets", type=int, default=700)
    parser.add_argument("--all-classes", action="store_true")
    arguments = parser.parse_args()
    settings = LocalizationSettings(min_probability=0.0 if arguments.all_classes else 0.1)
    with tempfile.TemporaryDirectory() as folder:
        strategy = SimpleNamespace(broadcast=lambda path: path, barrier=lambda: None)
        one_process: Any = SimpleNamespace(strategy=strategy, is_global_zero=True)
        stores = {stream: PredictionStore(Path(folder) / stream) for stream in ("rgb", "flow")}
        start = time.perf_counter()
        for seed, store in enumerate(stores.values()):
            order = [f"video_{number}" for number in range(arguments.videos)]
            writer = PredictionWriter(store, order=order, identity={})
            writer.on_predict_start(one_process, None)
            for video in drawn(arguments, seed):
                writer.write_on_batch_end(one_process, None, [video])
            writer.on_predict_end(one_process, None)
        num_bytes = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
        print(f"drawn and written: {num_bytes / 1e9:.2f} GB, {time.perf_counter() - start:.0f} s")
        start = time.perf_counter()
        rows = [
            np.stack([np.full(len(r.runs.label), number), *vars(r.runs).values()], axis=1)
            for number, r in enumerate(
                localize_videos(stores, settings, grid_of=lambda name, length: TimeGrid())
            )
        ]
        seconds = time.perf_counter() - start
    table = np.concatenate(rows)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"localised: {arguments.videos} videos x {arguments.classes} classes x {arguments.snippets} snippets,"
        f" {len(table)} segments, {seconds:.1f} s ({num_bytes / seconds / 1e9:.2f} GB/s), peak {peak:.2f} GB"
    )
    rng = np.random.default_rng(2)
    starts = rng.uniform(0, arguments.snippets - 50, 2 * arguments.videos)
    video = np.repeat(np.arange(arguments.videos), 2)
    truth = Segments(video, video % arguments.classes, starts, starts + 50, 0 * starts)
    found = Segments(table[:, 0].astype(int), table[:, 1].astype(int), *table[:, 2:].T)
    start = time.perf_counter()
    figures = PROTOCOLS["activitynet"].detection_metrics(
        found, truth, tuple(map(str, range(arguments.classes)))
    )
    print(f"scored: {time.perf_counter() - start:.2f} s, average mAP {figures['average_mAP']:.3f}")


if __name__ == "__main__":
    main()
