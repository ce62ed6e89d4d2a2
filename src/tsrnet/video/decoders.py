"""What decodes the frames of a file: decord, PyAV or TorchCodec, and which of them find the right ones."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.video.reformatter import VideoReformatter

from tsrnet.core.errors import UserError

_AT_ONCE = 16
"""Frames decoded before they are made small: bounds the memory for 4K videos."""
_EXACT_CONTAINERS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "flv")
"""FFmpeg's names of containers in which decord finds the right frame after a jump; not in AVI, MPEG, WMV."""

Image = npt.NDArray[np.uint8]

# What FFmpeg finds wrong with a file comes back as an error with the file's name.
av.logging.set_level(None)


class UnreadableVideoError(Exception):
    """A video that cannot be decoded as it should be, with the reason."""


@dataclass(frozen=True)
class Packets:
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


def read_packets(path: Path) -> Packets:
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
        return Packets(
            times,
            np.unique(np.array(keys, np.int64)),
            float(stream.time_base or 1),
            float(stream.average_rate or stream.guessed_rate or 0),
            has_times and name in (*_EXACT_CONTAINERS, "mpegts"),
            exact,
        )


class Decord:
    """Frames of a file by their number, turned by its rotation tag, in any order.

    `start_s` (n,): when each is shown, not rising if that is unknown. `rate_hz`: the average.
    """

    def __init__(self, path: Path, _: Packets) -> None:
        decord = find_decord()
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


class PyAV:
    """Like `Decord`, from the key frame before, where the file's times tell the number of a frame.

    Where the beginning is cut, the first frames cannot be decoded: the next one stands for them.
    """

    def __init__(self, path: Path, packets: Packets) -> None:
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


class TorchCodec(PyAV):
    """Like `Decord`, with timestamps from the file's packets: without decoding, TorchCodec has none."""

    def __init__(self, path: Path, packets: Packets) -> None:
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


DECODERS: dict[str, type[Decord | PyAV]] = {"decord": Decord, "pyav": PyAV, "torchcodec": TorchCodec}


@functools.cache
def find_decord() -> Any:
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
    return "decord (PyAV where it fails)" if find_decord() else "PyAV (decord is not installed)"


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
