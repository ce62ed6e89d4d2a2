"""Annotation records, the same for every dataset, and how they are checked."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path

from tsrnet.core.errors import UserError
from tsrnet.core.files import check_id
from tsrnet.core.settings import is_name, shown
from tsrnet.core.wording import listed

AMBIGUOUS = "Ambiguous"
"""THUMOS14's name for segments that are unclear."""
_COMPARED = 100
"""Characters of an unknown label that are compared to find the nearest class."""


@dataclass(frozen=True)
class Segment:
    """An annotated instance, in seconds."""

    start_s: float
    end_s: float
    label: str


@dataclass(frozen=True)
class LabelledVideo:
    """What training may know about a video: its id and its video-level labels."""

    id: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class VideoRecord:
    """A video of a dataset with its temporal annotations (for evaluation only).

    `duration_s` is None if the dataset does not have it (trimmed clips). `ambiguous` holds the segments
    that are marked as unclear. They belong to no class and are never labels.
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

    A file is `files[id]`, or `<videos>/<id>.mp4` for ids that are not in `files`. `remarks` has a sentence
    for everything unusual in the annotations and everything that was left out. `understood` is one line that
    says which videos train and which test.
    """

    name: str
    classes: tuple[str, ...]
    train: tuple[VideoRecord, ...]
    test: tuple[VideoRecord, ...]
    videos: Path
    files: Mapping[str, Path] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    understood: str = ""

    def path(self, video_id: str) -> Path:
        return self.files.get(check_id(video_id), self.videos / f"{video_id}.mp4")

    def of_classes(self, classes: Sequence[str]) -> VideoDataset:
        """The training videos of these classes, without other labels and without test videos."""
        kept = (
            replace(record, labels=tuple(label for label in record.labels if label in classes))
            for record in self.train
        )
        train = tuple(record for record in kept if record.labels)
        return replace(self, classes=tuple(sorted(classes)), train=train, test=())

    def held_out(self, share: float, *, segments: bool = False) -> VideoDataset:
        """A share of the training videos of each class in place of the test videos.

        With `segments` they keep their segments. The choice depends on ids and labels only, and no class
        loses its last training video. Raises UserError if no video is left to train or to test on.
        """
        order = sorted(self.train, key=lambda r: (r.labels, hashlib.sha256(r.id.encode()).hexdigest()))
        left = Counter(label for record in self.train for label in record.labels)
        chosen = set()
        for i, record in enumerate(order):
            due = math.floor((i + 1) * share) > math.floor(i * share)
            if due and all(left[label] > 1 for label in record.labels):
                chosen.add(record.id)
                left.subtract(record.labels)
        if not 0 < len(chosen) < len(order):
            raise UserError(
                f"holdout: got {share} of {len(order)} training videos, which leaves none to train or"
                " to test on; need more videos or another share (each class keeps one to train on)"
            )
        train = tuple(record for record in self.train if record.id not in chosen)
        test = tuple(record for record in self.train if record.id in chosen)
        if not segments:
            test = tuple(replace(record, segments=(), ambiguous=()) for record in test)
        return replace(self, train=train, test=test)


@dataclass(frozen=True)
class Annotations:
    """Checked records in the order of their file, and what is odd about them."""

    records: tuple[VideoRecord, ...]
    remarks: tuple[str, ...]


def check_records(
    path: Path, records: Iterable[VideoRecord], *, classes: Sequence[str] | None = None
) -> Annotations:
    """The unchanged records, with a remark on each one that is odd.

    Odd are empty segments, exact duplicates, segments outside the video, a label without a segment in a video
    that has some, and a segment of another label. Raises UserError that names `path` and the video for a
    duplicate or unsafe id, a duration that is not above 0, an inverted segment, a time that is negative or
    not finite, and a label that is not among `classes`.
    """
    kept: dict[str, VideoRecord] = {}
    remarks: list[str] = []
    for record in records:
        where = f"{path}: video {shown(record.id)}"
        if wrong := [name for name in (record.subset, *record.labels) if not is_name(name)]:
            raise UserError(f"{where}: got the name {shown(wrong[0])}, need a text in one line; correct it")
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
        if record.segments and (bare := set(record.labels) - set(labels_of(record.segments))):
            remarks.append(f"video {record.id!r}: no segment of its label {listed(sorted(bare))}.")
        if others := set(labels_of(record.segments)) - set(record.labels):
            remarks.append(f"video {record.id!r}: its labels lack {listed(sorted(others))} of its segments.")
        kept[record.id] = record
    return Annotations(tuple(kept.values()), tuple(remarks))


def split_ambiguous(record: VideoRecord) -> VideoRecord:
    """Move the Ambiguous segments of a record to `ambiguous`: they are no class."""
    if AMBIGUOUS not in record.labels:
        return record
    segments = tuple(segment for segment in record.segments if segment.label != AMBIGUOUS)
    ambiguous = tuple(segment for segment in record.segments if segment.label == AMBIGUOUS)
    labels = tuple(label for label in record.labels if label != AMBIGUOUS)
    return replace(record, labels=labels, segments=segments, ambiguous=ambiguous)


def check_segment(segment: Segment, *, where: str) -> None:
    """Raise UserError that begins with `where` unless 0 <= start <= end, both finite."""
    if not 0 <= segment.start_s <= segment.end_s < math.inf:
        raise UserError(
            f"{where}: got segment {_text(segment)}, need finite seconds with 0 <= start <= end; correct it"
        )


def check_label(label: str, classes: Sequence[str], *, where: str) -> None:
    """Raise UserError that begins with `where` and offers the nearest class, unless `label` is a class."""
    if label not in classes:
        nearest = get_close_matches(label[:_COMPARED], classes, n=1, cutoff=0)
        offer = f"; did you mean {nearest[0]!r}?" if nearest else ""
        raise UserError(f"{where}: got label {shown(label)}, need one of the {len(classes)} classes{offer}")


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
    return f"{segment.start_s:.10g} to {segment.end_s:.10g} s of {shown(segment.label)}"


def labels_of(segments: Iterable[Segment]) -> tuple[str, ...]:
    """The labels of the segments, each once, sorted."""
    return tuple(sorted({segment.label for segment in segments}))


def classes_of(records: Iterable[VideoRecord]) -> tuple[str, ...]:
    """The labels that occur, sorted."""
    return tuple(sorted({label for record in records for label in record.labels}))
