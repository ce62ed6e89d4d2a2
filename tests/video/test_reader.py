"""Frames come at 30 Hz, in order, resized and cropped; broken files are refused with a reason."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest

from tsrnet.core.errors import UserError
from tsrnet.video.decoders import PyAV, UnreadableVideoError, decoder_in_use
from tsrnet.video.reader import VideoFrames
from tsrnet.video.writer import write_video

CLIPS = Path(__file__).parents[2].parent / "shared" / "data" / "videos"
needs_clips = pytest.mark.skipif(not CLIPS.is_dir(), reason="the real clips are not here")


def _torchcodec_runs() -> bool:
    try:
        from torchcodec.decoders import VideoDecoder

        VideoDecoder(b"no video")
    except (ImportError, RuntimeError, ValueError) as error:
        return not isinstance(error, ImportError) and "libtorchcodec" not in str(error)
    return True


needs_torchcodec = pytest.mark.skipif(not _torchcodec_runs(), reason="torchcodec or FFmpeg is not here")


def brightness(path: Path, start: int, stop: int) -> np.ndarray:
    """Mean brightness of the top rows, which say the number of the frame."""
    frames = VideoFrames(path).read(start, stop, resize=48, crop=48)
    return frames[:, :10].mean(axis=(1, 2, 3))


def test_frame_k_is_frame_k_and_reading_in_the_middle_is_the_same(moving_square: Path) -> None:
    whole = brightness(moving_square, 0, 60)
    np.testing.assert_allclose(whole, 20 + 2 * np.arange(60), atol=2)
    np.testing.assert_array_equal(brightness(moving_square, 37, 45), whole[37:45])


def test_reading_past_the_end_repeats_the_last_frame(moving_square: Path) -> None:
    values = brightness(moving_square, 57, 63)
    assert len(VideoFrames(moving_square)) == 60
    np.testing.assert_array_equal(values[3:], np.repeat(values[2], 3))


@pytest.mark.parametrize("rate_hz", [10, 24, 25, 60])
def test_other_rates_are_resampled_by_time(tmp_path: Path, rate_hz: int) -> None:
    path = tmp_path / "a.mp4"
    images = (np.full((64, 64, 3), 20 + k * 200 // (2 * rate_hz), np.uint8) for k in range(2 * rate_hz))
    write_video(path, images, frame_rate_hz=rate_hz)
    frames = VideoFrames(path)
    assert (len(frames), frames.duration_s) == (60, pytest.approx(2.0, abs=0.01))
    shown = np.floor(np.arange(60) / 30 * rate_hz + 1e-6)
    np.testing.assert_allclose(brightness(path, 0, 60), 20 + shown * 200 // (2 * rate_hz), atol=2.5)


def test_the_shorter_side_is_resized_and_the_centre_cropped(tmp_path: Path) -> None:
    image = np.zeros((64, 128, 3), np.uint8)
    image[:, 48:80] = 255  # the middle quarter of the width
    write_video(tmp_path / "a.mp4", [image] * 3, frame_rate_hz=30)
    (frame,) = VideoFrames(tmp_path / "a.mp4").read(0, 1, resize=32, crop=16)
    assert frame.shape == (16, 16, 3)
    assert frame.min() > 200


@pytest.mark.parametrize("content", [b"", b"no video at all" * 100, None])
def test_unreadable_files_are_refused_with_a_reason(
    tmp_path: Path, moving_square: Path, content: bytes | None
) -> None:
    path = tmp_path / "broken.mp4"
    path.write_bytes(moving_square.read_bytes()[:1500] if content is None else content)
    with pytest.raises(UnreadableVideoError, match=r"empty|cannot be opened"):
        VideoFrames(path)
    with pytest.raises(UnreadableVideoError, match="no such file"):
        VideoFrames(tmp_path / "none.mp4")


@pytest.mark.parametrize("backend", ["decord", pytest.param("torchcodec", marks=needs_torchcodec)])
def test_all_backends_read_the_same_in_any_order(moving_square: Path, backend: str) -> None:
    for start, stop in ((0, 60), (40, 50), (3, 9), (9, 12)):
        frames = [
            VideoFrames(moving_square, name).read(start, stop, resize=48, crop=48)
            for name in (backend, "pyav")
        ]
        np.testing.assert_array_equal(*frames)
    ahead = VideoFrames(moving_square, "pyav")
    parts = [ahead.read(*span, resize=48, crop=48) for span in ((0, 10), (30, 40), (10, 30))]
    whole = VideoFrames(moving_square, "decord").read(0, 40, resize=48, crop=48)
    np.testing.assert_array_equal(np.concatenate([parts[0], parts[2], parts[1]]), whole)


def write_timed(path: Path, times_ms: list[int], size: tuple[int, int] = (64, 64)) -> None:
    """Frame k, as bright as 20 + k, is shown at times_ms[k]."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = size[1], size[0], "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, time_ms in enumerate(times_ms):
            frame = av.VideoFrame.from_ndarray(np.full((*size, 3), 20 + number, np.uint8), format="rgb24")
            frame.pts, frame.time_base = time_ms, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


@pytest.mark.parametrize("backend", ["decord", "pyav", pytest.param("torchcodec", marks=needs_torchcodec)])
def test_frames_of_a_variable_rate_are_found_by_their_time(tmp_path: Path, backend: str) -> None:
    times_ms = np.cumsum([0, *([20] * 25), *([100] * 10), *([33] * 30)]).tolist()
    write_timed(tmp_path / "a.mp4", times_ms)
    frames = VideoFrames(tmp_path / "a.mp4", backend)
    shown = np.searchsorted(times_ms, np.arange(len(frames)) / 30 * 1000 + 0.5, side="right") - 1
    seen = frames.read(0, len(frames), resize=32, crop=32).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(seen, 20 + shown, atol=2.5)


@pytest.mark.parametrize("backend", ["auto", "pyav"])
@pytest.mark.parametrize("count", [1, 4])
def test_the_shortest_videos_are_read(tmp_path: Path, backend: str, count: int) -> None:
    write_video(tmp_path / "a.mp4", [np.full((66, 98, 3), 90, np.uint8)] * count, frame_rate_hz=30)
    frames = VideoFrames(tmp_path / "a.mp4", backend)
    assert len(frames) == count
    np.testing.assert_allclose(frames.read(0, 6, resize=32, crop=32), 90, atol=2)


def test_a_file_without_video_is_refused_with_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        for _ in range(20):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate = 16000
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(UnreadableVideoError, match="no video stream"):
        VideoFrames(path)


def test_both_sides_are_resized_where_both_are_given(tmp_path: Path) -> None:
    image = np.zeros((64, 128, 3), np.uint8)
    image[16:48, 32:96] = 255  # half of each side
    write_video(tmp_path / "a.mp4", [image] * 3, frame_rate_hz=30)
    (frame,) = VideoFrames(tmp_path / "a.mp4").read(0, 1, resize=(32, 40), crop=32)
    white = frame.mean(axis=2) > 128
    assert (white.any(1).sum(), white.any(0).sum()) == (16, 20)


def test_reading_before_the_start_repeats_the_first_frame(moving_square: Path) -> None:
    values = brightness(moving_square, -3, 2)
    np.testing.assert_array_equal(values[:3], np.repeat(values[3], 3))


def test_frames_that_the_next_read_shares_are_not_decoded_again(
    moving_square: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyAV would begin at the start of the file again."""
    decode, opened = PyAV._decode, []
    monkeypatch.setattr(PyAV, "_decode", lambda self, key: opened.append(1) or decode(self, key))
    frames = VideoFrames(moving_square, "pyav")
    parts = [frames.read(*span, resize=48, crop=48) for span in ((0, 21), (15, 36), (30, 60), (31, 40))]
    assert len(opened) == 1
    whole = VideoFrames(moving_square).read(0, 60, resize=48, crop=48)
    for part, (start, stop) in zip(parts, ((0, 21), (15, 36), (30, 60), (31, 40)), strict=True):
        np.testing.assert_array_equal(part, whole[start:stop])
    other = frames.read(31, 33, resize=40, crop=32)  # of another size, they are
    assert (other.shape, len(opened)) == ((2, 32, 32, 3), 2)


def test_without_decord_auto_is_pyav_and_says_so(
    moving_square: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = brightness(moving_square, 0, 60)
    assert decoder_in_use("auto") == "decord (PyAV where it fails)"
    for module in ("reader", "decoders"):
        monkeypatch.setattr(f"tsrnet.video.{module}.find_decord", lambda: None)
    assert decoder_in_use("auto") == "PyAV (decord is not installed)"
    assert VideoFrames(moving_square).backend == "pyav"
    np.testing.assert_array_equal(brightness(moving_square, 0, 60), whole)
    with pytest.raises(UserError, match=r"video\.backend: got decord, which is not installed"):
        VideoFrames(moving_square, "decord")


def test_torchcodec_that_cannot_run_is_one_line(moving_square: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", None)
    with pytest.raises(UserError, match=r"video\.backend: got torchcodec, which cannot run .*or give auto"):
        VideoFrames(moving_square, "torchcodec")

    class Decoder:
        def __init__(self, *_: object, **__: object) -> None:
            raise RuntimeError("Could not load libtorchcodec. Likely causes:\nFFmpeg is not installed")

    monkeypatch.setitem(sys.modules, "torchcodec", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", SimpleNamespace(VideoDecoder=Decoder))
    with pytest.raises(UserError, match=r"which cannot run here \(TorchCodec: Could not load libtorchcodec"):
        VideoFrames(moving_square, "torchcodec")


def test_what_decord_cannot_read_goes_to_pyav(tmp_path: Path) -> None:
    """decord 0.6 fails on H.264 of 48 x 48 pixels."""
    write_video(tmp_path / "a.mp4", [np.full((48, 48, 3), 90, np.uint8)] * 30, frame_rate_hz=30)
    frames = VideoFrames(tmp_path / "a.mp4")
    np.testing.assert_allclose(frames.read(0, 30, resize=32, crop=32), 90, atol=2)
    assert frames.backend == "pyav"


@needs_clips
@pytest.mark.parametrize("path", sorted(CLIPS.glob("*")), ids=lambda path: path.name)
def test_real_clips_are_the_same_from_all_backends(path: Path) -> None:
    def read(backend: str) -> np.ndarray | str:
        try:
            frames = VideoFrames(path, backend)
            return frames.read(0, len(frames), resize=64, crop=64)
        except UnreadableVideoError as error:
            return str(error)

    one, other = read("auto"), read("pyav")
    if path.name == "corrupted.mp4":
        assert isinstance(one, str)
        assert "decoding fails" in one
        return
    np.testing.assert_array_equal(one, other)
    if path.suffix != ".avi":  # of XVID, decord's last frame is wrong now and then
        np.testing.assert_array_equal(one, read("decord"))
    if _torchcodec_runs():
        np.testing.assert_array_equal(one, read("torchcodec"))


@needs_clips
def test_the_end_of_xvid_is_right_every_time() -> None:
    path = CLIPS / "mmaction2_test.avi"
    with av.open(str(path)) as container:
        last = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)][-1]
    size = min(last.shape[:2])
    top, left = (last.shape[0] - size) // 2, (last.shape[1] - size) // 2
    expected = last[top : top + size, left : left + size]
    frames = VideoFrames(path)
    for repetition in range(200):
        reader = VideoFrames(path) if repetition % 2 else frames  # a fresh read, a read again
        end = reader.read(len(reader) - 16, len(reader), resize=size, crop=size)[-1]
        np.testing.assert_array_equal(end, expected)


def _with_boxes(source: Path, target: Path, name: bytes, at: int, value: int) -> Path:
    """A copy of an mp4 with another 32-bit number `at` bytes after the name of a box."""
    content = bytearray(source.read_bytes())
    place = content.index(name) + len(name) + at
    content[place : place + 4] = value.to_bytes(4, "big")
    target.write_bytes(content)
    return target


@pytest.mark.parametrize("backend", ["auto", "pyav"])
def test_a_duration_is_believed_as_far_as_the_frames_bear_it_out(
    moving_square: Path, tmp_path: Path, backend: str
) -> None:
    slow = _with_boxes(moving_square, tmp_path / "slow.mp4", b"mdhd", 12, 1)  # ticks a second
    long = _with_boxes(moving_square, tmp_path / "long.mp4", b"stts", 12, 0x7FFFFFFF)  # ticks a frame
    for path in (slow, long):
        with pytest.raises(UnreadableVideoError, match=r"times are damaged: \d+ frames in .* s, one"):
            VideoFrames(path, backend)


def test_a_title_that_is_not_utf8_does_not_matter(moving_square: Path, tmp_path: Path) -> None:
    path = tmp_path / "title.mp4"
    with av.open(str(moving_square)) as source, av.open(str(path), "w") as target:
        target.metadata["title"] = "caf__"
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    path.write_bytes(path.read_bytes().replace(b"caf__", b"caf\xe9\x80"))
    for backend in ("auto", "pyav"):
        np.testing.assert_array_equal(
            VideoFrames(path, backend).read(3, 5, resize=48, crop=48),
            VideoFrames(moving_square, backend).read(3, 5, resize=48, crop=48),
        )


@needs_clips
def test_a_file_that_is_cut_in_its_header_has_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "cut.mov"
    path.write_bytes((CLIPS / "unordered.mov").read_bytes()[:1123])
    for backend in ("auto", "pyav"):
        with pytest.raises(UnreadableVideoError, match="cannot be opened"):
            VideoFrames(path, backend)


H264 = {"g": "30", "bf": "2", "sc_threshold": "0"}


def drawn(path: Path, codec: str, options: dict[str, str]) -> Path:
    """120 frames, each brighter by one than the one before."""
    with av.open(str(path), "w") as target:
        try:
            stream = target.add_stream(codec, rate=30, options=options)
        except (av.FFmpegError, ValueError):
            pytest.skip(f"this FFmpeg has no {codec}")
        stream.width = stream.height = 64
        stream.pix_fmt, stream.bit_rate = "yuv420p", 2_000_000
        for k in range(120):
            image = np.full((64, 64, 3), 20 + k, np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")):
                target.mux(packet)
        for packet in stream.encode():
            target.mux(packet)
    return path


@pytest.mark.parametrize(
    ("name", "codec", "options", "backend"),
    [
        ("closed.mp4", "libx264", H264, "decord"),
        ("closed.mkv", "libx264", H264, "decord"),
        ("open.mp4", "libx264", {**H264, "x264-params": "open-gop=1"}, "pyav"),
        ("open.mkv", "libx264", {**H264, "x264-params": "open-gop=1"}, "pyav"),
        ("open.mov", "libx265", {"x265-params": "log-level=0:keyint=30:open-gop=1"}, "pyav"),
        ("stream.ts", "libx264", H264, "pyav"),
        ("old.mpg", "mpeg2video", {"g": "30", "bf": "2"}, "pyav"),
        ("old.avi", "libx264", H264, "pyav"),
        ("old.wmv", "wmv2", {"g": "30"}, "pyav"),
    ],
)
def test_frame_k_is_frame_k_in_every_container(
    tmp_path: Path, name: str, codec: str, options: dict[str, str], backend: str
) -> None:
    """decord loses count after a jump in some, so it is not used there."""
    path = drawn(tmp_path / name, codec, options)
    assert VideoFrames(path).backend == backend
    for start in (0, 31, 45, 88, 110):
        np.testing.assert_allclose(brightness(path, start, start + 10), 20 + start + np.arange(10), atol=1.6)
    frames = VideoFrames(path, "pyav")
    for start in (88, 20, 21, 60, 110):  # of one reader, back and forth
        values = frames.read(start, start + 5, resize=48, crop=48).mean(axis=(1, 2, 3))
        np.testing.assert_allclose(values, 20 + start + np.arange(5), atol=1.6)


def test_torchcodec_leaves_such_containers_to_pyav(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", None)  # it would fail if it were asked
    assert VideoFrames(drawn(tmp_path / "old.avi", "libx264", H264), "torchcodec").backend == "pyav"


@pytest.mark.parametrize("suffix", ["ts", "mkv", "mp4"])
def test_a_file_that_begins_between_key_frames_keeps_its_times(tmp_path: Path, suffix: str) -> None:
    whole, path = drawn(tmp_path / f"whole.{suffix}", "libx264", H264), tmp_path / f"part.{suffix}"
    with av.open(str(whole)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in [packet for packet in source.demux(video=0) if packet.size][12:]:
            packet.stream = stream
            target.mux(packet)
    assert VideoFrames(path).backend == "pyav"
    values = brightness(path, 0, len(VideoFrames(path)))
    np.testing.assert_allclose(values[-80:], 20 + np.arange(40, 120), atol=2.6)
    np.testing.assert_allclose(values[:15], 20 + 30, atol=1.6)  # the first frame that can be decoded


def test_frames_before_an_edit_list_do_not_count(tmp_path: Path) -> None:
    """As after `ffmpeg -ss ... -c copy`: packets that are needed to decode, and are not shown."""
    images = (np.full((64, 64, 3), 20 + 2 * k, np.uint8) for k in range(60))
    write_video(tmp_path / "whole.mp4", images, frame_rate_hz=30)
    path = tmp_path / "cut.mp4"
    with av.open(str(tmp_path / "whole.mp4")) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                ticks = round(20 / 30 / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts - ticks, packet.dts - ticks, stream
                target.mux(packet)
    frames = VideoFrames(path)
    assert (frames.backend, len(frames), frames.duration_s) == ("pyav", 40, pytest.approx(4 / 3, abs=0.01))
    np.testing.assert_allclose(brightness(path, 0, 40), 20 + 2 * np.arange(20, 60), atol=2.5)
    np.testing.assert_allclose(brightness(path, 30, 31), 20 + 2 * 50, atol=2.5)
    with pytest.raises(UnreadableVideoError, match="wrong frames"):
        VideoFrames(path, "decord")
