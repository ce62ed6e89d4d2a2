"""Videos with labels and nothing else: a table `video,label` or a JSON file, and a folder of videos."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from tsrnet.core.errors import UserError
from tsrnet.core.reading import within
from tsrnet.core.wording import counted, listed
from tsrnet.datasets.activitynet_layout import activitynet_records, read_database
from tsrnet.datasets.class_folders import same_spelling
from tsrnet.datasets.label_table import LabelTable, read_label_table
from tsrnet.datasets.records import VideoDataset, VideoRecord, check_records, classes_of
from tsrnet.datasets.subsets import SUBSETS, split_subsets
from tsrnet.datasets.video_folder import VideoFolder, without_suffix


def read_labels(
    labels: Path, videos: Path | None, *, holdout: float = 0.25, name: str = "labels"
) -> VideoDataset:
    """The labelled videos of a folder; where no subset is for testing, a share of each class is held out.

    Args:
        labels: a table `video,label[,subset]` (see `read_label_table`), or a .json file in ActivityNet's
            layout, with segments or without. It names a video by its id, its file name or its path
            inside the folder; the id is this name without suffix, with _ for /.
        videos: the folder of the videos, folders below it included; None: there are features only.
        holdout: share of the videos to test on if `labels` has no test subset. The choice depends only on ids
            and labels; the videos keep their segments, if known.
        name: of the dataset.

    Raises:
        UserError: a file cannot be read or contradicts itself, there are fewer than two classes or fewer
            videos than classes, or the folder has no labelled video. What is odd or left out is in `remarks`.
    """
    table = _read_json(labels) if labels.suffix.lower() == ".json" else read_label_table(labels)
    folder = VideoFolder(videos) if videos else None
    joined, files = _join(labels, table.records, folder)
    if folder and not table.has_header:
        _check_first_row(labels, table.records, folder)
    read = check_records(labels, joined)
    parts = split_subsets(record for record in read.records if record.labels).check(labels, test=False)
    records = (*parts.train, *parts.test)
    classes = classes_of(records)
    _check_sizes(labels, len(records), classes)
    unlabelled = [record.id for record in read.records if not record.labels]
    remarks = [*table.remarks, *read.remarks, *parts.remarks]
    if unlabelled:
        remarks.append(f"{counted(len(unlabelled), 'video')} without a label left out: {listed(unlabelled)}.")
    if folder:
        remarks += _compare(folder, files, [record.id for record in records])
    remarks += [
        f"labels that differ in spelling only are different classes: {listed(names)}."
        for names in same_spelling(classes)
    ]
    understood = parts.understood if table.has_subsets else f"{counted(len(records), 'video')}, no subsets"
    dataset = VideoDataset(name, classes, parts.train, parts.test, videos or Path(), files)
    if not parts.test:
        with within(labels):
            dataset = dataset.held_out(holdout, segments=True)
        understood += f"; {len(dataset.test)} are held out to test (holdout={holdout:g})"
    for verb, side in (("train on", dataset.train), ("test on", dataset.test)):
        if absent := sorted(set(classes) - set(classes_of(side))):
            remarks.append(f"no video to {verb} for the classes {listed(absent)}.")
    return replace(dataset, remarks=tuple(remarks), understood=f"{understood}; {len(classes)} classes")


def _read_json(path: Path) -> LabelTable:
    database = read_database(path)
    has_subsets = any(isinstance(entry, dict) and "subset" in entry for entry in database.values())
    records = activitynet_records(path, database, subset=None if has_subsets else "training")
    return LabelTable(tuple(records), True, has_subsets, ())


def _check_first_row(path: Path, records: Sequence[VideoRecord], folder: VideoFolder) -> None:
    """UserError where the first row of a table may be a header with names that we do not know."""
    first, *others = (record.id for record in records)
    named_as_file = without_suffix(first) != first
    if named_as_file or _find(folder, first) or not any(_find(folder, name) for name in others):
        return
    raise UserError(
        f"{path}, line 1: got {first!r}, which is not a video in {folder.folder}; if the line is a header,"
        " write video,label; if it is a video, put the header video,label above it"
    )


def _join(
    path: Path, records: Iterable[VideoRecord], folder: VideoFolder | None
) -> tuple[list[VideoRecord], dict[str, Path]]:
    """One record per video, with all labels of its rows, and the files by id."""
    groups: dict[Path | str, list[VideoRecord]] = {}
    for record in records:
        parts = _inside(folder, record.id).split("/")
        if any(not part or part.startswith(".") for part in parts):
            raise UserError(
                f"{path}: got the video {record.id!r}, need an id, a file name or a path inside the folder of"
                " the videos, without leading dots"
            )
        video_id = without_suffix("_".join(parts))
        file = _find(folder, record.id) if folder else None
        groups.setdefault(file or video_id, []).append(replace(record, id=video_id))
    joined: dict[str, VideoRecord] = {}
    files: dict[str, Path] = {}
    for key, same in groups.items():
        first = same[0]
        if first.id in joined:
            raise UserError(
                f"{path}: got {str(files.get(first.id, first.id))!r} and {str(key)!r}, which would both have"
                f" the id {first.id!r}; rename one of them"
            )
        if len({SUBSETS.get(record.subset.lower(), record.subset) for record in same}) > 1:
            subsets = sorted({record.subset for record in same})
            raise UserError(f"{path}: video {first.id!r}: is in the subsets {listed(subsets)}, need one")
        joined[first.id] = replace(
            first,
            labels=tuple(sorted({label for record in same for label in record.labels})),
            segments=tuple(segment for record in same for segment in record.segments),
        )
        if isinstance(key, Path):
            files[first.id] = key
    return list(joined.values()), files


def _inside(folder: VideoFolder | None, name: str) -> str:
    """The name as a path inside the folder."""
    name = name.replace("\\", "/")
    if folder:
        for place in (folder.folder, folder.folder.absolute()):
            name = name.removeprefix(f"{place.as_posix()}/")
    return name.removeprefix("./")


def _find(folder: VideoFolder, name: str) -> Path | None:
    return folder.find(_inside(folder, name))


def _check_sizes(path: Path, num_videos: int, classes: Sequence[str]) -> None:
    if len(classes) < 2:
        raise UserError(f"{path}: got only the class {listed(classes)}, need at least two classes")
    if num_videos < len(classes):
        raise UserError(
            f"{path}: got {counted(num_videos, 'video')} of {len(classes)} classes, need at least as many"
            " videos; are the columns video and label swapped?"
        )


def _compare(folder: VideoFolder, files: dict[str, Path], ids: Sequence[str]) -> Iterable[str]:
    """What is only in the folder or only in the table; UserError where they have nothing in common."""
    if not folder.names:
        missing_what = "are no videos in it" if folder.folder.is_dir() else "is no such folder"
        yield f"{folder.folder}: there {missing_what}; only videos with features can be used."
        return
    missing = [video_id for video_id in ids if video_id not in files]
    if len(missing) == len(ids):
        raise UserError(
            f"{folder.folder}: got {listed(folder.names, most=3)}, need the labelled videos"
            f" {listed(missing, most=3)}; correct the folder, or the names in the table"
        )
    if missing:
        yield f"{counted(len(missing), 'video')} with a label not in {folder.folder}: {listed(missing)}."
    known = set(files.values())
    others = [name for name in folder.names if folder.folder / name not in known]
    if others:
        unlabelled = f"{counted(len(others), 'video')} without a label in {folder.folder}"
        yield f"{unlabelled} left out: {listed(others)}."
