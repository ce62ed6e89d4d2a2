"""Clips show their segment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tsrnet.evaluation.video_detections import CLIP_RATE_HZ, CLIP_SIZE, write_clip
from tsrnet.video.reader import VideoFrames


@pytest.mark.parametrize(
    ("start_s", "end_s", "length_s"), [(0.5, 1.5, 1.0), (1.9, 1.91, 0.1), (1.0, 99.0, 1.0), (5.0, 6.0, 0.1)]
)
def test_a_clip_is_the_segment(
    moving_square: Path, tmp_path: Path, start_s: float, end_s: float, length_s: float
) -> None:
    """Frame k of the video is as bright as k."""
    write_clip(moving_square, tmp_path / "a.mp4", start_s=start_s, end_s=end_s)
    frames = VideoFrames(tmp_path / "a.mp4")
    assert len(frames) / 30 == pytest.approx(length_s, abs=1.5 / CLIP_RATE_HZ)
    first = frames.read(0, 1, resize=CLIP_SIZE, crop=CLIP_SIZE)[0]
    assert np.median(first) == pytest.approx(20 + 2 * min(59, 30 * start_s), abs=4)
