"""Recognition and temporal localisation of test videos as a torchmetrics metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from tsrnet.core.errors import UserError
from tsrnet.datasets.records import Segment, VideoRecord
from tsrnet.evaluation.localize_videos import VideoResult
from tsrnet.metrics.detection import Ints, Segments
from tsrnet.metrics.diagnosis import Diagnosis
from tsrnet.metrics.protocols import Protocol
from tsrnet.metrics.recognition import recognition_metrics

EXTERNAL_DATA = {"used": True, "details": "trimmed videos for knowledge transfer, pretrained backbone"}
"""What a submission in ActivityNet's format must state about external data."""


@dataclass(frozen=True)
class Results:
    """Results of the videos with the ascending indices `videos`: detections in the order of `submission`, and
    stream -> (videos, classes) probabilities. `attention` (rows, 3): index of the stream, mean attention
    inside and outside segments."""

    videos: Ints
    detections: Segments
    probabilities: Mapping[str, npt.NDArray[np.float64]]
    attention: npt.NDArray[np.float64]


class VideoEvaluator(Metric):
    """Accuracy, mAP and hit@k of recognition, mAP of detection, and attention inside and outside segments.

    Videos without a result count as missed. A video with results of two processes counts once.

    Args:
        records: all annotated test videos, also those without features.
        classes: the class names in the order of the network's outputs.
        protocol: rule and tIoU thresholds of the mAP of detection.
        streams: the streams of the results, with "fusion" last if there are two.
        options: as for `torchmetrics.Metric`.
    """

    full_state_update = False

    def __init__(
        self,
        records: Sequence[VideoRecord],
        classes: Sequence[str],
        protocol: Protocol,
        *,
        streams: Sequence[str],
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.records, self.classes, self.protocol = tuple(records), tuple(classes), protocol
        self.streams = tuple(streams)
        self._index = {record.id: number for number, record in enumerate(records)}
        for name in ("videos", "counts", "detections", "attention", *map(_state, streams)):
            self.add_state(name, [], dist_reduce_fx="cat")

    def update(self, result: VideoResult) -> None:
        """Add the result of a video; the scores of its snippets are not kept."""
        index, runs, grid = self._index[result.id], result.runs, result.grid
        start_s, end_s = grid.seconds((runs.start, runs.stop))
        self._add("videos", [index])
        self._add("counts", [len(runs.label)])
        self._add("detections", np.stack([runs.label, start_s, end_s, runs.score], axis=1))
        for stream in self.streams:
            self._add(_state(stream), result.probabilities[stream][None])
        segments = [(s.start_s, s.end_s) for s in self.records[index].segments]
        rows = []
        for number, attention in enumerate(result.attention.values()):
            inside = grid.inside(segments, len(attention))
            if inside.any() and not inside.all():
                relative = attention * len(attention)
                rows.append((index, number, float(relative[inside].mean()), float(relative[~inside].mean())))
        self._add("attention", np.array(rows).reshape(-1, 4))

    def _add(self, name: str, values: npt.ArrayLike) -> None:
        kind = np.int64 if name in ("videos", "counts") else np.float64
        getattr(self, name).append(torch.from_numpy(np.asarray(values, kind)).to(self.device))

    def compute(self) -> dict[str, Any]:
        """The metrics as in metrics.json, as fractions. "recognition": stream -> name -> value. "detection":
        the metrics of the protocol, None if no video has a segment. "available": both, for the videos with a
        result. "attention": stream -> means inside and outside segments in units of 1 / n, and the ratio."""
        results = self.results()
        everything = self._metrics(results, np.arange(len(self.records)))
        available = everything
        if len(results.videos) < len(self.records):
            available = self._metrics(results, results.videos)
        return {
            **everything,
            "available": {"videos": len(results.videos), **available},
            "attention": self._attention(results.attention),
        }

    def _metrics(self, results: Results, videos: Ints) -> dict[str, Any]:
        records = [self.records[video] for video in videos]
        labels = np.array([[name in record.labels for name in self.classes] for record in records])
        has = np.isin(videos, results.videos)
        missing = None if has.all() else labels[~has]
        recognition = {
            stream: recognition_metrics(scores, labels[has], missing=missing)
            for stream, scores in results.probabilities.items()
        }
        if not any(record.segments for record in records):  # there are only labels
            return {"recognition": recognition, "detection": None}
        detection = self.protocol.detection_metrics(
            results.detections, self._truth(videos), self.classes, self._truth(videos, "ambiguous")
        )
        return {"recognition": recognition, "detection": detection}

    def _truth(self, videos: Ints, kind: str = "segments") -> Segments:
        """The annotated segments of these videos; classes that the network lacks are class -1."""
        label = {name: index for index, name in enumerate(self.classes)}
        found: list[tuple[int, Segment]] = [
            (int(video), segment) for video in videos for segment in getattr(self.records[video], kind)
        ]
        return Segments.of([(video, label.get(s.label, -1), s.start_s, s.end_s, 0.0) for video, s in found])

    def diagnosis(self) -> Diagnosis:
        """The errors of the detections, over all videos; UserError if none has a segment."""
        truth = self._truth(np.arange(len(self.records)))
        if not len(truth):
            raise UserError("diagnose: got test videos without segments; need some with segments (holdout=0)")
        durations = np.array([record.duration_s or np.nan for record in self.records])
        return self.protocol.diagnosis(self.results().detections, truth, durations)

    def _attention(self, rows: npt.NDArray[np.float64]) -> dict[str, dict[str, float]]:
        metrics = {}
        for number, stream in enumerate(self.streams):
            of_stream = rows[rows[:, 0] == number, 1:]
            if len(of_stream):
                inside, outside = of_stream.mean(axis=0).tolist()
                metrics[stream] = {"inside": inside, "outside": outside, "ratio": inside / outside}
        return metrics

    def results(self) -> Results:
        """All results, each video once."""
        if not len(self.videos):  # type: ignore[arg-type]  # a list, or one tensor once gathered
            return Results(np.empty(0, np.int64), Segments.of([]), {}, np.empty((0, 3)))

        def gathered(name: str) -> npt.NDArray[Any]:
            values: Tensor = dim_zero_cat(getattr(self, name))
            array: npt.NDArray[Any] = values.cpu().numpy()
            return array

        given, counts, rows = gathered("videos"), gathered("counts"), gathered("detections")
        videos, first = np.unique(given, return_index=True)
        owner = np.repeat(np.arange(len(given)), counts)
        kept = np.isin(owner, first)
        rows, video = rows[kept], given[owner[kept]]
        place = np.argsort(np.argsort([record.id for record in self.records]))
        order = np.lexsort((-rows[:, 3], place[video]))
        rows, video = rows[order], video[order]
        attention = gathered("attention")
        _, once = np.unique(attention[:, :2], axis=0, return_index=True)
        return Results(
            videos,
            Segments(video, rows[:, 0].astype(np.int64), rows[:, 1], rows[:, 2], rows[:, 3]),
            {stream: gathered(_state(stream))[first] for stream in self.streams},
            attention[once, 1:],
        )

    def submission(self) -> dict[str, Any]:
        """All detections of this process in ActivityNet's submission format, best first."""
        results = self.results()
        found: dict[str, list[dict[str, Any]]] = {self.records[video].id: [] for video in results.videos}
        rows = results.detections
        # Nothing is rounded, and ties keep their order: others must get the same figures from the file.
        columns = (rows.video, rows.label, rows.start_s, rows.end_s, rows.score)
        for video, label, start_s, end_s, score in zip(*map(np.ndarray.tolist, columns), strict=True):
            entry = {"label": self.classes[label], "segment": [start_s, end_s], "score": score}
            found[self.records[video].id].append(entry)
        return submission(dict(sorted(found.items())))

    def confusion(self) -> tuple[list[str], list[str], list[str]]:
        """The classes, and for each labelled video its first label and the recognised class."""
        results = self.results()
        fused = list(results.probabilities.values())[-1]
        true, recognised = [], []
        for video, scores in zip(results.videos, fused, strict=True):
            if labels := self.records[video].labels:
                true.append(labels[0])
                recognised.append(self.classes[int(scores.argmax())])
        return list(self.classes), true, recognised


def submission(results: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """ActivityNet's submission format: video id -> label, segment (s) and score of each detection."""
    return {"version": "VERSION 1.3", "results": dict(results), "external_data": EXTERNAL_DATA}


def flat_metrics(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of `VideoEvaluator.compute` with flat names for loggers: "mAP/0.50", "rgb/accuracy"."""
    flat: dict[str, float] = {}
    if metrics["detection"]:
        flat = {f"mAP/{name}": value for name, value in metrics["detection"]["mAP"].items()}
        flat["average_mAP"] = metrics["detection"]["average_mAP"]
    for prefix, groups in (("", metrics["recognition"]), ("attention/", metrics["attention"])):
        for stream, values in groups.items():
            flat |= {f"{prefix}{stream}/{name}": value for name, value in values.items()}
    return flat


def _state(stream: str) -> str:
    return f"probabilities_{stream}"
