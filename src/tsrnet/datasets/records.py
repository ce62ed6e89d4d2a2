"""Annotation records, the same for every dataset, how they are checked, and ActivityNet's JSON layout."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from tsrnet.core.errors import UserError
from tsrnet.core.files import check_id


@dataclass(frozen=True)
class Segment:
    """An annotated instance, in seconds."""

    start_s: float
    end_s: float
    label: str


@dataclass(frozen=True)
class LabelledVideo:
    """All that training may know of a video: its id and its video-level labels."""

    id: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class VideoRecord:
    """A video of a dataset with its temporal annotations (for evaluation only).

    `duration_s` is None where the dataset does not say it (trimmed clips). `ambiguous` holds the
    segments that are marked as unclear: they belong to no class and are never labels.
    """

    id: str
    subset: str
    duration_s: float | None
    labels: tuple[str, ...]
    segments: tuple[Segment, ...]
    fps: float | None = None
    ambiguous: tuple[Segment, ...] = ()

    def without_segments(self) -> LabelledVideo:
        return LabelledVideo(self.id, self.labels)


@dataclass(frozen=True)
class VideoDataset:
    """The videos of a dataset: its name, classes in order, training and test records, folder.

    Files are `<videos>/<id><suffix>`, or `<videos>/<folders[id]>/<id><suffix>` for ids in `folders`.
    `remarks` says in one sentence each what was odd or left out when the annotations were read.
    """

    name: str
    classes: tuple[str, ...]
    train: tuple[VideoRecord, ...]
    test: tuple[VideoRecord, ...]
    videos: Path
    suffix: str = ".mp4"
    folders: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    def path(self, video_id: str) -> Path:
        return self.videos / self.folders.get(video_id, "") / f"{check_id(video_id)}{self.suffix}"

    def of_classes(self, classes: Sequence[str]) -> VideoDataset:
        """The training videos of these classes, with no other labels; nothing to test on."""
        kept = (
            replace(record, labels=tuple(label for label in record.labels if label in classes))
            for record in self.train
        )
        train = tuple(record for record in kept if record.labels)
        return replace(self, classes=tuple(sorted(classes)), train=train, test=())

    def held_out(self, share: float) -> VideoDataset:
        """A share of the training videos of each class, without segments, in place of the test videos.

        Which ones follows from their ids alone. Raises UserError where a side is empty.
        """
        order = sorted(self.train, key=lambda r: (r.labels, hashlib.sha256(r.id.encode()).hexdigest()))
        chosen = {
            record.id for i, record in enumerate(order) if math.floor((i + 1) * share) > math.floor(i * share)
        }
        if not 0 < len(chosen) < len(order):
            raise UserError(
                f"holdout: got {share} of {len(order)} training videos, which leaves a side empty"
            )
        train = tuple(record for record in self.train if record.id not in chosen)
        held = (record for record in self.train if record.id in chosen)
        return replace(
            self, train=train, test=tuple(replace(record, segments=(), ambiguous=()) for record in held)
        )


@dataclass(frozen=True)
class Annotations:
    """Checked records in the order of their file, and what is odd about them."""

    records: tuple[VideoRecord, ...]
    remarks: tuple[str, ...]


def read_activitynet_json(path: Path, *, classes: Sequence[str] | None = None) -> Annotations:
    """The checked records of a file in ActivityNet's layout; UserError as for `check_records`."""
    return check_records(path, activitynet_records(path, read_database(path)), classes=classes)


def check_records(
    path: Path, records: Iterable[VideoRecord], *, classes: Sequence[str] | None = None
) -> Annotations:
    """The records as they are, with a remark for each that is kept though it is odd.

    Odd are segments that are empty, exact duplicates, or outside the video. Raises UserError that names
    `path` and the video for a duplicate or unsafe id, a duration that is not above 0, an inverted
    segment, a time that is negative or not finite, and a label that is not among `classes`.
    """
    kept: dict[str, VideoRecord] = {}
    remarks: list[str] = []
    for record in records:
        where = f"{path}: video {record.id!r}"
        try:
            check_id(record.id)
        except UserError as error:
            raise UserError(f"{path}: {error}; rename the video") from error
        if record.id in kept:
            raise UserError(f"{where}: is listed twice, need each id once; remove one of the two")
        for name, value in (("duration", record.duration_s), ("fps", record.fps)):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise UserError(f"{where}: got {name} {value}, need a number above 0; correct it")
        if classes is not None:
            for label in record.labels:
                check_label(label, classes, where=where)
        for segment, count in Counter(record.segments + record.ambiguous).items():
            check_segment(segment, where=where)
            remarks += _oddities(record, segment, count)
        kept[record.id] = record
    return Annotations(tuple(kept.values()), tuple(remarks))


def check_segment(segment: Segment, *, where: str) -> None:
    """UserError that begins with `where` unless 0 <= start <= end, both finite."""
    if not 0 <= segment.start_s <= segment.end_s < math.inf:
        raise UserError(
            f"{where}: got segment {_text(segment)}, need finite seconds with 0 <= start <= end; correct it"
        )


def check_label(label: str, classes: Sequence[str], *, where: str) -> None:
    """UserError that begins with `where` and offers the nearest class, unless `label` is a class."""
    if label not in classes:
        nearest = get_close_matches(label, classes, n=1, cutoff=0)
        offer = f"; did you mean {nearest[0]!r}?" if nearest else ""
        raise UserError(f"{where}: got label {label!r}, need one of the {len(classes)} classes{offer}")


def _oddities(record: VideoRecord, segment: Segment, count: int) -> Iterable[str]:
    what = f"video {record.id!r}: segment {_text(segment)}"
    if count > 1:
        yield f"{what} is there {count} times."
    if segment.start_s == segment.end_s:
        yield f"{what} is empty."
    if record.duration_s is not None and segment.end_s > record.duration_s:
        verb = "begins" if segment.start_s > record.duration_s else "ends"
        yield f"{what} {verb} after the video's {record.duration_s:g} s."


def _text(segment: Segment) -> str:
    return f"{segment.start_s:.10g} to {segment.end_s:.10g} s of {segment.label!r}"


def read_text(path: Path) -> str:
    """The text of an annotation file; UserError when it is missing or no text."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise UserError(
            f"{path}: there is no such annotation file; put it there or correct the setting `annotations`"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: got no readable text ({error}); need an annotation file") from error


def read_json(path: Path) -> Any:
    """What a JSON file holds; UserError when it is no JSON or a key (a video) occurs twice."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        entries: dict[str, Any] = {}
        for key, value in pairs:
            if key in entries:
                raise UserError(f"{path}: {key!r} is listed twice, need each key once; remove one of the two")
            entries[key] = value
        return entries

    text = read_text(path)
    try:
        return json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: is no JSON file ({error}); get it again") from error


def read_database(path: Path) -> Mapping[str, Any]:
    """The entries by video id of a JSON file in ActivityNet's layout."""
    content = read_json(path)
    database = content.get("database") if isinstance(content, dict) else None
    if not isinstance(database, dict):
        raise UserError(
            f"{path}: is not in ActivityNet's layout; need database / id / duration, subset, annotations"
        )
    return database


def activitynet_records(path: Path, database: Mapping[str, Any]) -> Iterable[VideoRecord]:
    """Unchecked records of ActivityNet's entries; UserError that names the video that is malformed.

    Only videos of the subset "testing" may do without annotations.
    """
    for video_id, entry in database.items():
        try:
            subset = _name(entry["subset"])
            found = entry.get("annotations", []) if subset == "testing" else entry["annotations"]
            segments = tuple(_segment(annotation) for annotation in found)
            fps = None if entry.get("fps") is None else float(entry["fps"])
            duration_s = float(entry["duration"])
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            raise UserError(
                f"{path}: video {video_id!r}: is not in ActivityNet's layout ({error!r}); "
                "need duration, subset and annotations with label and segment [start, end]"
            ) from error
        yield VideoRecord(video_id, subset, duration_s, labels_of(segments), segments, fps)


def _segment(annotation: Any) -> Segment:
    start_s, end_s = annotation["segment"]
    return Segment(float(start_s), float(end_s), _name(annotation["label"]))


def _name(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise TypeError(f"got {value!r} for a name")
    return value


def read_table(path: Path, columns: Iterable[str]) -> list[dict[str, str]]:
    """The rows of a CSV file with a header; UserError when one of `columns` or a value lacks."""
    rows = csv.DictReader(io.StringIO(read_text(path)))
    if lacking := [name for name in columns if name not in (rows.fieldnames or ())]:
        raise UserError(f"{path}: got columns {rows.fieldnames}, need {lacking}; add them to the first line")
    table = []
    for row in rows:
        if not all(row[name] for name in columns):
            raise UserError(f"{path}, line {rows.line_num}: lacks a value; need {list(columns)}")
        table.append(row)
    return table


def labels_of(segments: Iterable[Segment]) -> tuple[str, ...]:
    """The labels of the segments, each once, sorted."""
    return tuple(sorted({segment.label for segment in segments}))


def classes_of(records: Iterable[VideoRecord]) -> tuple[str, ...]:
    """The labels that occur, sorted."""
    return tuple(sorted({label for record in records for label in record.labels}))
