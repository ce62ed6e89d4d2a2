"""Annotation records, the same for every dataset, and ActivityNet's JSON layout."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tsrnet.errors import UserError
from tsrnet.files import check_id


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
    """A video of a dataset with its temporal annotations (for evaluation only)."""

    id: str
    subset: str
    duration_s: float
    labels: tuple[str, ...]
    segments: tuple[Segment, ...]

    def without_segments(self) -> LabelledVideo:
        return LabelledVideo(self.id, self.labels)


@dataclass(frozen=True)
class Collection:
    """The videos of a dataset: its name, classes in order, training and test records, folder.

    Files are `<videos>/<id><suffix>`.
    """

    name: str
    classes: tuple[str, ...]
    train: tuple[VideoRecord, ...]
    test: tuple[VideoRecord, ...]
    videos: Path
    suffix: str = ".mp4"

    def path(self, video_id: str) -> Path:
        return self.videos / f"{check_id(video_id)}{self.suffix}"


def read_activitynet_json(path: Path) -> tuple[VideoRecord, ...]:
    """Records of a file in ActivityNet's layout; UserError when it is missing or malformed."""
    if not path.is_file():
        raise UserError(f"{path}: there is no such annotation file; give dataset.annotations")
    try:
        database = json.loads(path.read_text())["database"]
        records = []
        for video_id, entry in database.items():
            segments = tuple(
                Segment(float(a["segment"][0]), float(a["segment"][1]), str(a["label"]))
                for a in entry["annotations"]
            )
            labels = tuple(sorted({segment.label for segment in segments}))
            records.append(
                VideoRecord(check_id(video_id), entry["subset"], float(entry["duration"]), labels, segments)
            )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path}: is not in ActivityNet's layout ({error!r}); need database/id/annotations"
        ) from error
    return tuple(records)


def classes_of(records: tuple[VideoRecord, ...]) -> tuple[str, ...]:
    """The labels that occur, sorted."""
    return tuple(sorted({label for record in records for label in record.labels}))
