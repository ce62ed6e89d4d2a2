"""What predictions are scored against, from ActivityNet's JSON layout or THUMOS14's text files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tsrnet.core.errors import UserError
from tsrnet.core.reading import read_json, read_text
from tsrnet.core.wording import listed
from tsrnet.datasets.activitynet_layout import activitynet_records, read_database
from tsrnet.datasets.records import (
    AMBIGUOUS,
    Segment,
    VideoRecord,
    check_records,
    classes_of,
    labels_of,
    split_ambiguous,
)
from tsrnet.datasets.subsets import SUBSETS, split_subsets
from tsrnet.datasets.thumos14 import CLASS_NUMBERS, class_file_subsets, class_files, left_out_of
from tsrnet.metrics.detection import Segments
from tsrnet.metrics.predictions import GroundTruth
from tsrnet.metrics.protocols import Protocol


def read_ground_truth(
    path: Path, protocol: Protocol, subset: str | None = None, *, videos: Path | None = None
) -> GroundTruth:
    """The annotated videos of a subset.

    Args:
        path: a JSON file in ActivityNet's layout, or a folder with THUMOS14's class files, directly or
            below.
        protocol: videos that are not in its list are left out.
        subset: its name in the file, or another of the same meaning (`SUBSETS`). None: the test subset of
            `split_subsets`, or that of the protocol.
        videos: file with the ids to score, one per line, as a JSON list, or in ActivityNet's layout. None:
            all of the subset.

    Raises:
        UserError: a file is wrong, has no such subset, or other videos than `protocol` or `videos` name.
    """
    database = {} if path.is_dir() else read_database(path)
    read = list(_text_records(path) if path.is_dir() else _outline(path, database))
    names = _subset_names(read, subset, protocol)
    records = [record for record in read if record.subset in names]
    if database:
        records = list(activitynet_records(path, {record.id: database[record.id] for record in records}))
    if not records:
        there = ", ".join(sorted({record.subset for record in read})) or "none"
        wanted = subset or protocol.subset
        raise UserError(f"{path}: got no video of the subset {wanted!r}, it has: {there}; give subset=SUBSET")
    records = list(check_records(path, map(split_ambiguous, records)).records)
    ignored = left_out_of(protocol.test_list) if protocol.test_list else {}
    ignored = {video: f"{video}: {reason}" for video, reason in ignored.items()}
    if videos is not None:
        chosen = _read_ids(videos, {record.id for record in records})
        ignored |= {r.id: f"{videos} does not list the video" for r in records if r.id not in chosen}
    kept = [record for record in records if record.id not in ignored]
    if not kept:
        raise UserError(f"{path}: got no video of {', '.join(names)} that is on the list of {protocol.name}")
    if protocol.num_videos not in (None, len(kept)):
        raise UserError(
            f"videos: got {len(kept):,} videos, {protocol.name} has {protocol.num_videos:,}; give"
            " videos=FILE with their ids, or another protocol"
        )
    elsewhere = {record.id: record.subset for record in read if record.subset not in names}
    truth = _ground_truth(kept, ignored, ", ".join(names), elsewhere)
    return truth if videos is None else replace(truth, only=str(videos))


def _outline(path: Path, database: Mapping[str, Any]) -> Iterable[VideoRecord]:
    """The subset of each entry, and whether it has labels: for most entries, nothing else is needed."""
    for video_id, entry in database.items():
        if not isinstance(entry, dict) or not isinstance(entry.get("subset"), str):
            yield from activitynet_records(path, {video_id: entry})  # raises an error that says what is wrong
        else:
            labels = ("any",) if entry.get("annotations") else ()
            yield VideoRecord(video_id, entry["subset"], None, labels, ())


def _text_records(folder: Path) -> Iterable[VideoRecord]:
    for subset in class_file_subsets(folder):
        for video, found in sorted(class_files(folder, subset).items()):
            yield VideoRecord(video, subset, None, labels_of(found), tuple(found))


def _subset_names(records: Sequence[VideoRecord], subset: str | None, protocol: Protocol) -> list[str]:
    """The names of the subset in the file: this name, or others of the same meaning."""
    if subset is None and (test := split_subsets(records).test):
        return sorted({record.subset for record in test})
    there = sorted({record.subset for record in records})
    if subset is None and len(there) == 1:  # reviewed annotations
        return there
    wanted = (subset or protocol.subset).lower()
    exactly = [name for name in there if name.lower() == wanted]
    meaning = SUBSETS.get(wanted)
    return exactly or [name for name in there if meaning and SUBSETS.get(name.lower()) == meaning]


def _read_ids(path: Path, known: set[str]) -> set[str]:
    """The ids of a list, without the v_ that many lists put before them."""
    text = read_text(path).strip()
    ids = text.splitlines()
    if text.startswith(("[", "{")):
        ids = read_json(path)
    if isinstance(ids, dict) and isinstance(ids.get("database"), dict):  # ActivityNet's layout
        ids = list(ids["database"])
    if not isinstance(ids, list) or not ids or not all(isinstance(video, str) for video in ids):
        raise UserError(f"{path}: is not a list of ids; need one id per line, or a JSON list")
    ids = [video.strip() for video in ids if video.strip()]
    found = {video if video in known else video.removeprefix("v_") for video in ids}
    if unknown := sorted(found - known):
        raise UserError(
            f"{path}: got {len(unknown):,} of {len(found):,} ids that the scored subset lacks, such as"
            f" {listed(unknown, most=3)}; need the list of this subset"
        )
    return found


def _ground_truth(
    records: Sequence[VideoRecord], ignored: dict[str, str], subset: str, elsewhere: dict[str, str]
) -> GroundTruth:
    """The ground truth of the records of a test set. Its classes are those that occur."""
    classes = classes_of(records)
    number = {name: index for index, name in enumerate(classes)} | {AMBIGUOUS: -1}

    def columns(segments: Iterable[tuple[int, Segment]]) -> Segments:
        return Segments.of([(video, number[s.label], s.start_s, s.end_s, 0.0) for video, s in segments])

    return GroundTruth(
        classes,
        tuple(record.id for record in records),
        columns((video, s) for video, record in enumerate(records) for s in record.segments),
        columns(
            (video, Segment(0, 1, name)) for video, record in enumerate(records) for name in record.labels
        ),
        columns((video, s) for video, record in enumerate(records) for s in record.ambiguous),
        ignored,
        {name: text for name, text in CLASS_NUMBERS.items() if name in number},
        subset,
        elsewhere,
    )
