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
from tsrnet.evaluation.timelines import detected_segments, evenly_spaced, frames_of, timeline_of
from tsrnet.reporting.interchange.subtitles import to_srt
from tsrnet.reporting.page import Page, write_page
from tsrnet.reporting.timeline import Detection, draw_timeline

if TYPE_CHECKING:
    import pandas as pd

MAX_EMBEDDED_BYTES = 50_000_000
"""A page shows thumbnails of a larger video, because it would be slow to open."""
_PLAYABLE = {".mp4": "video/mp4", ".m4v": "video/mp4", ".webm": "video/webm", ".ogv": "video/ogg"}
_THUMBNAILS, _THUMBNAIL_SIZE, _BEST = 60, 320, 5


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
        found = sorted(detected_segments(result, classes), key=lambda one: -one.score)
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

    def plot(self, path: str | Path) -> None:
        """Write the timeline as PNG: frames, detections, scores, class activations, attention."""
        timeline = timeline_of(
            self.result,
            title=self.video.name,
            classes=self.classes,
            thresholds=self.thresholds,
            duration_s=self.duration_s,
            video=self.video,
        )
        with atomic_path(Path(path)) as part:
            draw_timeline(timeline, part)

    def to_html(self, path: str | Path, *, video_id: str | None = None) -> None:
        """Write one HTML page with the video (up to 50 MB, else thumbnails) and its timeline.

        `video_id`: of the video in the files that the page exports; None: the name of its file.
        """
        top, kind = self.classes[self.result.top], _PLAYABLE.get(self.video.suffix.lower())
        embedded = kind and self.video.stat().st_size <= MAX_EMBEDDED_BYTES
        times_s = evenly_spaced(self.duration_s, _THUMBNAILS)
        frames = frames_of(self.video, times_s, size=_THUMBNAIL_SIZE)
        # A still stands for the time from halfway to the one before it.
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
    """ActivityNet's submission format, which `tsrnet.score` reads, of videos by their ids."""
    results = {
        video_id: [
            {"label": d.label, "segment": [d.start_s, d.end_s], "score": d.score} for d in one.detections
        ]
        for video_id, one in videos.items()
    }
    return submission(results)


def _jpeg(frame: npt.NDArray[np.uint8]) -> bytes:
    done, content = cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    assert done
    return content.tobytes()
