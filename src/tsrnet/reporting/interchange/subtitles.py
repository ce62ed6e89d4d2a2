"""Subtitles (SubRip) that name each action while it happens."""

from __future__ import annotations

from collections.abc import Iterable

from tsrnet.reporting.timeline import Detection


def to_srt(segments: Iterable[Detection]) -> str:
    """One subtitle per segment, in the order of their starts, rounded to milliseconds."""
    ordered = sorted(segments, key=lambda one: (one.start_s, one.end_s))
    return "".join(
        f"{number}\n{_clock(one.start_s)} --> {_clock(one.end_s)}\n{one.label} ({one.score:.2f})\n\n"
        for number, one in enumerate(ordered, 1)
    )


def _clock(time_s: float) -> str:
    minutes, milliseconds = divmod(max(0, round(1000 * time_s)), 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{milliseconds // 1000:02},{milliseconds % 1000:03}"
