"""Frames come at 30 Hz, in order, resized and cropped; broken files are refused with a reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tsrnet.video.reader import UnreadableVideoError, VideoFrames
from tsrnet.video.writer import write_video


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
    with pytest.raises(UnreadableVideoError, match=r"empty|cannot open"):
        VideoFrames(path)
    with pytest.raises(UnreadableVideoError, match="no such file"):
        VideoFrames(tmp_path / "none.mp4")
