"""Which videos of a dataset are present: one table for training, checking and the manifest."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from tsrnet.core.files import atomic_path
from tsrnet.core.progress import track
from tsrnet.core.workers import worker_pool
from tsrnet.datasets.records import VideoDataset, VideoRecord
from tsrnet.features.store import FeatureStore
from tsrnet.video.video_file import Examined, ReadingSettings, VideoFile, examine

MANIFEST = "manifest.json"
_LISTED = 5


@dataclass(frozen=True)
class Availability:
    """All annotated videos of a dataset; `missing`: id -> why the features of a video cannot be used.

    `videos`: the result of opening each video file; None if they were not opened.
    """

    dataset: VideoDataset
    missing: Mapping[str, str] = field(default_factory=dict)
    videos: Mapping[str, Examined] | None = None

    @property
    def usable(self) -> VideoDataset:
        """The dataset without the videos whose features cannot be used."""
        return replace(
            self.dataset, train=self._usable(self.dataset.train), test=self._usable(self.dataset.test)
        )

    def _usable(self, records: Sequence[VideoRecord]) -> tuple[VideoRecord, ...]:
        return tuple(record for record in records if record.id not in self.missing)

    @property
    def splits(self) -> dict[str, tuple[VideoRecord, ...]]:
        return {"training": self.dataset.train, "test": self.dataset.test}

    def summary(self) -> str:
        """One line: how many videos of each split have features, and some of those that have none."""
        parts = [
            f"{len(self._usable(records))} of {len(records)} {split} videos"
            for split, records in self.splits.items()
        ]
        line = f"{self.dataset.name}: {' and '.join(parts)} have features"
        if self.missing:
            more = f" and {len(self.missing) - _LISTED} more" if len(self.missing) > _LISTED else ""
            line += f"; missing: {', '.join(list(self.missing)[:_LISTED])}{more}"
        return line

    def counts(self) -> dict[str, dict[str, int]]:
        """Split -> state -> number of videos; with the states of the video files if they were opened."""
        return {split: self._counts(records) for split, records in self.splits.items()}

    def _counts(self, records: Sequence[VideoRecord]) -> dict[str, int]:
        counts = {"annotated": len(records)}
        if self.videos is not None:
            found = Counter(_state(self.videos.get(record.id)) for record in records)
            counts |= {f"videos {name}": found[name] for name in _STATES}
        present = len(self._usable(records))
        return {**counts, "features present": present, "features missing or unusable": len(records) - present}

    def _reasons(self, record: VideoRecord) -> dict[str, str]:
        reasons = {"features": self.missing.get(record.id, "")}
        if self.videos is not None:
            examined = self.videos.get(record.id)
            absent = f"{self.dataset.path(record.id)}: there is no such file"
            reasons = {"video": examined.problem if examined else absent, **reasons}
        return {key: reason for key, reason in reasons.items() if reason}

    def manifest(self) -> dict[str, Any]:
        """For each split the counts and the reason of each video; the remarks on the annotations."""
        content: dict[str, Any] = {"remarks": list(self.dataset.remarks)}
        for split, records in self.splits.items():
            reasons = {record.id: found for record in records if (found := self._reasons(record))}
            content[split] = {"counts": self._counts(records), "reasons": reasons}
        return content

    def write(self, path: Path) -> None:
        """Write the manifest as JSON."""
        with atomic_path(path) as part:
            part.write_text(json.dumps(self.manifest(), indent=1))


_STATES = ("present", "missing", "unreadable", "shorter than annotated")


def _state(examined: Examined | None) -> str:
    if examined is None:
        return "missing"
    if not examined.problem:
        return "present"
    return "shorter than annotated" if examined.cut else "unreadable"


def find_features(
    dataset: VideoDataset,
    store: FeatureStore,
    streams: Sequence[str],
    failures: Mapping[str, str] | None = None,
) -> Availability:
    """Look at the headers of all feature files of a dataset, in the streams that a video must have.

    `failures`: video id -> why its features could not be extracted.
    """
    widths: dict[str, Counter[int]] = {stream: Counter() for stream in streams}
    missing: dict[str, str] = {}
    records = (*dataset.train, *dataset.test)
    for record in records:
        reason = (failures or {}).get(record.id) or store.problem(record.id, streams)
        if reason:
            missing[record.id] = reason
        else:
            for stream in streams:
                widths[stream][store.num_features(record.id, stream)] += 1
    if any(len(found) > 1 for found in widths.values()):  # the width of most files is the right one
        width = {stream: found.most_common(1)[0][0] for stream, found in widths.items()}
        for record in records:
            if record.id not in missing and (reason := store.problem(record.id, streams, num_features=width)):
                missing[record.id] = reason
    return Availability(dataset, missing)


def open_videos(availability: Availability) -> Availability:
    """Add the result of opening every video file; no frame is decoded."""
    dataset = availability.dataset
    present = [video for video in video_files(dataset) if video.path.is_file()]
    found: dict[str, Examined] = {}
    if present:
        with worker_pool(0) as pool:
            opened = pool.map(
                examine, present, timeout_s=ReadingSettings().timeout_s, lost=partial(Examined, 0)
            )
            what = f"videos of {dataset.name}"
            found = {file.id: state for file, state in track(opened, total=len(present), what=what)}
    return replace(availability, videos=found)


def video_files(dataset: VideoDataset) -> list[VideoFile]:
    """All videos of a dataset, present or not."""
    return [
        VideoFile(record.id, dataset.path(record.id), record.duration_s)
        for record in (*dataset.train, *dataset.test)
    ]
