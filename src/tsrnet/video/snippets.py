"""Snippets of a video: middle RGB frame, or clip around it, and stack of flow fields."""

from __future__ import annotations

import functools
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import model_validator
from pydantic.dataclasses import dataclass as pydantic_dataclass

from tsrnet.core.settings import KNOWN_KEYS, Count
from tsrnet.video.flow_settings import RAFT, TVL1, FlowSettings
from tsrnet.video.optical_flow import flow_fields
from tsrnet.video.reader import VideoFrames
from tsrnet.video.time_grid import FRAMES_PER_SNIPPET, TimeGrid

FLOW_CHANNELS = 2 * FRAMES_PER_SNIPPET


@pydantic_dataclass(frozen=True, config=KNOWN_KEYS)
class ClipSettings:
    """A clip around each snippet: `frames` of them, each `stride` frames of 30 Hz after the one before.

    Its middle is the snippet's; before the start and after the end of a video the outer frame is repeated.
    """

    frames: Count
    stride: Count = 1

    @model_validator(mode="after")
    def _check_span(self) -> ClipSettings:
        if self.span < FRAMES_PER_SNIPPET:
            raise ValueError(
                f"frames: got {self.frames} with stride={self.stride}, need a clip over at least"
                f" {FRAMES_PER_SNIPPET} frames of 30 Hz"
            )
        return self

    @property
    def span(self) -> int:
        """Frames of 30 Hz from its first to its last."""
        return (self.frames - 1) * self.stride + 1

    @property
    def before(self) -> int:
        """Frames of 30 Hz by which it begins before its snippet."""
        return (self.span - FRAMES_PER_SNIPPET) // 2

    @property
    def after(self) -> int:
        """Frames of 30 Hz by which it ends after the first frame of the next snippet."""
        return max(0, self.span - self.before - FRAMES_PER_SNIPPET - 1)


@pydantic_dataclass(frozen=True, config=KNOWN_KEYS)
class SnippetSettings:
    """How pixels become the networks' input.

    `resize`: the shorter side, or height and width, in pixels; `crop`: side of the square in the middle.
    `flow`: its method. `clip`: what the RGB stream sees of a snippet; None: its middle frame.
    """

    resize: Count | tuple[Count, Count] = 256
    crop: Count = 224
    flow: FlowSettings = field(default_factory=TVL1)
    clip: ClipSettings | None = None

    @model_validator(mode="after")
    def _check_crop(self) -> SnippetSettings:
        if self.crop > np.min(self.resize):
            raise ValueError(f"crop: got {self.crop}, need at most resize={self.resize}")
        return self

    def shape(self, stream: str) -> tuple[int, ...]:
        """The shape of a snippet in `Snippets`."""
        if stream == "flow":
            return FLOW_CHANNELS, self.crop, self.crop
        return (*([self.clip.frames] if self.clip else []), self.crop, self.crop, 3)

    @property
    def identity(self) -> dict[str, Any]:
        """What the pixels depend on: these settings, the weights of the flow by name or checksum."""
        values = asdict(self)
        if isinstance(self.flow, RAFT):
            from tsrnet.video.raft import weights_identity  # it takes seconds to import torchvision

            values["flow"]["weights"] = weights_identity(self.flow)
        return values


@dataclass(frozen=True)
class Snippets:
    """`rgb` (n, crop, crop, 3) uint8 and `flow` (n, 10, crop, crop) float16 of n snippets.

    The 10 channels are 5 fields, x and y interleaved. A stream that was not asked for is None. Of clips,
    `rgb` is (n, frames, crop, crop, 3) after `clips_of`, and all their frames, (t, crop, crop, 3), before.
    """

    rgb: npt.NDArray[np.uint8] | None
    flow: npt.NDArray[np.float16] | None


@functools.lru_cache(maxsize=1)
def _frames_of(path: Path, backend: str) -> VideoFrames:
    """Keep the file open, because its next snippets are often read next."""
    return VideoFrames(path, backend)


def read_frames(
    path: Path, start: int, stop: int, settings: SnippetSettings, *, backend: str = "auto"
) -> npt.NDArray[np.uint8]:
    """Frames of the snippets start, ..., stop - 1 of a file, and one more for the last flow field.

    (5 * (stop - start) + 1, crop, crop, 3) RGB; with clips `before` more at the start, `after` at the end.
    """
    first, last = start * FRAMES_PER_SNIPPET, stop * FRAMES_PER_SNIPPET + 1
    if settings.clip:
        first, last = first - settings.clip.before, last + settings.clip.after
    return _frames_of(path, backend).read(first, last, resize=settings.resize, crop=settings.crop)


def snippets_of(
    frames: npt.NDArray[np.uint8], settings: SnippetSettings, streams: tuple[str, ...], device: str = "cpu"
) -> Snippets:
    """Snippets of the frames that `read_frames` gives; flow by torch is computed on `device`."""
    clip, rgb, flow = settings.clip, None, None
    inner = frames[clip.before : len(frames) - clip.after] if clip else frames
    if "rgb" in streams and clip:
        rgb = frames[: len(inner) - 1 - FRAMES_PER_SNIPPET + clip.span]
    elif "rgb" in streams:
        rgb = np.ascontiguousarray(frames[FRAMES_PER_SNIPPET // 2 : -1 : FRAMES_PER_SNIPPET])
    if "flow" in streams:
        fields = flow_fields(inner, settings.flow, device)
        flow = fields.reshape(-1, FLOW_CHANNELS, *fields.shape[2:]).astype(np.float16)
    return Snippets(rgb, flow)


def clips_of(frames: npt.NDArray[np.uint8], clip: ClipSettings) -> npt.NDArray[np.uint8]:
    """The clips of all snippets, (n, frames, crop, crop, 3): a view, in which neighbours share frames."""
    spans = np.lib.stride_tricks.sliding_window_view(frames, clip.span, axis=0)
    return np.moveaxis(spans[::FRAMES_PER_SNIPPET, ..., :: clip.stride], -1, 1)


def count_snippets(path: Path, *, backend: str = "auto") -> tuple[int, float]:
    """(number of snippets, duration in seconds) of a file."""
    frames = VideoFrames(path, backend)
    return TimeGrid().num_snippets(len(frames)), frames.duration_s
