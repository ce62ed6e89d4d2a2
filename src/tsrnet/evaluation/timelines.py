"""What a video and its results look like: frames of it, and the timeline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tsrnet.evaluation.localize_videos import VideoResult
from tsrnet.reporting.timeline import Curve, Detection, Timeline
from tsrnet.video.reader import VideoFrames
from tsrnet.video.time_grid import FRAME_RATE_HZ

Image = npt.NDArray[np.uint8]
_FRAMES = 12
_SIZE = 160


def frames_of(path: Path, times_s: Sequence[float], *, size: int = _SIZE) -> list[Image]:
    """The frames at these times, (size, size, 3) RGB; none where there is no video."""
    if not path.is_file():
        return []
    frames = VideoFrames(path)
    indices = [int(time_s * FRAME_RATE_HZ) for time_s in times_s]
    return [frames.read(index, index + 1, resize=size, crop=size)[0] for index in indices]


def evenly_spaced(duration_s: float, number: int = _FRAMES) -> list[float]:
    """Seconds in the middle of so many equal parts."""
    return [(part + 0.5) * duration_s / number for part in range(number)]


def detected_segments(result: VideoResult, classes: Sequence[str]) -> list[Detection]:
    """The detections of a video in seconds."""
    runs = zip(*(column.tolist() for column in vars(result.runs).values()), strict=True)
    return [
        Detection(classes[label], *result.grid.seconds((start, stop)), score)
        for label, start, stop, score in runs
    ]


def timeline_of(
    result: VideoResult,
    *,
    title: str,
    classes: Sequence[str],
    thresholds: tuple[float, ...],
    duration_s: float,
    video: Path | None,
    truth: Sequence[Detection] = (),
) -> Timeline:
    """What `draw_timeline` draws of a video; `video` None: without frames."""
    length, top = len(result.score), classes[result.top]
    middles_s = result.grid.centres_s(length)
    return Timeline(
        title=f"{title} (recognised: {top})",
        duration_s=duration_s,
        strip=frames_of(video, evenly_spaced(duration_s)) if video else [],
        classes=classes,
        truth=truth,
        detections=detected_segments(result, classes),
        score=Curve("fused score" if len(result.attention) > 1 else "score", middles_s, result.score),
        thresholds=thresholds,
        top=top,
        attention=[Curve(name, middles_s, value * length) for name, value in result.attention.items()],
        activations=[
            Curve(name, middles_s, 1 / (1 + np.exp(-value))) for name, value in result.activations.items()
        ],
    )
