"""Looks at every video and feature file of a dataset, for `tsrnet.check`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from tsrnet.core.progress import track
from tsrnet.core.workers import worker_pool
from tsrnet.datasets.records import VideoDataset
from tsrnet.features.store import FeatureStore
from tsrnet.pipeline.features import video_files
from tsrnet.video.video_file import Examined, ReadingSettings, examine


@dataclass(frozen=True)
class Stock:
    """`counts`: split -> state -> number of videos; `manifest`: the reason per video, as JSON."""

    counts: Mapping[str, Mapping[str, int]]
    manifest: Mapping[str, Any]


def take_stock(dataset: VideoDataset, store: FeatureStore, streams: Sequence[str]) -> Stock:
    """Open every video that is there and read the headers of all its features."""
    present = [video for video in video_files(dataset) if video.path.is_file()]
    found: dict[str, Examined] = {}
    if present:
        with worker_pool(0) as pool:
            results = pool.map(
                examine, present, timeout_s=ReadingSettings().timeout_s, lost=partial(Examined, 0)
            )
            what = f"videos of {dataset.name}"
            found = {file.id: state for file, state in track(results, total=len(present), what=what)}
    counts, manifest = {}, {}
    for split, videos in (("training", dataset.train), ("test", dataset.test)):
        reasons: dict[str, dict[str, str]] = {}
        tally = dict.fromkeys(
            (
                "annotated",
                "videos present",
                "videos missing",
                "videos unreadable",
                "videos shorter than annotated",
                "features present",
                "features missing or unusable",
            ),
            0,
        )
        for record in videos:
            tally["annotated"] += 1
            state = found.get(record.id)
            if state is None:
                tally["videos missing"] += 1
            elif state.problem:
                tally[f"videos {'shorter than annotated' if state.cut else 'unreadable'}"] += 1
            else:
                tally["videos present"] += 1
            problem = store.problem(record.id, streams)
            tally[f"features {'missing or unusable' if problem else 'present'}"] += 1
            video = state.problem if state else f"{dataset.path(record.id)}: no such file"
            said = {"video": video, "features": problem or ""}
            if any(said.values()):
                reasons[record.id] = {key: value for key, value in said.items() if value}
        counts[split] = tally
        manifest[split] = {"counts": tally, "reasons": reasons}
    return Stock(counts, {**manifest, "remarks": list(dataset.remarks)})
