"""THUMOS14: 200 validation videos to train on, and a named list of test videos."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from tsrnet.core.errors import UserError
from tsrnet.core.reading import read_json, read_table, read_text, reading
from tsrnet.core.settings import as_number, shown
from tsrnet.datasets.activitynet_layout import activitynet_records, read_database
from tsrnet.datasets.layouts.annotations import records_of_others
from tsrnet.datasets.records import (
    AMBIGUOUS,
    Segment,
    VideoDataset,
    VideoRecord,
    check_label,
    check_records,
    check_segment,
    labels_of,
    split_ambiguous,
)
from tsrnet.datasets.subsets import split_subsets, train_and_test

CLASS_NUMBERS = {
    "BaseballPitch": "7",
    "BasketballDunk": "9",
    "Billiards": "12",
    "CleanAndJerk": "21",
    "CliffDiving": "22",
    "CricketBowling": "23",
    "CricketShot": "24",
    "Diving": "26",
    "FrisbeeCatch": "31",
    "GolfSwing": "33",
    "HammerThrow": "36",
    "HighJump": "40",
    "JavelinThrow": "45",
    "LongJump": "51",
    "PoleVault": "68",
    "Shotput": "79",
    "SoccerPenalty": "85",
    "TennisSwing": "92",
    "ThrowDiscus": "93",
    "VolleyballSpiking": "97",
}
"""The 20 classes with temporal annotations, and their numbers among the 101 of the toolkits."""
CLASSES = tuple(CLASS_NUMBERS)
_TEST_LISTS = Path(__file__).parent / "data" / "thumos14_test_lists.json"
_FILES = {  # subset: ending of the class files, table of durations, meta file and what it holds
    "validation": ("val", "thumos14_valid_metadata.csv", "validation_set.mat", "validation_videos"),
    "test": ("test", "thumos14_test_metadata.csv", "test_set_meta.mat", "test_videos"),
}


def read_thumos14(
    annotations: Path, videos: Path, *, test_list: str = "210", weak_labels: str = "temporal"
) -> VideoDataset:
    """The validation videos with labels of the 20 classes, and the test videos of `test_list`.

    `annotations` is the folder with the official text files (TH14_Temporal_annotations_*) and
    thumos14_*_metadata.csv, or with those of W-TALC or BaS-Net, or a JSON file in ActivityNet's layout, whose
    subsets may have other names (OpenTAD: training, validation; see `split_subsets`). `test_list`: "210",
    "211", "212" or "213". `weak_labels`: labels are those of the annotations ("temporal") or of the .mat
    files that come with the videos ("meta"). Raises UserError when a file is missing or wrong.
    """
    left_out = left_out_of(test_list)
    if weak_labels not in ("temporal", "meta"):
        raise UserError(f"THUMOS14 weak_labels: got {weak_labels!r}, need temporal or meta")
    read = check_records(annotations, map(split_ambiguous, _records(annotations)), classes=CLASSES)
    parts = split_subsets(read.records)
    test = tuple(record for record in parts.test if record.id not in left_out)
    remarks = list(read.remarks)
    remarks += [f"video {r.id!r}: is left out, {left_out[r.id]}." for r in parts.test if r.id in left_out]
    if len(test) != int(test_list):
        remarks.append(f"{len(test)} of the {test_list} videos of the test list are annotated.")
    parts = replace(parts, test=test)
    if weak_labels == "meta":
        folder = annotations if annotations.is_dir() else annotations.parent
        labelled = [record for record in parts.train if record.labels]
        others = tuple(record for record in parts.train if not record.labels)  # of none of the 20 classes
        train = _with_meta_labels(folder, "validation", labelled, remarks) + others
        parts = replace(parts, train=train, test=_with_meta_labels(folder, "test", test, remarks))
    return train_and_test("thumos14", annotations, parts, videos, remarks, classes=CLASSES)


def _records(annotations: Path) -> Iterable[VideoRecord]:
    """Unchecked records of annotations in any of these forms."""
    if not annotations.is_dir():
        return activitynet_records(annotations, read_database(annotations))
    others = records_of_others(annotations)
    return _text_records(annotations) if others is None else others


def left_out_of(test_list: str) -> dict[str, str]:
    """{test video: reason} of the videos that a test list ("210", "211", "212", "213") leaves out."""
    lists = read_json(_TEST_LISTS)["left_out"]
    if test_list not in lists:
        raise UserError(f"THUMOS14 test_list: got {test_list!r}, need one of {', '.join(lists)}")
    return dict(lists[test_list])


def _text_records(folder: Path) -> Iterable[VideoRecord]:
    for subset, (_, table_name, _, _) in _FILES.items():
        segments = class_files(folder, subset)
        table = folder / table_name
        durations = _read_durations(table)
        for video_id in sorted(segments):
            if video_id not in durations:
                raise UserError(f"{table}: video {video_id!r}: its duration is missing; add a line for it")
            duration_s, fps = durations[video_id]
            found = tuple(segments[video_id])
            yield VideoRecord(video_id, subset, duration_s, labels_of(found), found, fps)


def class_file_subsets(folder: Path) -> list[str]:
    """The subsets whose class files are in the folder; UserError where there are none."""
    found = [
        subset for subset in _FILES if list(_class_folder(folder, subset).glob(f"*_{_FILES[subset][0]}.txt"))
    ]
    if not found:
        raise UserError(
            f"{folder}: holds no class files of THUMOS14; need {CLASSES[0]}_test.txt and so on, there or in"
            " TH14_Temporal_annotations_test/annotation"
        )
    return found


def _class_folder(folder: Path, subset: str) -> Path:
    below = folder / f"TH14_Temporal_annotations_{subset}" / "annotation"
    return folder if list(folder.glob(f"*_{_FILES[subset][0]}.txt")) else below


def class_files(folder: Path, subset: str) -> dict[str, list[Segment]]:
    """{video: segments} of the 20 class files and Ambiguous, in the folder or in TH14_* below it."""
    ending, lists = _FILES[subset][0], _class_folder(folder, subset)
    segments: dict[str, list[Segment]] = {}
    names = {path.name.removesuffix(f"_{ending}.txt") for path in lists.glob(f"*_{ending}.txt")}
    for name in sorted(names):
        check_label(name, (*CLASSES, AMBIGUOUS), where=f"{lists / name}_{ending}.txt")
    for name in (*CLASSES, AMBIGUOUS):  # a missing file is an error: a class would be lost
        _read_segments(lists / f"{name}_{ending}.txt", name, segments)
    return segments


def _read_segments(path: Path, label: str, segments: dict[str, list[Segment]]) -> None:
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            video_id, start, end = line.split()
            segment = Segment(as_number(start), as_number(end), label)
        except ValueError as error:
            raise UserError(f"{path}, line {number}: got {shown(line)}, need: video start end") from error
        check_segment(segment, where=f"{path}, line {number}: video {video_id!r}")
        segments.setdefault(video_id, []).append(segment)


def _read_durations(path: Path) -> dict[str, tuple[float, float]]:
    columns = ("filename", "video-duration", "fps")
    durations: dict[str, tuple[float, float]] = {}
    for row in read_table(path, columns):
        video_id = row["filename"].removesuffix(".mp4")
        if video_id in durations:
            raise UserError(f"{path}: video {video_id!r}: is listed twice; remove one of the two")
        try:
            durations[video_id] = as_number(row["video-duration"]), as_number(row["fps"])
        except ValueError as error:
            raise UserError(f"{path}: video {video_id!r}: {error}; need {', '.join(columns)}") from error
    return durations


def _with_meta_labels(
    folder: Path, subset: str, records: Iterable[VideoRecord], remarks: list[str]
) -> tuple[VideoRecord, ...]:
    _, _, name, variable = _FILES[subset]
    labels = _read_meta(folder / name, variable)
    changed = []
    for record in records:
        if record.id not in labels:
            raise UserError(
                f"{folder / name}: video {record.id!r}: is missing; need the file of all {subset} videos"
            )
        own = tuple(sorted(labels[record.id].intersection(CLASSES)))
        if own != record.labels:
            segments = ", ".join(record.labels) or "no class"
            remarks.append(
                f"video {record.id!r}: {name} says {', '.join(own) or 'no class'}, its segments {segments}."
            )
        changed.append(replace(record, labels=own))
    return tuple(changed)


def _read_meta(path: Path, variable: str) -> dict[str, set[str]]:
    """Primary and secondary actions by video id, of all 101 classes."""
    try:
        loadmat = import_module("scipy.io").loadmat
    except ImportError as error:
        raise UserError(f"{path}: reading this file needs scipy; pip install 'tsrnet[thumos]'") from error
    if not path.is_file():
        raise UserError(f"{path}: there is no such file; put it there or take weak_labels=temporal")
    with reading(path, f"THUMOS14's file with {variable}"):
        entries = loadmat(path, simplify_cells=True)[variable]
        return {entry["video_name"]: {entry["primary_action"], *_names(entry)} for entry in entries}


def _names(entry: Any) -> list[str]:
    names = entry["secondary_actions"]  # one name, or an array of none or several
    return [names] if isinstance(names, str) else list(names)
