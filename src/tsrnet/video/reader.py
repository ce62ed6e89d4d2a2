"""Reads frames of a video file, resampled to 30 Hz by their timestamps, by decord, PyAV or TorchCodec."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.video.reformatter import VideoReformatter

from tsrnet.core.errors import UserError
from tsrnet.video.time_grid import FRAME_RATE_HZ

_AT_ONCE = 16
"""Frames decoded before they are made small: bounds the memory for 4K videos."""
_LONGEST_FRAME_S, _LONGEST_MEAN_S = 600.0, 1.0
"""Seconds that one frame may be shown, and that frames may be shown on average: a container whose times say
more is damaged, and they would become millions of snippets of the same picture."""

_EXACT_CONTAINERS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "flv")
"""FFmpeg's names of containers in which decord finds the right frame after a jump; not in AVI, MPEG, WMV."""

Image = npt.NDArray[np.uint8]

# What FFmpeg finds wrong with a file comes back as an error with the file's name.
av.logging.set_level(None)


class UnreadableVideoError(Exception):
    """A video that cannot be decoded as it should be, with the reason."""


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
            backend = "pyav" if _decord() is None else "decord"
        try:
            packets = _packets(path)
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

    def _open(self, backend: str, packets: _Packets) -> None:
        self.backend, self._packets = backend, packets
        self._decoder: _Decord | _PyAV = _DECODERS[backend](self.path, packets)
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


@dataclass(frozen=True)
class _Packets:
    """What the packets of a file say, before one is decoded.

    `shown` (n,): when each frame is shown, in units of `time_base` seconds, sorted; `keys`: the same of those
    that can be decoded alone. `seeks`: these times are true, and the container finds them. `plain`: decord
    finds the right frame, too.
    """

    shown: npt.NDArray[np.int64]
    keys: npt.NDArray[np.int64]
    time_base: float
    rate_hz: float
    seeks: bool
    plain: bool


def _packets(path: Path) -> _Packets:
    with _reasons("PyAV"), _open(path) as container:
        if not container.streams.video:
            raise UnreadableVideoError("it has no video stream")
        stream, name = container.streams.video[0], container.format.name
        # decord sometimes returns a wrong last frame of MPEG-4 part 2 (XVID), TorchCodec none.
        exact = name in _EXACT_CONTAINERS and stream.codec_context.name != "mpeg4"
        shown, keys, key = [], [], None
        for packet in container.demux(stream):
            if not packet.size:
                continue
            time = packet.pts or 0
            if packet.is_keyframe:
                key = time
                keys.append(time)
            # The beginning is cut: by an edit list (`ffmpeg -ss ... -c copy`), or between key frames. Or the
            # frame is shown before the key frame that precedes it in the file (an open group of pictures).
            exact = exact and not packet.is_discard and key is not None and time >= key
            if not packet.is_discard:
                shown.append(time)
        times = np.sort(np.array(shown, np.int64))
        has_times = name != "avi" and bool((np.diff(times) > 0).all())
        return _Packets(
            times,
            np.unique(np.array(keys, np.int64)),
            float(stream.time_base or 1),
            float(stream.average_rate or stream.guessed_rate or 0),
            has_times and name in (*_EXACT_CONTAINERS, "mpegts"),
            exact,
        )


class _Decord:
    """Frames of a file by their number, turned by its rotation tag, in any order.

    `start_s` (n,): when each is shown, not rising if that is unknown. `rate_hz`: the average.
    """

    def __init__(self, path: Path, _: _Packets) -> None:
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
    """Like `_Decord`, from the key frame before, where the file's times tell the number of a frame.

    Where the beginning is cut, the first frames cannot be decoded: the next one stands for them.
    """

    def __init__(self, path: Path, packets: _Packets) -> None:
        self._path, self._packets = path, packets
        self.start_s, self.rate_hz = packets.shown * packets.time_base, packets.rate_hz
        self._number = -1  # of the last frame that was decoded
        self._frame: av.VideoFrame | None = None
        self._frames: Iterator[av.VideoFrame] = iter(())
        self._rgb = VideoReformatter()  # kept: to make one for every frame takes milliseconds

    def read(self, numbers: npt.NDArray[np.intp]) -> Iterator[Image]:
        for number in numbers.tolist():
            with _reasons("PyAV"):
                self._go_to(number)
            if self._frame is None or self._number < number:
                raise UnreadableVideoError(f"PyAV finds {self._number + 1} of {len(self.start_s)} frames")
            pixels = self._rgb.reformat(self._frame, format="rgb24").to_ndarray()
            yield np.rot90(pixels, self._frame.rotation // 90)

    def _go_to(self, number: int) -> None:
        key, ahead = self._key_before(number), self._frame is not None and self._number <= number
        if key > self._number + 1 or (key and not ahead):
            before = self._frames, self._frame, self._number
            self._begin(key)
            if self._frame is not None and self._number <= number:
                ahead = True
            else:  # the container did not find it
                self._frames, self._frame, self._number = before
        if not ahead:
            self._begin(0)
        while self._number < number and self._next():
            pass

    def _key_before(self, number: int) -> int:
        """The number of the last key frame up to a frame; 0 if the file cannot be read from there."""
        packets = self._packets
        if not packets.seeks:
            return 0
        before = np.searchsorted(packets.keys, packets.shown[number], side="right") - 1
        return int(np.searchsorted(packets.shown, packets.keys[before])) if before >= 0 else 0

    def _begin(self, key: int) -> None:
        self._frames, self._frame, self._number = self._decode(key), None, -1
        self._next()

    def _next(self) -> bool:
        frame = next(self._frames, None)
        if frame is None:
            return False
        self._frame, self._number = frame, self._number + 1
        if self._packets.seeks and frame.pts is not None:
            self._number = int(np.searchsorted(self._packets.shown, frame.pts, side="right")) - 1
        return True

    def _decode(self, key: int) -> Iterator[av.VideoFrame]:
        with _open(self._path) as container:
            if key:
                container.seek(int(self._packets.shown[key]), stream=container.streams.video[0])
            yield from container.decode(video=0)


class _TorchCodec(_PyAV):
    """Like `_Decord`, with timestamps from the file's packets: without decoding, TorchCodec has none."""

    def __init__(self, path: Path, packets: _Packets) -> None:
        super().__init__(path, packets)
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
