"""What predictions are scored against, from ActivityNet's JSON layout or THUMOS14's text files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from tsrnet.core.errors import UserError
from tsrnet.datasets.records import (
    Segment,
    VideoRecord,
    activitynet_records,
    check_records,
    labels_of,
    read_database,
)
from tsrnet.datasets.thumos14 import AMBIGUOUS, CLASS_NUMBERS, class_files, left_out_of, split_ambiguous
from tsrnet.metrics.detection import Segments
from tsrnet.metrics.predictions import GroundTruth
from tsrnet.metrics.protocols import Protocol


def read_ground_truth(path: Path, protocol: Protocol, subset: str | None = None) -> GroundTruth:
    """The annotated videos of a subset (default: the protocol's).

    `path` is a JSON file in ActivityNet's layout, or a folder with THUMOS14's class files, directly or
    below. Raises UserError for a file that is wrong or has no such subset.
    """
    subset = subset or protocol.subset
    if path.is_dir():
        segments = class_files(path, subset)
        records: Iterable[VideoRecord] = [
            VideoRecord(video, subset, None, labels_of(found), tuple(found))
            for video, found in sorted(segments.items())
        ]
    else:
        read = list(activitynet_records(path, read_database(path)))
        records = [record for record in read if record.subset.lower() == subset.lower()]
        if not records:
            there = ", ".join(sorted({record.subset for record in read})) or "none"
            raise UserError(f"{path}: got no video of the subset {subset!r}, it has: {there}; give subset=")
    return ground_truth(check_records(path, map(split_ambiguous, records)).records, protocol)


def ground_truth(records: Sequence[VideoRecord], protocol: Protocol) -> GroundTruth:
    """Of the records of a test set; classes are those that occur."""
    ignored = left_out_of(protocol.test_list) if protocol.test_list else {}
    kept = [record for record in records if record.id not in ignored]
    classes = tuple(sorted({label for record in kept for label in record.labels} - {AMBIGUOUS}))
    label = {name: index for index, name in enumerate(classes)} | {AMBIGUOUS: -1}

    def columns(segments: Iterable[tuple[int, Segment]]) -> Segments:
        return Segments.of([(video, label[s.label], s.start_s, s.end_s, 0.0) for video, s in segments])

    return GroundTruth(
        classes,
        tuple(record.id for record in kept),
        columns((video, s) for video, record in enumerate(kept) for s in record.segments),
        columns((video, s) for video, record in enumerate(kept) for s in record.ambiguous),
        ignored,
        {name: number for name, number in CLASS_NUMBERS.items() if name in label},
    )
