"""From results of videos to what a run reports: metrics.json and detections.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from tsrnet.datasets.records import VideoRecord
from tsrnet.evaluation.localize_videos import VideoResult
from tsrnet.metrics.detection import Ints, Segments
from tsrnet.metrics.protocols import Protocol
from tsrnet.metrics.recognition import recognition_metrics
from tsrnet.metrics.video_results import Results, VideoResults
from tsrnet.video.time_grid import TimeGrid

EXTERNAL_DATA = {"used": True, "details": "trimmed videos for knowledge transfer, pretrained backbone"}
"""What a submission in ActivityNet's format has to say of it."""


def submission(detections: Segments, videos: Mapping[int, str], classes: Sequence[str]) -> dict[str, object]:
    """Detections in ActivityNet's submission format, an entry for each of `videos`, the best first.

    `videos`: index -> id.
    """
    results: dict[str, list[dict[str, object]]] = {video: [] for video in sorted(videos.values())}
    ranked = detections[np.argsort(-detections.score, kind="stable")]
    # Nothing is rounded: others must get the same figures from the file.
    columns = (ranked.video, ranked.label, ranked.start_s, ranked.end_s, ranked.score)
    for video, label, start_s, end_s, score in zip(*(column.tolist() for column in columns), strict=True):
        results[videos[video]].append({"label": classes[label], "segment": [start_s, end_s], "score": score})
    return {
        "version": "VERSION 1.3",
        "results": results,
        "external_data": EXTERNAL_DATA,
    }


class FigureCollector:
    """Gathers what the figures need, video by video; memory does not hold the scores of snippets."""

    def __init__(self, records: Sequence[VideoRecord], classes: tuple[str, ...]) -> None:
        self.records, self.classes = tuple(records), classes
        self.index = {record.id: number for number, record in enumerate(records)}
        self._results: VideoResults | None = None
        self._attention: dict[str, list[tuple[float, float]]] = {}

    def add(self, result: VideoResult, grid: TimeGrid) -> None:
        record = self.records[self.index[result.id]]
        if self._results is None:
            self._results = VideoResults(tuple(result.probabilities))
        runs = result.runs
        start_s, end_s = grid.seconds((runs.start, runs.stop))
        self._results.update(
            self.index[result.id],
            torch.from_numpy(np.stack([runs.label, start_s, end_s, runs.score], axis=1)),
            {stream: torch.from_numpy(values) for stream, values in result.probabilities.items()},
        )
        for stream, attention in result.attention.items():
            inside = grid.inside([(s.start_s, s.end_s) for s in record.segments], len(attention))
            if inside.any() and not inside.all():
                relative = attention * len(attention)
                means = (float(relative[inside].mean()), float(relative[~inside].mean()))
                self._attention.setdefault(stream, []).append(means)

    def results(self) -> Results:
        """What was found in the videos that have a result."""
        return (self._results or VideoResults(())).results()

    def confusion(self) -> tuple[list[str], list[str], list[str]]:
        """The classes; of each video with a label the first one, and the class that is recognised."""
        results = self.results()
        fused = list(results.probabilities.values())[-1]
        true, recognised = [], []
        for video, scores in zip(results.videos, fused, strict=True):
            if labels := self.records[video].labels:
                true.append(labels[0])
                recognised.append(self.classes[int(scores.argmax())])
        return list(self.classes), true, recognised

    def submission(self) -> dict[str, Any]:
        """All detections in ActivityNet's submission format."""
        results = self.results()
        videos = {int(video): self.records[video].id for video in results.videos}
        return submission(results.detections, videos, self.classes)

    def figures(self, protocol: Protocol) -> dict[str, Any]:
        """Figures on the full ground truth, where a video without a result counts as missed; below
        "available" those of the videos that have one, and how many these are."""
        results = self.results()
        everything = self._figures(protocol, results, np.arange(len(self.records)))
        there = everything
        if len(results.videos) < len(self.records):
            there = self._figures(protocol, results, results.videos)
        return {**everything, "available": {"videos": len(results.videos), **there}}

    def _figures(self, protocol: Protocol, results: Results, videos: Ints) -> dict[str, Any]:
        """recognition: stream or "fusion" -> accuracy, mAP, hit@k; detection: those of the protocol, None
        where no video has a segment."""
        records = [self.records[video] for video in videos]
        labels = np.array([[name in record.labels for name in self.classes] for record in records])
        has = np.isin(videos, results.videos)
        missing = None if has.all() else labels[~has]
        recognition = {
            stream: recognition_metrics(scores, labels[has], missing=missing)
            for stream, scores in results.probabilities.items()
        }
        if not any(record.segments for record in records):  # held out of training: labels are all there is
            return {"recognition": recognition, "detection": None}
        label = {name: index for index, name in enumerate(self.classes)}
        truth = Segments.of(
            [
                (video, label[s.label], s.start_s, s.end_s, 0.0)
                for video, record in zip(videos, records, strict=True)
                for s in record.segments
            ]
        )
        ambiguous = Segments.of(
            [
                (video, -1, s.start_s, s.end_s, 0.0)
                for video, record in zip(videos, records, strict=True)
                for s in record.ambiguous
            ]
        )
        return {
            "recognition": recognition,
            "detection": protocol.detection_metrics(results.detections, truth, self.classes, ambiguous),
        }

    def attention(self) -> dict[str, dict[str, float]]:
        """Mean attention inside and outside ground-truth segments, in units of 1 / n, and ratio."""
        figures = {}
        for stream, rows in self._attention.items():
            inside, outside = np.mean(rows, axis=0)
            figures[stream] = {
                "inside": float(inside),
                "outside": float(outside),
                "ratio": float(inside / outside),
            }
        return figures
