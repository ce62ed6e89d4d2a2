"""Snippets of a video: middle RGB frame and stack of flow fields, as the two streams take them."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import model_validator
from pydantic.dataclasses import dataclass as pydantic_dataclass

from tsrnet.core.settings import KNOWN_KEYS, Count
from tsrnet.video.flow_settings import TVL1
from tsrnet.video.optical_flow import flow_fields
from tsrnet.video.reader import VideoFrames
from tsrnet.video.time_grid import FRAMES_PER_SNIPPET, TimeGrid

FLOW_CHANNELS = 2 * FRAMES_PER_SNIPPET


@pydantic_dataclass(frozen=True, config=KNOWN_KEYS)
class SnippetSettings:
    """How pixels become the networks' input: shorter side, centre crop (pixels), flow method."""

    resize: Count = 256
    crop: Count = 224
    flow: TVL1 = field(default_factory=TVL1)

    @model_validator(mode="after")
    def _check_crop(self) -> SnippetSettings:
        if self.crop > self.resize:
            raise ValueError(f"crop: got {self.crop}, need at most resize={self.resize}")
        return self


@dataclass(frozen=True)
class Snippets:
    """`rgb` (n, crop, crop, 3) uint8 and `flow` (n, 10, crop, crop) float16 of n snippets.

    The 10 channels are 5 fields, x and y interleaved. A stream that was not asked for is None.
    """

    rgb: npt.NDArray[np.uint8] | None
    flow: npt.NDArray[np.float16] | None


@functools.lru_cache(maxsize=1)
def _frames_of(path: Path, backend: str) -> VideoFrames:
    """The file that is being read stays open: the next snippets of it are often asked for next."""
    return VideoFrames(path, backend)


def read_frames(
    path: Path, start: int, stop: int, settings: SnippetSettings, *, backend: str = "auto"
) -> npt.NDArray[np.uint8]:
    """Frames of the snippets start, ..., stop - 1 of a file, and one more for the last flow field.

    (5 * (stop - start) + 1, crop, crop, 3) RGB.
    """
    first, last = start * FRAMES_PER_SNIPPET, stop * FRAMES_PER_SNIPPET + 1
    return _frames_of(path, backend).read(first, last, resize=settings.resize, crop=settings.crop)


def snippets_of(
    frames: npt.NDArray[np.uint8], settings: SnippetSettings, streams: tuple[str, ...], device: str = "cpu"
) -> Snippets:
    """Snippets of the frames that `read_frames` gives; our TV-L1 computes on `device`."""
    rgb = flow = None
    if "rgb" in streams:
        rgb = np.ascontiguousarray(frames[FRAMES_PER_SNIPPET // 2 : -1 : FRAMES_PER_SNIPPET])
    if "flow" in streams:
        fields = flow_fields(frames, settings.flow, device)
        flow = fields.reshape(-1, FLOW_CHANNELS, *fields.shape[2:]).astype(np.float16)
    return Snippets(rgb, flow)


def count_snippets(path: Path, *, backend: str = "auto") -> tuple[int, float]:
    """(number of snippets, duration in seconds) of a file."""
    frames = VideoFrames(path, backend)
    return TimeGrid().num_snippets(len(frames)), frames.duration_s
