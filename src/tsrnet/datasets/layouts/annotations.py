"""The annotation files that other projects keep beside their features, as our records.

OpenTAD's and ActionFormer's JSON is in ActivityNet's layout, which `read_thumos14` (test_list="211" for
OpenTAD) and `read_activitynet` read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from tsrnet.core.errors import UserError
from tsrnet.core.object_arrays import read_npy
from tsrnet.core.reading import as_kind, read_text, reading
from tsrnet.core.settings import Positive, shown
from tsrnet.core.wording import listed
from tsrnet.datasets.activitynet_layout import activitynet_records, read_database
from tsrnet.datasets.records import Segment, VideoRecord

Value = TypeVar("Value")


def records_of_others(folder: Path) -> Iterable[VideoRecord] | None:
    """Unchecked records of a folder with W-TALC's .npy files or with BaS-Net's gt.json; None for another."""
    if (folder / "segments.npy").is_file():
        return wtalc_records(folder)
    return basnet_records(folder) if (folder / "gt.json").is_file() else None


def wtalc_records(folder: Path) -> list[VideoRecord]:
    """Unchecked records of W-TALC's folder, in the order of its features; labels are those of `labels_all`.

    `extracted_fps.npy` is not read: it says 10, but the features are from 25 frames per second.
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


def basnet_records(folder: Path) -> Iterable[VideoRecord]:
    """Unchecked records of gt.json; the subset of each is the list of ids that has it.

    Raises UserError where gt.json lacks a video of split_train.txt or split_test.txt.
    """
    path = folder / "gt.json"
    records = {record.id: record for record in detection_records(path)}
    subsets = dict.fromkeys(records, "on neither list")
    for subset in ("train", "test"):
        ids = read_text(folder / f"split_{subset}.txt").split()
        if lacking := [video_id for video_id in ids if video_id not in records]:
            place = folder / f"split_{subset}.txt"
            raise UserError(f"{place}: {listed(lacking)} are missing in {path}; need files of one release")
        subsets |= dict.fromkeys(ids, subset)
    return [replace(record, subset=subsets[video_id]) for video_id, record in records.items()]


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
