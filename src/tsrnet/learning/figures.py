"""From results of videos to what a run reports: metrics.json and detections.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tsrnet.datasets.records import VideoRecord
from tsrnet.learning.testing import VideoResult
from tsrnet.metrics.detection import Segments
from tsrnet.metrics.protocols import Protocol
from tsrnet.metrics.recognition import recognition_figures
from tsrnet.video.time_grid import TimeGrid


@dataclass(frozen=True)
class Detection:
    """A detected instance, in seconds."""

    label: str
    start_s: float
    end_s: float
    score: float


def detections_of(result: VideoResult, classes: Sequence[str], grid: TimeGrid) -> list[Detection]:
    """The runs of a video as segments in seconds, eq. (12)."""
    return [
        Detection(classes[run.label], *grid.seconds((run.start, run.stop)), run.score) for run in result.runs
    ]


def submission(detections: dict[str, list[Detection]]) -> dict[str, object]:
    """Detections in ActivityNet's submission format."""
    return {
        "version": "VERSION 1.3",
        "results": {
            video_id: [
                {
                    "label": found.label,
                    "segment": [round(found.start_s, 4), round(found.end_s, 4)],
                    "score": round(found.score, 6),
                }
                for found in sorted(detections[video_id], key=lambda found: -found.score)
            ]
            for video_id in sorted(detections)
        },
        "external_data": {
            "used": True,
            "details": "trimmed videos for knowledge transfer, pretrained backbone",
        },
    }


@dataclass
class FigureCollector:
    """Gathers what the figures need, video by video; memory does not hold their scores."""

    records: dict[str, VideoRecord]
    classes: tuple[str, ...]
    detections: dict[str, list[Detection]] = field(default_factory=dict)
    _probabilities: dict[str, list[np.ndarray]] = field(default_factory=dict)
    _labels: list[np.ndarray] = field(default_factory=list)
    _attention: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def add(self, result: VideoResult, grid: TimeGrid) -> None:
        record = self.records[result.id]
        self.detections[result.id] = detections_of(result, self.classes, grid)
        self._labels.append(self._row(record))
        for stream, probabilities in result.probabilities.items():
            self._probabilities.setdefault(stream, []).append(probabilities)
        for stream, attention in result.attention.items():
            inside = grid.inside([(s.start_s, s.end_s) for s in record.segments], len(attention))
            if inside.any() and not inside.all():
                relative = attention * len(attention)
                means = (float(relative[inside].mean()), float(relative[~inside].mean()))
                self._attention.setdefault(stream, []).append(means)

    def headline(self, protocol: Protocol) -> dict[str, Any]:
        """Figures on the full ground truth: a video without a result counts as missed."""
        missing = [self._row(record) for record in self.records.values() if record.id not in self.detections]
        return self._figures(protocol, self.records, np.array(missing) if missing else None)

    def available(self, protocol: Protocol) -> dict[str, Any]:
        """Figures on the videos that have a result, and how many these are."""
        records = {video_id: self.records[video_id] for video_id in self.detections}
        return {"videos": len(records), **self._figures(protocol, records, None)}

    def _row(self, record: VideoRecord) -> np.ndarray:
        return np.array([name in record.labels for name in self.classes])

    def _figures(
        self, protocol: Protocol, records: Mapping[str, VideoRecord], missing: np.ndarray | None
    ) -> dict[str, Any]:
        """recognition: stream or "fusion" -> accuracy, mAP, hit@k; detection: those of the protocol."""
        labels = np.stack(self._labels)
        recognition = {
            stream: recognition_figures(np.stack(rows).astype(np.float64), labels, missing=missing)
            for stream, rows in self._probabilities.items()
        }
        number = {video_id: index for index, video_id in enumerate(records)}
        label = {name: index for index, name in enumerate(self.classes)}
        found = Segments.of(
            [
                (number[video_id], label[d.label], d.start_s, d.end_s, d.score)
                for video_id, detections in self.detections.items()
                for d in detections
            ]
        )
        truth = Segments.of(
            [
                (number[record.id], label[s.label], s.start_s, s.end_s, 0.0)
                for record in records.values()
                for s in record.segments
            ]
        )
        return {
            "recognition": recognition,
            "detection": protocol.detection_figures(found, truth, self.classes),
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
