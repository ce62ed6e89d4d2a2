"""The detections in one of your own videos: as JSON, table, subtitles, picture and page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from tsrnet.core.errors import UserError
from tsrnet.core.files import atomic_path
from tsrnet.evaluation.evaluator import submission
from tsrnet.evaluation.localize_videos import VideoResult
from tsrnet.reporting.interchange.subtitles import to_srt
from tsrnet.reporting.page import Page, write_page
from tsrnet.reporting.timeline import Curve, Detection, Timeline, draw_timeline
from tsrnet.video.reader import VideoFrames
from tsrnet.video.time_grid import FRAME_RATE_HZ
from tsrnet.video.writer import write_video

if TYPE_CHECKING:
    import pandas as pd

Image = npt.NDArray[np.uint8]
MAX_EMBEDDED_BYTES = 50_000_000
"""A page shows thumbnails of a larger video, because it would be slow to open."""
_PLAYABLE = {".mp4": "video/mp4", ".m4v": "video/mp4", ".webm": "video/webm", ".ogv": "video/ogg"}
_THUMBNAILS, _THUMBNAIL_SIZE, _BEST = 60, 320, 5
CLIP_RATE_HZ, CLIP_LONGEST_S, CLIP_SIZE = 10, 10.0, 224


@dataclass(frozen=True)
class VideoDetections:
    """The detections of a video, best first, and the probabilities of its classes, most likely first.

    `result` has the attention, class activations and scores of every snippet.
    """

    video: Path
    duration_s: float
    detections: tuple[Detection, ...]
    probabilities: dict[str, float]
    result: VideoResult = field(repr=False)
    classes: tuple[str, ...] = field(repr=False)
    thresholds: tuple[float, ...] = field(repr=False)

    @classmethod
    def of(
        cls,
        result: VideoResult,
        *,
        video: Path,
        duration_s: float,
        classes: Sequence[str],
        thresholds: tuple[float, ...],
    ) -> VideoDetections:
        """Make it from a result of the localisation; `thresholds` are drawn with the scores."""
        runs = zip(*(column.tolist() for column in vars(result.runs).values()), strict=True)
        found = [
            Detection(classes[label], *result.grid.seconds((start, stop)), score)
            for label, start, stop, score in runs
        ]
        found.sort(key=lambda one: -one.score)
        fused = list(result.probabilities.values())[-1]
        ranked = {classes[label]: float(fused[label]) for label in np.argsort(-fused)}
        return cls(video, duration_s, tuple(found), ranked, result, tuple(classes), thresholds)

    def to_json(self) -> str:
        """JSON in ActivityNet's submission format; the id of the video is the name of its file."""
        return json.dumps(submission_of({self.video.name: self}), indent=1)

    def to_pandas(self) -> pd.DataFrame:
        """A table with a row for each detection: video, label, start_s, end_s, score. Needs pandas."""
        try:
            import pandas as pd
        except ImportError as error:
            raise UserError("to_pandas: pandas is not installed; pip install pandas") from error
        rows = [{"video": self.video.name, **vars(one)} for one in self.detections]
        return pd.DataFrame(rows, columns=["video", "label", "start_s", "end_s", "score"])

    def to_srt(self) -> str:
        """Subtitles that name each action while it happens."""
        return to_srt(self.detections)

    def plot(
        self,
        path: str | Path,
        *,
        title: str | None = None,
        truth: Sequence[Detection] = (),
        frames: bool = True,
    ) -> None:
        """Write the timeline as PNG: frames, detections, scores, class activations, attention.

        `title`: None for the name of the file. `truth`: the annotated segments. `frames`: draw frames, too.
        """
        result, top = self.result, self.classes[self.result.top]
        length = len(result.score)
        middles_s = result.grid.centres_s(length)
        timeline = Timeline(
            title=f"{title or self.video.name} (recognised: {top})",
            duration_s=self.duration_s,
            strip=frames_of(self.video, evenly_spaced(self.duration_s)) if frames else [],
            classes=self.classes,
            truth=truth,
            detections=self.detections,
            score=Curve("fused score" if len(result.attention) > 1 else "score", middles_s, result.score),
            thresholds=self.thresholds,
            top=top,
            attention=[Curve(name, middles_s, value * length) for name, value in result.attention.items()],
            activations=[
                Curve(name, middles_s, 1 / (1 + np.exp(-value))) for name, value in result.activations.items()
            ],
        )
        with atomic_path(Path(path)) as part:
            draw_timeline(timeline, part)

    def to_html(self, path: str | Path, *, video_id: str | None = None) -> None:
        """Write one HTML page with the video (up to 50 MB, else thumbnails) and its timeline.

        `video_id`: id of the video in the files that the page exports; None: the name of its file.
        """
        top, kind = self.classes[self.result.top], _PLAYABLE.get(self.video.suffix.lower())
        embedded = kind and self.video.stat().st_size <= MAX_EMBEDDED_BYTES
        times_s = evenly_spaced(self.duration_s, _THUMBNAILS)
        frames = frames_of(self.video, times_s, size=_THUMBNAIL_SIZE)
        # A thumbnail begins halfway between the one before it and itself.
        starts_s = [time_s - self.duration_s / _THUMBNAILS / 2 for time_s in times_s]
        curves: dict[str, npt.NDArray[np.float32]] = {f"score {top}": self.result.score}
        for stream, activation in self.result.activations.items():
            curves[f"activation {stream}"] = (1 / (1 + np.exp(-activation))).astype(np.float32)
        for stream, attention in self.result.attention.items():
            curves[f"attention {stream}"] = attention / attention.max()
        page = Page(
            title=self.video.name,
            duration_s=self.duration_s,
            rate_hz=self.result.grid.rate_hz,
            first_s=self.result.grid.offset_s,
            detections=self.detections,
            curves=curves,
            probabilities=dict(list(self.probabilities.items())[:_BEST]),
            thumbnails=[(t, _jpeg(frame)) for t, frame in zip(starts_s, frames, strict=True)],
            video=(str(kind), self.video.read_bytes()) if embedded else None,
            id=video_id,
            classes=self.classes,
        )
        write_page(Path(path), page)


def submission_of(videos: Mapping[str, VideoDetections]) -> dict[str, Any]:
    """The detections of videos, by id, in ActivityNet's submission format, which `tsrnet.score` reads."""
    results = {
        video_id: [
            {"label": d.label, "segment": [d.start_s, d.end_s], "score": d.score} for d in one.detections
        ]
        for video_id, one in videos.items()
    }
    return submission(results)


def frames_of(path: Path, times_s: Sequence[float], *, size: int = 160) -> list[Image]:
    """The frames at these times, (size, size, 3) RGB; none where there is no video."""
    if not path.is_file():
        return []
    frames = VideoFrames(path)
    indices = [int(time_s * FRAME_RATE_HZ) for time_s in times_s]
    return [frames.read(index, index + 1, resize=size, crop=size)[0] for index in indices]


def write_clip(video: Path, path: Path, *, start_s: float, end_s: float) -> None:
    """Write the first 10 s of a segment as mp4: 10 Hz, the middle 224 x 224 pixels, without sound."""
    frames = VideoFrames(video)
    first = min(max(0, int(start_s * FRAME_RATE_HZ)), len(frames) - 1)
    last = int(min(end_s, start_s + CLIP_LONGEST_S) * FRAME_RATE_HZ)
    images = frames.read(first, min(max(last, first + 1), len(frames)), resize=CLIP_SIZE, crop=CLIP_SIZE)
    with atomic_path(path) as part:
        write_video(part, images[:: FRAME_RATE_HZ // CLIP_RATE_HZ], frame_rate_hz=CLIP_RATE_HZ)


def evenly_spaced(duration_s: float, number: int = 12) -> list[float]:
    """Seconds in the middle of `number` equal parts."""
    return [(part + 0.5) * duration_s / number for part in range(number)]


def _jpeg(frame: Image) -> bytes:
    done, content = cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    assert done
    return content.tobytes()
