"""The annotation files that other projects keep beside their features, as our records.

OpenTAD's and ActionFormer's JSON is in ActivityNet's layout, which `read_thumos14` (test_list="211" for
OpenTAD) and `read_activitynet` read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from tsrnet.core.errors import UserError
from tsrnet.core.object_arrays import read_npy
from tsrnet.core.reading import as_kind, read_text, reading
from tsrnet.core.settings import Positive, shown
from tsrnet.datasets.activitynet_layout import activitynet_records, read_database
from tsrnet.datasets.records import (
    Annotations,
    Segment,
    VideoDataset,
    VideoRecord,
    check_records,
    classes_of,
    listed,
)
from tsrnet.datasets.subsets import Parts, split_subsets
from tsrnet.datasets.thumos14 import split_ambiguous
from tsrnet.datasets.video_folder import VideoFolder

Value = TypeVar("Value")


def read_wtalc(annotations: Path, videos: Path, *, name: str = "thumos14") -> VideoDataset:
    """W-TALC's folder of .npy files; labels are its video-level ones (`labels_all`).

    In some videos a class of the segments is not among them; the remarks list these. Raises UserError where
    a file is missing or wrong.
    """
    classes = tuple(_texts(annotations, "classlist"))
    read = check_records(annotations, wtalc_records(annotations), classes=classes)
    more = [
        f"video {record.id!r}: its segments have {listed(sorted(others))}, which labels_all does not list."
        for record in read.records
        if (others := {segment.label for segment in record.segments} - set(record.labels))
    ]
    read = Annotations(read.records, (*read.remarks, *more))
    return _dataset(name, annotations, read, split_subsets(read.records), videos, classes)


def wtalc_records(folder: Path) -> list[VideoRecord]:
    """Unchecked records of W-TALC's folder, in the order of its features.

    `extracted_fps.npy` is not read: it says 10, and the features are those of 25 frames a second.
    """
    ids, subsets = _texts(folder, "videoname"), _texts(folder, "subset")
    if all(video_id.startswith("v_") for video_id in ids):  # files of ActivityNet have it, its ids do not
        ids = [video_id.removeprefix("v_") for video_id in ids]
    durations = _rows(folder, "duration", lambda row: float(np.ravel(row)[0]))
    labels = _rows(folder, "labels_all", lambda row: tuple(sorted({_text(label) for label in row})))
    classes = _rows(folder, "labels", lambda row: [_text(label) for label in row])
    times = _rows(folder, "segments", lambda row: [(float(start), float(end)) for start, end in row])
    counts = [len(column) for column in (ids, subsets, durations, labels, classes, times)]
    if len(set(counts)) > 1:
        raise UserError(
            f"{folder}: got {', '.join(map(str, counts))} videos in videoname, subset, duration, labels_all,"
            " labels and segments; need the files of one release"
        )
    records = []
    for i, video_id in enumerate(ids):
        if len(classes[i]) != len(times[i]):
            raise UserError(
                f"{folder}: video {video_id!r}: got {len(classes[i])} labels for {len(times[i])} segments;"
                " need one label for each, get labels.npy and segments.npy again"
            )
        segments = tuple(Segment(*span, label) for span, label in zip(times[i], classes[i], strict=True))
        records.append(VideoRecord(video_id, subsets[i], durations[i], labels[i], segments))
    return records


def _rows(folder: Path, name: str, convert: Callable[[Any], Value]) -> list[Value]:
    path = folder / f"{name}.npy"
    with reading(path, "in W-TALC's layout"):
        return [convert(row) for row in read_npy(path)]


def _texts(folder: Path, name: str) -> list[str]:
    return _rows(folder, name, _text)


def _text(value: Any) -> str:
    if not isinstance(value, bytes | str):
        raise ValueError(f"got {shown(value)} for a name")
    return value.decode() if isinstance(value, bytes) else str(value)


def read_basnet(annotations: Path, videos: Path, *, name: str = "thumos14") -> VideoDataset:
    """BaS-Net's folder: gt.json in ActivityNet's layout, and the ids of split_train.txt and split_test.txt.

    Raises UserError where a file is missing or wrong, or gt.json lacks a video of a list.
    """
    path = annotations / "gt.json"
    read = check_records(path, map(split_ambiguous, detection_records(path)))
    records = {record.id: record for record in read.records}
    train, test = (
        _of_list(annotations / f"split_{subset}.txt", path, records, subset) for subset in ("train", "test")
    )
    rest = sorted(records.keys() - {record.id for record in (*train, *test)})
    remarks = (*read.remarks, *([f"on neither list and left out: {listed(rest)}."] if rest else []))
    return _dataset(name, path, Annotations(read.records, remarks), Parts(train, test, {}), videos)


def _of_list(
    path: Path, source: Path, records: dict[str, VideoRecord], subset: str
) -> tuple[VideoRecord, ...]:
    ids = read_text(path).split()
    if lacking := [video_id for video_id in ids if video_id not in records]:
        raise UserError(f"{path}: {listed(lacking)} are missing in {source}; need files of one release")
    return tuple(replace(records[video_id], subset=subset) for video_id in ids)


def detection_records(path: Path) -> Iterable[VideoRecord]:
    """Unchecked records of a file in ActivityNet's layout; fps are its "fps", or "frame" / "duration"."""
    database = dict(read_database(path))
    for video_id, entry in database.items():
        if isinstance(entry, dict) and "fps" not in entry and {"frame", "duration"} <= entry.keys():
            where = f"{path}: video {shown(video_id)}"
            frames = as_kind(Positive, entry["frame"], f"{where}: frame")
            duration_s = as_kind(Positive, entry["duration"], f"{where}: duration")
            database[video_id] = entry | {"fps": frames / duration_s}
    yield from activitynet_records(path, database)


def _dataset(
    name: str,
    path: Path,
    read: Annotations,
    parts: Parts,
    videos: Path,
    classes: Sequence[str] | None = None,
) -> VideoDataset:
    remarks = [*read.remarks, *parts.remarks]
    remarks += [
        f"video {r.id!r}: has no label and is left out of training." for r in parts.train if not r.labels
    ]
    remarks += [f"video {r.id!r}: has no label and is still tested." for r in parts.test if not r.labels]
    train = tuple(record for record in parts.train if record.labels)
    parts = replace(parts, train=train).check(path)
    records = (*train, *parts.test)
    return VideoDataset(
        name,
        tuple(classes or classes_of(records)),
        train,
        parts.test,
        videos,
        VideoFolder(videos, "*").of_ids(record.id for record in records),
        tuple(remarks),
        parts.understood,
    )
