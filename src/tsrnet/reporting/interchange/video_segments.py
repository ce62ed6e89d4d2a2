"""The segments of a video, whichever file they come from, and how they are checked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from tsrnet.core.reading import as_kind
from tsrnet.core.settings import Name
from tsrnet.reporting.timeline import Detection


@dataclass(frozen=True)
class VideoSegments:
    """A video with its segments; its length in seconds and its file, where known."""

    id: str
    segments: tuple[Detection, ...]
    duration_s: float | None = None
    file: Path | None = None


def ordered(segment: tuple[float, float]) -> tuple[float, float]:
    """ValueError where a segment ends before it starts."""
    if segment[0] > segment[1]:
        raise ValueError
    return segment


Finite = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Seconds = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Span = Annotated[
    tuple[Seconds, Seconds], AfterValidator(ordered), Field(description="[start, end], 0 <= start <= end")
]


@dataclass(frozen=True)
class _Marked:
    label: Name
    segment: Span


@dataclass(frozen=True)
class _Length:
    duration_s: Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)] | None


@dataclass(frozen=True)
class Reviewed:
    """The videos that people annotated, and a sentence on each kind of entry that was left out."""

    videos: tuple[VideoSegments, ...]
    remarks: tuple[str, ...] = ()


def checked_segment(where: str, label: Any, start_s: Any, end_s: Any) -> Detection:
    """A segment that a person marked; UserError that begins with `where` for a wrong label or wrong times."""
    marked: _Marked = as_kind(_Marked, {"label": label, "segment": (start_s, end_s)}, where)
    return Detection(marked.label, *marked.segment, 1.0)


def checked_length(where: str, duration_s: Any) -> float | None:
    """A length in seconds, or None; UserError that begins with `where` for what is no number above 0."""
    length: _Length = as_kind(_Length, {"duration_s": duration_s}, where)
    return length.duration_s


def best_segments(
    videos: Iterable[VideoSegments], *, min_score: float | None = None, per_video: int | None = None
) -> list[VideoSegments]:
    """All videos with the segments of at least `min_score`, at most the `per_video` best of each."""
    chosen = []
    for video in videos:
        rows = [one for one in video.segments if min_score is None or one.score >= min_score]
        if per_video is not None:
            ranked = sorted(range(len(rows)), key=lambda i: -rows[i].score)[:per_video]
            rows = [rows[i] for i in sorted(ranked)]  # in the order of the file
        chosen.append(replace(video, segments=tuple(rows)))
    return chosen


def classes_of(videos: Iterable[VideoSegments]) -> list[str]:
    """The labels that occur, sorted."""
    return sorted({one.label for video in videos for one in video.segments})
