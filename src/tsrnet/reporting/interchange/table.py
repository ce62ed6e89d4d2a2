"""Segments as one CSV table, with one row per segment."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from tsrnet.core.errors import UserError
from tsrnet.core.reading import as_kind, table_rows
from tsrnet.core.settings import Number, is_name
from tsrnet.reporting.interchange.video_segments import (
    Reviewed,
    VideoSegments,
    checked_length,
    checked_segment,
)
from tsrnet.reporting.timeline import Detection

COLUMNS = ("video", "label", "start_s", "end_s", "score", "duration_s")
NEEDED = COLUMNS[:4]


def to_csv(videos: Iterable[VideoSegments]) -> str:
    """The table, numbers in full precision; a video without segments is a row without a label."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for video in videos:
        rows: list[tuple[object, ...]] = [(s.label, s.start_s, s.end_s, s.score) for s in video.segments]
        table.writerows((video.id, *row, video.duration_s) for row in rows or [("",) * 4])
    return text.getvalue()


def read_csv(path: str, text: str) -> Reviewed:
    """The videos of such a table; the last two columns are optional. A score is not read.

    Raises UserError that names `path` and the line for a column, a video or a number that is missing.
    """
    segments: dict[str, list[Detection]] = {}
    lengths_s: dict[str, float | None] = {}
    for line, row in table_rows(path, text, NEEDED, empty=True):
        where = f"{path}, line {line}"
        video = row["video"]
        if not is_name(video):
            raise UserError(f"{where}: names no video; fill it in or remove the line")
        length_s = checked_length(where, _number(where, row.get("duration_s")))
        lengths_s[video] = length_s or lengths_s.get(video)
        found = segments.setdefault(video, [])
        if any(row[name] for name in NEEDED[1:]):
            start_s, end_s = (_number(where, row[name]) for name in NEEDED[2:])
            found.append(checked_segment(where, row["label"], start_s, end_s))
    return Reviewed(tuple(VideoSegments(v, tuple(found), lengths_s[v]) for v, found in segments.items()))


def _number(where: str, text: str | None) -> float | None:
    value: float | None = as_kind(Number, text, where) if text else None
    return value
