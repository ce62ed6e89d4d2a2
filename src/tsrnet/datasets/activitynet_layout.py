"""JSON files in ActivityNet's layout, with segments or with labels only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tsrnet.core.errors import UserError
from tsrnet.datasets.annotation_files import read_json
from tsrnet.datasets.records import Annotations, Segment, VideoRecord, check_records
from tsrnet.datasets.subsets import SUBSETS


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

    `duration`, `fps` and an annotation's `segment` may be missing: then there are labels only. Videos of
    the subset "testing" may lack annotations. `subset`: of entries that name none; None: all must.
    """
    for video_id, entry in database.items():
        try:
            part = _name(entry["subset"] if subset is None else entry.get("subset", subset))
            hidden = SUBSETS.get(part.lower()) == "testing"
            found = entry.get("annotations", []) if hidden else entry["annotations"]
            labels = tuple(sorted({_name(annotation["label"]) for annotation in found}))
            segments = tuple(_segment(annotation) for annotation in found if "segment" in annotation)
            duration_s, fps = (_number(entry.get(key)) for key in ("duration", "fps"))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            raise UserError(
                f"{path}: video {video_id!r}: is not in ActivityNet's layout ({error!r}); need subset and "
                "annotations with label and, where known, segment [start, end]"
            ) from error
        yield VideoRecord(video_id, part, duration_s, labels, segments, fps)


def _segment(annotation: Any) -> Segment:
    start_s, end_s = annotation["segment"]
    return Segment(float(start_s), float(end_s), annotation["label"])


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _name(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise TypeError(f"got {value!r} for a name")
    return value
