"""The segments of a video, whichever file they come from, and how they are checked."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tsrnet.core.errors import UserError
from tsrnet.reporting.timeline import Detection


@dataclass(frozen=True)
class VideoSegments:
    """A video with its segments; its length in seconds and its file, where known."""

    id: str
    segments: tuple[Detection, ...]
    duration_s: float | None = None
    file: Path | None = None


@dataclass(frozen=True)
class Reviewed:
    """The videos that people annotated, and a sentence on each kind of entry that was left out."""

    videos: tuple[VideoSegments, ...]
    remarks: tuple[str, ...] = ()


def checked_segment(
    where: str, label: Any, start_s: Any, end_s: Any, score: Any = 1.0, *, lowest_s: float = 0.0
) -> Detection:
    """A segment with printable label and finite numbers, `lowest_s` <= start <= end.

    Raises UserError that begins with `where` for any other.
    """
    if not isinstance(label, str) or not label.strip() or not label.isprintable():
        raise UserError(f"{where}: got label {label!r:.80}, need a text in one line; correct it")
    numbers = (start_s, end_s, score)
    if not all(type(number) in (int, float) and math.isfinite(number) for number in numbers):
        raise UserError(
            f"{where}: got segment [{start_s!r:.40}, {end_s!r:.40}] with score {score!r:.40},"
            " need finite numbers; correct it"
        )
    if not lowest_s <= start_s <= end_s:
        least = "" if lowest_s == -math.inf else f"{lowest_s:g} <= "
        raise UserError(
            f"{where}: got segment [{start_s:g}, {end_s:g}], need {least}start <= end; correct it"
        )
    return Detection(label, float(start_s), float(end_s), float(score))


def checked_length(where: str, duration_s: Any) -> float | None:
    """A length in seconds, or None; UserError that begins with `where` for anything but a number above 0."""
    if duration_s is None:
        return None
    if type(duration_s) not in (int, float) or not 0 < duration_s < math.inf:
        raise UserError(f"{where}: got duration {duration_s!r:.40}, need a number above 0; correct it")
    return float(duration_s)


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
