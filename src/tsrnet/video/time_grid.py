"""The one place where seconds, frames and snippets are converted into each other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

FRAME_RATE_HZ = 30
"""Videos are resampled to this rate before anything else ("30 frames per second")."""
FRAMES_PER_SNIPPET = 5
"""A snippet is 5 consecutive flow fields and its middle RGB frame ("stacks of 5")."""
MIN_SNIPPETS = 2
"""A video with fewer has no neighbours to be smooth over; it is left out and listed."""
_SLOWEST_HZ, _FASTEST_HZ, _LONGEST_S = 1e-6, 1e6, 1e9


@dataclass(frozen=True)
class TimeGrid:
    """When the snippets of a video are.

    The centre of snippet i is at offset_s + i / rate_hz. A run of snippets ends halfway between its last
    snippet and the next one. By default, snippet i covers [i / rate_hz, (i + 1) / rate_hz). Raises ValueError
    unless rate and width are above 0 and the offset is at least 0, all of a size that a video may have.

    Args:
        rate_hz: snippets per second.
        offset_s: the centre of the first snippet (s); default: half a snippet, 0.5 / rate_hz.
        width_s: how much of the video a snippet sees (s); snippets may overlap; default: 1 / rate_hz.
    """

    rate_hz: float = FRAME_RATE_HZ / FRAMES_PER_SNIPPET
    offset_s: float = cast(float, None)  # filled in by __post_init__
    width_s: float = cast(float, None)

    def __post_init__(self) -> None:
        if not _SLOWEST_HZ <= self.rate_hz <= _FASTEST_HZ:
            raise ValueError(f"rate_hz: got {self.rate_hz}, need {_SLOWEST_HZ:g} to {_FASTEST_HZ:g}")
        for name, snippets in (("offset_s", 0.5), ("width_s", 1)):
            if getattr(self, name) is None:
                object.__setattr__(self, name, snippets / self.rate_hz)
        if not 0 <= self.offset_s <= _LONGEST_S:
            raise ValueError(f"offset_s: got {self.offset_s}, need 0 to {_LONGEST_S:g}")
        if not 0 < self.width_s <= _LONGEST_S:
            raise ValueError(f"width_s: got {self.width_s}, need a number above 0, at most {_LONGEST_S:g}")

    @property
    def _shift(self) -> float:
        """Snippets by which the grid is later than the default one, for which it is exactly 0."""
        return 0.0 if self.offset_s == 0.5 / self.rate_hz else self.offset_s * self.rate_hz - 0.5

    def centres_s(self, num_snippets: int) -> npt.NDArray[np.float64]:
        """(num_snippets,) the middle of each snippet in seconds."""
        return (np.arange(num_snippets, dtype=np.float64) + (0.5 + self._shift)) / self.rate_hz

    def num_snippets(self, num_frames: int) -> int:
        """Snippets that lie wholly in a video of `num_frames` frames at 30 Hz; at least 1."""
        snippets = num_frames * self.rate_hz / FRAME_RATE_HZ
        overlap = 0.0 if self.width_s == 1 / self.rate_hz else self.width_s * self.rate_hz - 1
        if margin := self._shift + overlap / 2:
            snippets += 1e-9 - margin
        return max(1, int(snippets))

    def seconds(self, run: tuple[Any, Any]) -> tuple[Any, Any]:
        """(t_start, t_end) in seconds of the snippets ind_start, ..., ind_end - 1; eq. (12).

        Takes numbers, or arrays of many runs. F of eq. (12) is the snippet rate here. An offset other than
        the default shifts the runs; none starts before 0.
        """
        start, end = run
        if shift := self._shift:
            return np.maximum((start + shift) / self.rate_hz, 0.0), (end + shift) / self.rate_hz
        return start / self.rate_hz, end / self.rate_hz

    def snippet_at(self, time_s: float) -> int:
        """Index of the snippet that covers a time; negative for a time before the first."""
        return int(np.floor(time_s * self.rate_hz - self._shift + 1e-9))

    def inside(self, segments: Iterable[tuple[float, float]], num_snippets: int) -> npt.NDArray[np.bool_]:
        """(num_snippets,) whether the middle of each snippet lies in one of the segments (s)."""
        middle = self.centres_s(num_snippets)
        covered = np.zeros(num_snippets, dtype=bool)
        for start_s, end_s in segments:
            covered |= (middle >= start_s) & (middle < end_s)
        return covered
