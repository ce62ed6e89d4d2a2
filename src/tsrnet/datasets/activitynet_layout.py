"""JSON files in ActivityNet's layout, with segments or with labels only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from tsrnet.core.errors import UserError
from tsrnet.core.reading import as_kind, read_json
from tsrnet.core.settings import Name, Number, shown
from tsrnet.datasets.records import Annotations, Segment, VideoRecord, check_records
from tsrnet.datasets.subsets import SUBSETS


@dataclass(frozen=True)
class _Annotation:
    label: Name
    segment: tuple[Number, Number] = cast(Any, None)  # may be missing, but not be null


@dataclass(frozen=True)
class _Entry:
    subset: Name
    annotations: tuple[_Annotation, ...]
    duration: Number | None = None
    fps: Number | None = None


def read_activitynet_json(path: Path, *, classes: Sequence[str] | None = None) -> Annotations:
    """The checked records of a file in ActivityNet's layout; UserError as for `check_records`."""
    return check_records(path, activitynet_records(path, read_database(path)), classes=classes)


def read_database(path: Path) -> Mapping[str, Any]:
    """The entries by video id of a JSON file in ActivityNet's layout."""
    content = read_json(path)
    database = content.get("database") if isinstance(content, dict) else None
    if not isinstance(database, dict):
        raise UserError(f"{path}: is not in ActivityNet's layout; need database / id / subset, annotations")
    return database


def activitynet_records(
    path: Path, database: Mapping[str, Any], *, subset: str | None = None
) -> Iterable[VideoRecord]:
    """Unchecked records of ActivityNet's entries; UserError that names the video that is malformed.

    `duration`, `fps` and an annotation's `segment` may be missing: then there are labels only. Videos of the
    subset "testing" may lack annotations. `subset`: the subset of entries that name none; None: every entry
    must name one.
    """
    entries = {video_id: _complete(entry, subset) for video_id, entry in database.items()}
    try:  # all at once, which is three times faster
        read: dict[str, _Entry] = as_kind(dict[str, _Entry], entries, path)
    except UserError:
        read = {
            video_id: as_kind(_Entry, entry, f"{path}: video {shown(video_id)}")
            for video_id, entry in entries.items()
        }
    for video_id, one in read.items():
        labels = tuple(sorted({annotation.label for annotation in one.annotations}))
        segments = tuple(
            Segment(*annotation.segment, annotation.label)
            for annotation in one.annotations
            if annotation.segment is not None
        )
        yield VideoRecord(video_id, one.subset, one.duration, labels, segments, one.fps)


def _complete(entry: Any, subset: str | None) -> Any:
    """The entry with values for the keys that may be missing."""
    if not isinstance(entry, dict):
        return entry
    given = {"subset": subset, **entry} if subset is not None else entry
    if "annotations" not in given and SUBSETS.get(str(given.get("subset")).lower()) == "testing":
        return {"annotations": (), **given}
    return given
