"""The one place where seconds, frames and snippets are converted into each other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FRAME_RATE_HZ = 30
"""Videos are resampled to this rate before anything else ("30 frames per second")."""
FRAMES_PER_SNIPPET = 5
"""A snippet is 5 consecutive flow fields and its middle RGB frame ("stacks of 5")."""
MIN_SNIPPETS = 2
"""A video with fewer has no neighbours to be smooth over; it is left out and listed."""


@dataclass(frozen=True)
class TimeGrid:
    """Snippet i covers [i / rate_hz, (i + 1) / rate_hz) seconds.

    Raises ValueError for a rate that is not positive.
    """

    rate_hz: float = FRAME_RATE_HZ / FRAMES_PER_SNIPPET

    def __post_init__(self) -> None:
        if not self.rate_hz > 0:
            raise ValueError(f"rate_hz: got {self.rate_hz}, need a number above 0")

    def num_snippets(self, num_frames: int) -> int:
        """Snippets of a video of `num_frames` frames at 30 Hz; at least 1, a rest is left out."""
        return max(1, int(num_frames * self.rate_hz / FRAME_RATE_HZ))

    def seconds(self, run: tuple[Any, Any]) -> tuple[Any, Any]:
        """(t_start, t_end) in seconds of the snippets ind_start, ..., ind_end - 1; eq. (12).

        Numbers, or arrays of many runs. F of eq. (12) is the rate of the indices: the snippet rate here.
        """
        start, end = run
        return start / self.rate_hz, end / self.rate_hz

    def snippet_at(self, time_s: float) -> int:
        """Index of the snippet that covers a time."""
        return int(np.floor(time_s * self.rate_hz + 1e-9))

    def inside(self, segments: Iterable[tuple[float, float]], num_snippets: int) -> npt.NDArray[np.bool_]:
        """(num_snippets,) whether the middle of each snippet lies in one of the segments (s)."""
        middle = (np.arange(num_snippets) + 0.5) / self.rate_hz
        covered = np.zeros(num_snippets, dtype=bool)
        for start_s, end_s in segments:
            covered |= (middle >= start_s) & (middle < end_s)
        return covered
