"""What is there of a dataset and what is not: the manifest of a feature store."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tsrnet.core.files import atomic_path
from tsrnet.datasets.records import VideoDataset, VideoRecord
from tsrnet.features.store import FeatureStore

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Inventory:
    """Videos of a dataset that cannot be used: id -> reason, for training and for test."""

    dataset: VideoDataset
    left_out: Mapping[str, str]

    @property
    def usable(self) -> VideoDataset:
        """The dataset without them."""
        return replace(
            self.dataset,
            train=self._without(self.dataset.train),
            test=self._without(self.dataset.test),
        )

    def _without(self, records: Sequence[VideoRecord]) -> tuple[VideoRecord, ...]:
        return tuple(record for record in records if record.id not in self.left_out)

    def summary(self) -> str:
        """One line: how many videos of each split are used."""
        usable = self.usable
        parts = [
            f"{len(used)} of {len(all_)} {split} videos"
            for split, used, all_ in (
                ("training", usable.train, self.dataset.train),
                ("test", usable.test, self.dataset.test),
            )
        ]
        return f"{self.dataset.name}: {' and '.join(parts)} have features"

    def write(self, path: Path) -> None:
        """The manifest as JSON: counts, the reason per video, remarks on the annotations."""
        splits = {"training": self.dataset.train, "test": self.dataset.test}
        content = {
            split: {
                "annotated": len(records),
                "used": len(self._without(records)),
                "left_out": {r.id: self.left_out[r.id] for r in records if r.id in self.left_out},
            }
            for split, records in splits.items()
        }
        with atomic_path(path) as part:
            part.write_text(json.dumps({**content, "remarks": list(self.dataset.remarks)}, indent=1))


def take_inventory(
    dataset: VideoDataset, store: FeatureStore, streams: Sequence[str], failures: Mapping[str, str]
) -> Inventory:
    """Look at the headers of all feature files of a dataset.

    Args:
        dataset, store: the videos and their features.
        streams: those that are needed.
        failures: video id -> why its features could not be extracted.
    """
    widths: Counter[int] = Counter()
    left_out: dict[str, str] = {}
    records = (*dataset.train, *dataset.test)
    for record in records:
        reason = failures.get(record.id) or store.problem(record.id, streams)
        if reason:
            left_out[record.id] = reason
        else:
            widths[store.num_features(record.id, streams[0])] += 1
    if len(widths) > 1:  # most files decide what is right
        width = widths.most_common(1)[0][0]
        for record in records:
            if record.id not in left_out and (
                reason := store.problem(record.id, streams, num_features=width)
            ):
                left_out[record.id] = reason
    return Inventory(dataset, left_out)
