"""Reads frames of a video file, resampled to 30 Hz by their timestamps, by decord, PyAV or TorchCodec."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.container import InputContainer

from tsrnet.core.errors import UserError
from tsrnet.video.time_grid import FRAME_RATE_HZ

_AT_ONCE = 16
"""Frames decoded before they are made small: bounds the memory for 4K videos."""
_LONGEST_FRAME_S, _LONGEST_MEAN_S = 600.0, 1.0
"""Seconds that one frame may be shown, and that frames may be shown on average: a container whose times say
more is damaged, and they would become millions of snippets of the same picture."""

Image = npt.NDArray[np.uint8]

# What FFmpeg finds wrong with a file comes back as an error with the file's name.
av.logging.set_level(None)


class UnreadableVideoError(Exception):
    """A video that cannot be decoded as it should be, with the reason."""


class VideoFrames:
    """The frames of a file at 30 Hz: frame k is the one shown k / 30 s after the first.

    `backend`: "decord", "pyav", "torchcodec", or "auto": decord, but PyAV where decord is not installed (it
    has no wheel for ARM and macOS) or fails. PyAV also reads MPEG-4 part 2 (XVID), unless decord is asked
    for: decord sometimes returns a wrong last frame, TorchCodec returns none. Raises UnreadableVideoError,
    here and in `read`, and UserError where the backend cannot run. PyAV also reads files whose
    beginning is cut by an edit list (`ffmpeg -ss ... -c copy`): decord counts the frames that are not shown.
    """

    def __init__(self, path: Path, backend: str = "auto") -> None:
        self.path = path
        if not path.is_file():
            raise UnreadableVideoError("no such file")
        if path.stat().st_size == 0:
            raise UnreadableVideoError("the file is empty")
        self._fallback = backend == "auto"
        if backend == "auto":
            backend = "pyav" if _decord() is None else "decord"
        codec, cut = _codec(path)
        if codec == "mpeg4" and (self._fallback or backend == "torchcodec"):
            backend = "pyav"
        if cut and backend == "decord":
            if not self._fallback:
                raise UnreadableVideoError(
                    "decord reads files with an edit list wrongly; give video.backend=auto"
                )
            backend = "pyav"
        try:
            try:
                self._open(backend)
            except UnreadableVideoError:
                if backend == "pyav" or not self._fallback:
                    raise
                self._open("pyav")
        except UnreadableVideoError as error:
            raise UnreadableVideoError(f"it cannot be opened ({error})") from error

    def _open(self, backend: str) -> None:
        self.backend = backend
        self._decoder: _Decord | _PyAV = _DECODERS[backend](self.path)
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
                self._open("pyav")
                return self.read(start, stop, resize=resize, crop=crop)
            span = f"{start / FRAME_RATE_HZ:.1f} and {stop / FRAME_RATE_HZ:.1f} s"
            raise UnreadableVideoError(f"decoding fails between {span} ({error})") from error
        return np.stack(list(self._kept.values()))[inverse]


class _Decord:
    """Frames of a file by their number, turned by its rotation tag, in any order.

    `start_s` (n,): when each is shown, not rising if that is unknown. `rate_hz`: the average.
    """

    def __init__(self, path: Path) -> None:
        decord = _decord()
        if decord is None:
            raise UserError("video.backend: got decord, which is not installed here; give auto or pyav")
        with _reasons("decord"):
            self._reader = decord.VideoReader(str(path), num_threads=1)
            every = range(len(self._reader))
            self.start_s = self._reader.get_frame_timestamp(every)[:, 0].astype(np.float64)
            self.rate_hz = float(self._reader.get_avg_fps())

    def read(self, numbers: npt.NDArray[np.intp]) -> Iterator[Image]:
        """The frames of these ascending numbers, (h, w, 3) RGB."""
        for first in range(0, len(numbers), _AT_ONCE):
            with _reasons("decord"):
                batch = self._reader.get_batch(numbers[first : first + _AT_ONCE]).asnumpy()
            yield from batch


class _PyAV:
    """Like `_Decord`, but in order: going back opens the file again, going ahead decodes all between."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with _reasons("PyAV"), _open(path) as container:
            if not container.streams.video:
                raise UnreadableVideoError("it has no video stream")
            stream = container.streams.video[0]
            packets = [packet for packet in container.demux(stream) if packet.size and not packet.is_discard]
            self.rate_hz = float(stream.average_rate or stream.guessed_rate or 0)
            shown = [packet.pts for packet in packets]
            known = [0 if time is None else time for time in shown]
            self.start_s = np.sort(np.array(known, np.float64)) * float(stream.time_base or 1)
        self._next = 0
        self._frames: Iterator[av.VideoFrame] = iter(())

    def read(self, numbers: npt.NDArray[np.intp]) -> Iterator[Image]:
        if numbers.size and (not self._next or numbers[0] < self._next):
            self._frames, self._next = self._decode(), 0
        for number in numbers:
            frame = None
            with _reasons("PyAV"):
                while self._next <= number:
                    frame = next(self._frames, None)
                    self._next += 1
            if frame is None:
                raise UnreadableVideoError(f"PyAV finds {self._next - 1} of {len(self.start_s)} frames")
            yield np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)

    def _decode(self) -> Iterator[av.VideoFrame]:
        with _open(self._path) as container:
            yield from container.decode(video=0)


class _TorchCodec(_PyAV):
    """Like `_Decord`, with timestamps from the file's packets: without decoding, TorchCodec has none."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        try:
            from torchcodec.decoders import VideoDecoder

            with _reasons("TorchCodec"):
                self._decoder = VideoDecoder(str(path), dimension_order="NHWC", num_ffmpeg_threads=1)
        except (ImportError, UnreadableVideoError) as error:
            if isinstance(error, UnreadableVideoError) and "libtorchcodec" not in str(error):
                raise
            raise UserError(
                f"video.backend: got torchcodec, which cannot run here ({error}); pip install"
                " 'tsrnet[torchcodec]' and FFmpeg's shared libraries, or give auto"
            ) from error

    def read(self, numbers: npt.NDArray[np.intp]) -> Iterator[Image]:
        for first in range(0, len(numbers), _AT_ONCE):
            with _reasons("TorchCodec"):
                batch = self._decoder.get_frames_at(numbers[first : first + _AT_ONCE].tolist())
            yield from batch.data.numpy()


_DECODERS: dict[str, type[_Decord | _PyAV]] = {"decord": _Decord, "pyav": _PyAV, "torchcodec": _TorchCodec}


@functools.cache
def _decord() -> Any:
    """Import decord and silence it; None if it is not installed."""
    try:
        import decord
    except (ImportError, OSError):
        return None
    decord.logging.set_level(decord.logging.QUIET)
    return decord


def decoder_in_use(backend: str) -> str:
    """The decoder in words."""
    if backend != "auto":
        return backend
    return "decord (PyAV where it fails)" if _decord() else "PyAV (decord is not installed)"


def _open(path: Path) -> InputContainer:
    return av.open(str(path), metadata_errors="replace")  # titles of real cameras are Latin-1


def _codec(path: Path) -> tuple[str, bool]:
    """The name of the codec, and whether an edit list cuts the beginning, so that the first packets are not
    shown.
    """
    name = ""
    with contextlib.suppress(UnreadableVideoError), _reasons("PyAV"), _open(path) as container:
        name = str(container.streams.video[0].codec_context.name)
        return name, next(container.demux(video=0)).is_discard
    return name, False


@contextlib.contextmanager
def _reasons(name: str) -> Iterator[None]:
    """Turn any exception of a library into UnreadableVideoError, without its source position."""
    try:
        yield
    except UnreadableVideoError:
        raise
    except Exception as error:
        line = str(error).strip().split("\n")[0] or type(error).__name__
        raise UnreadableVideoError(f"{name}: {re.split(r'] |Check failed: ', line)[-1][:160]}") from error


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
