"""The pixels of a composed video: frames of clips at 30 Hz, all of one size, cut hard."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import cv2
import numpy as np

from tsrnet.core.errors import UserError
from tsrnet.core.files import atomic_path
from tsrnet.synthetic.compose_plan import MIN_CLIP_S
from tsrnet.synthetic.compose_record import ComposedVideo
from tsrnet.video.decoders import Image, UnreadableVideoError
from tsrnet.video.reader import VideoFrames
from tsrnet.video.time_grid import FRAME_RATE_HZ
from tsrnet.video.writer import write_video

LONGEST_S = 600
"""The rest of a longer clip is not used, because every clip is decoded once to check it."""

Fit: TypeAlias = Literal["crop", "letterbox"]


class ClipFrames(VideoFrames):
    """The whole frames of a file at 30 Hz, by PyAV only: the same pixels whether decord is there or not."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "pyav")

    def between(self, start: int, stop: int) -> Iterator[Image]:
        """Frames start, ..., stop - 1, (h, w, 3) RGB; raises UnreadableVideoError."""
        shown, times = np.unique(self._source[start:stop], return_counts=True)
        for frame, count in zip(self._decoder.read(shown), times, strict=True):
            for _ in range(count):
                yield frame


def examine_clip(path: Path) -> int | str:
    """Decode a clip to its end; return how many frames can be used, or why it cannot be used."""
    try:
        frames = ClipFrames(path)
        count = min(len(frames), LONGEST_S * FRAME_RATE_HZ)
        if count < MIN_CLIP_S * FRAME_RATE_HZ:
            return f"it has {frames.duration_s:.2f} s, need at least {MIN_CLIP_S:g} s"
        for _ in frames.between(count - 1, count):
            pass
    except UnreadableVideoError as error:
        return str(error)
    return count


@dataclass(frozen=True)
class Composer:
    """Writes composed videos. Fields: the folders of clips, background and videos; the size in pixels; how
    frames of another shape are fitted."""

    clips: Path
    background: Path
    output: Path
    width: int
    height: int
    fit: Fit

    def path(self, video: ComposedVideo) -> Path:
        return self.output / f"{video.id}.mp4"

    def __call__(self, video: ComposedVideo) -> None:
        """Write the file, whole or not at all; UserError that names a clip that cannot be read."""
        with atomic_path(self.path(video)) as part:
            write_video(part, self._frames(video), frame_rate_hz=FRAME_RATE_HZ)

    def _frames(self, video: ComposedVideo) -> Iterator[Image]:
        for part in video.parts:
            file = (self.background if part.label is None else self.clips) / part.clip
            try:
                for frame in ClipFrames(file).between(part.start, part.start + part.num_frames):
                    yield fit_frame(frame, self.width, self.height, self.fit)
            except UnreadableVideoError as error:
                raise UserError(
                    f"{file}: {error}, but it could be read when the videos were planned; put it back, or"
                    " compose into another output"
                ) from error


def fit_frame(frame: Image, width: int, height: int, fit: Fit) -> Image:
    """Fit a (h, w, 3) frame into (height, width, 3) without distortion.

    "crop" scales it until it covers the size and keeps the centre; "letterbox" scales it until it fits
    and puts black bars beside it.
    """
    rows, columns = frame.shape[:2]
    scale = (max if fit == "crop" else min)(width / columns, height / rows)
    size = (round(columns * scale), round(rows * scale))
    if size != (columns, rows):
        interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        frame = np.asarray(cv2.resize(frame, size, interpolation=interpolation), np.uint8)
    wide, high = width - size[0], height - size[1]  # of the bars; below 0: what is cut away
    frame = frame[max(0, -high // 2) :, max(0, -wide // 2) :][:height, :width]
    fitted = np.zeros((height, width, 3), np.uint8)
    top, left = max(0, high // 2), max(0, wide // 2)
    fitted[top : top + frame.shape[0], left : left + frame.shape[1]] = frame
    return fitted
