"""Reads frames of a video file, resampled to 30 Hz by their timestamps."""

from __future__ import annotations

from pathlib import Path

import cv2
import decord
import numpy as np
import numpy.typing as npt

from tsrnet.video.time_grid import FRAME_RATE_HZ


class UnreadableVideoError(Exception):
    """A video that cannot be decoded as it should be, with the reason."""


class VideoFrames:
    """The frames of a file at 30 Hz: frame k is the one shown k / 30 s after the first.

    Raises UnreadableVideoError, here and in `read`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise UnreadableVideoError("no such file")
        if path.stat().st_size == 0:
            raise UnreadableVideoError("the file is empty")
        try:
            self._reader = decord.VideoReader(str(path), num_threads=1)
            start_s = self._reader.get_frame_timestamp(range(len(self._reader)))[:, 0].astype(np.float64)
            rate_hz = float(self._reader.get_avg_fps())
        except (decord.DECORDError, RuntimeError) as error:
            raise UnreadableVideoError(f"decord cannot open it ({_first_line(error)})") from error
        if not start_s.size or not rate_hz > 0:
            raise UnreadableVideoError("it holds no frame")
        start_s -= start_s[0]
        self.duration_s = float(start_s[-1] + 1 / rate_hz)
        times_s = np.arange(max(1, int(self.duration_s * FRAME_RATE_HZ + 0.5))) / FRAME_RATE_HZ
        # Half a millisecond: containers round timestamps, a frame must not be missed by that.
        self._source = np.searchsorted(start_s, times_s + 5e-4, side="right") - 1

    def __len__(self) -> int:
        return len(self._source)

    def read(self, start: int, stop: int, *, resize: int, crop: int) -> npt.NDArray[np.uint8]:
        """Frames start, ..., stop - 1 as (stop - start, crop, crop, 3) RGB.

        The shorter side is resized to `resize` pixels, then the centre is cropped. Indices past
        the end repeat the last frame.
        """
        source = self._source[np.clip(np.arange(start, stop), 0, len(self) - 1)]
        wanted, inverse = np.unique(source, return_inverse=True)
        try:
            decoded = self._reader.get_batch(wanted).asnumpy()
        except (decord.DECORDError, RuntimeError) as error:
            raise UnreadableVideoError(
                f"decoding fails between {start / FRAME_RATE_HZ:.1f} and {stop / FRAME_RATE_HZ:.1f} s"
                f" ({_first_line(error)})"
            ) from error
        return np.stack([_centre(frame, resize, crop) for frame in decoded])[inverse]


def _centre(frame: npt.NDArray[np.uint8], resize: int, crop: int) -> npt.NDArray[np.uint8]:
    height, width = frame.shape[:2]
    scale = resize / min(height, width)
    size = (max(crop, round(width * scale)), max(crop, round(height * scale)))
    frame = np.asarray(
        cv2.resize(frame, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR), np.uint8
    )
    top, left = (frame.shape[0] - crop) // 2, (frame.shape[1] - crop) // 2
    return frame[top : top + crop, left : left + crop]


def _first_line(error: Exception) -> str:
    """The words of a decord error without its stack trace and source position."""
    line = str(error).strip().split("\n")[0]
    return line.split("] ", 1)[-1][:160]
