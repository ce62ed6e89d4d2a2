"""Reads frames of a video file, resampled to 30 Hz by their timestamps."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from tsrnet.video.decoders import (
    DECODERS,
    Decord,
    Image,
    Packets,
    PyAV,
    UnreadableVideoError,
    find_decord,
    read_packets,
)
from tsrnet.video.time_grid import FRAME_RATE_HZ

_LONGEST_FRAME_S, _LONGEST_MEAN_S = 600.0, 1.0
"""Seconds that one frame may be shown, and that frames may be shown on average: a container whose times say
more is damaged, and they would become millions of snippets of the same picture."""


class VideoFrames:
    """The frames of a file at 30 Hz: frame k is the one shown k / 30 s after the first.

    `backend`: "decord", "pyav", "torchcodec", or "auto": decord, but PyAV where decord is not installed (it
    has no wheel for ARM and macOS), fails, or would return wrong frames: after a jump, it loses count in many
    containers, and where frames are shown before the key frame that they come after. "torchcodec" leaves
    these files to PyAV, too. Raises UnreadableVideoError, here and in `read`, and UserError where the backend
    cannot run.
    """

    def __init__(self, path: Path, backend: str = "auto") -> None:
        self.path = path
        if not path.is_file():
            raise UnreadableVideoError("no such file")
        if path.stat().st_size == 0:
            raise UnreadableVideoError("the file is empty")
        self._fallback = backend == "auto"
        if backend == "auto":
            backend = "pyav" if find_decord() is None else "decord"
        try:
            packets = read_packets(path)
        except UnreadableVideoError as error:
            raise UnreadableVideoError(f"it cannot be opened ({error})") from error
        if not packets.plain:
            if backend == "decord" and not self._fallback:
                raise UnreadableVideoError("decord would return wrong frames; give video.backend=auto")
            backend = "pyav"
        try:
            try:
                self._open(backend, packets)
            except UnreadableVideoError:
                if backend == "pyav" or not self._fallback:
                    raise
                self._open("pyav", packets)
        except UnreadableVideoError as error:
            raise UnreadableVideoError(f"it cannot be opened ({error})") from error

    def _open(self, backend: str, packets: Packets) -> None:
        self.backend, self._packets = backend, packets
        self._decoder: Decord | PyAV = DECODERS[backend](self.path, packets)
        start_s, rate_hz = self._decoder.start_s, self._decoder.rate_hz
        if not start_s.size or not rate_hz > 0:
            raise UnreadableVideoError("it has no frame")
        if not (np.diff(start_s) > 0).all():  # AVI has no timestamps, but a rate
            start_s = np.arange(len(start_s)) / rate_hz
        start_s = start_s - start_s[0]
        self.duration_s = float(start_s[-1] + 1 / rate_hz)
        shown_s = np.diff(start_s, append=self.duration_s)
        if not (shown_s.max() <= _LONGEST_FRAME_S and shown_s.mean() <= _LONGEST_MEAN_S):
            raise UnreadableVideoError(
                f"its times are damaged: {len(start_s):,} frames in {self.duration_s:.4g} s, one of which"
                f" lasts {shown_s.max():.4g} s"
            )
        times_s = np.arange(max(1, int(self.duration_s * FRAME_RATE_HZ + 0.5))) / FRAME_RATE_HZ
        # Half a millisecond: containers round timestamps, and this must not lose a frame.
        self._source = np.searchsorted(start_s, times_s + 5e-4, side="right") - 1
        self._kept: dict[int, Image] = {}  # frames of the last read, which the next one may share
        self._kept_as: tuple[object, int] | None = None  # their sizes

    def __len__(self) -> int:
        return len(self._source)

    def read(self, start: int, stop: int, *, resize: int | tuple[int, int], crop: int) -> Image:
        """Frames start, ..., stop - 1 as (stop - start, crop, crop, 3) RGB.

        The shorter side is resized to `resize` pixels, or both to (height, width), then the centre is
        cropped. Indices before the start repeat the first frame, those past the end the last.
        """
        try:
            source = self._source[np.clip(np.arange(start, stop), 0, len(self) - 1)]
            wanted, inverse = np.unique(source, return_inverse=True)
            kept = self._kept if self._kept_as == (resize, crop) else {}
            missing = np.array([number for number in wanted if number not in kept], np.intp)
            made = (_centre(frame, resize, crop) for frame in self._decoder.read(missing))
            frames = kept | dict(zip(missing.tolist(), made, strict=True))
            self._kept, self._kept_as = {number: frames[number] for number in wanted.tolist()}, (resize, crop)
        except UnreadableVideoError as error:
            if self._fallback and self.backend == "decord":
                self._open("pyav", self._packets)
                return self.read(start, stop, resize=resize, crop=crop)
            span = f"{start / FRAME_RATE_HZ:.1f} and {stop / FRAME_RATE_HZ:.1f} s"
            raise UnreadableVideoError(f"decoding fails between {span} ({error})") from error
        return np.stack(list(self._kept.values()))[inverse]


def _centre(frame: Image, resize: int | tuple[int, int], crop: int) -> Image:
    height, width = frame.shape[:2]
    if isinstance(resize, int):
        scale = resize / min(height, width)
        size = (max(crop, round(width * scale)), max(crop, round(height * scale)))
    else:
        scale, size = min(resize[0] / height, resize[1] / width), (resize[1], resize[0])
    frame = np.asarray(
        cv2.resize(frame, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR), np.uint8
    )
    top, left = (round((side - crop) / 2) for side in frame.shape[:2])  # as torchvision rounds
    return frame[top : top + crop, left : left + crop]
