"""Short clips of detected segments."""

from __future__ import annotations

from pathlib import Path

from tsrnet.core.files import atomic_path
from tsrnet.video.reader import VideoFrames
from tsrnet.video.time_grid import FRAME_RATE_HZ
from tsrnet.video.writer import write_video

CLIP_RATE_HZ, CLIP_LONGEST_S, CLIP_SIZE = 10, 10.0, 224


def write_clip(video: Path, path: Path, *, start_s: float, end_s: float) -> None:
    """Write the first 10 s of a segment as mp4: 10 Hz, the middle 224 x 224 pixels, without sound."""
    frames = VideoFrames(video)
    first = min(max(0, int(start_s * FRAME_RATE_HZ)), len(frames) - 1)
    last = int(min(end_s, start_s + CLIP_LONGEST_S) * FRAME_RATE_HZ)
    images = frames.read(first, min(max(last, first + 1), len(frames)), resize=CLIP_SIZE, crop=CLIP_SIZE)
    with atomic_path(path) as part:
        write_video(part, images[:: FRAME_RATE_HZ // CLIP_RATE_HZ], frame_rate_hz=CLIP_RATE_HZ)
