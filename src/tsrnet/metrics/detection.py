"""Average precision of temporal detections by the rule of the ActivityNet evaluator.

Per class, detections by falling score; each takes the free ground truth of its video with the
largest tIoU at or above the threshold; AP is the area under the interpolated precision.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Segments:
    """Segments as columns: index of the video and of the class, start and end in seconds, score.

    Ground truth has no use for `score`; all columns have the same length.
    """

    video: Ints
    label: Ints
    start_s: Floats
    end_s: Floats
    score: Floats

    @classmethod
    def of(cls, rows: list[tuple[int, int, float, float, float]]) -> Segments:
        """From rows (video, label, start_s, end_s, score)."""
        columns = np.array(rows, dtype=np.float64).reshape(-1, 5).T
        return cls(columns[0].astype(np.int64), columns[1].astype(np.int64), *columns[2:])

    def of_class(self, label: int) -> Segments:
        keep = self.label == label
        return self._take(keep)

    def by_falling_score(self) -> Segments:
        return self._take(np.argsort(-self.score, kind="stable"))

    def _take(self, rows: npt.NDArray[np.bool_] | Ints) -> Segments:
        return Segments(
            self.video[rows], self.label[rows], self.start_s[rows], self.end_s[rows], self.score[rows]
        )


def tiou(start_s: Floats, end_s: Floats, other_start_s: Floats, other_end_s: Floats) -> Floats:
    """Temporal intersection over union, broadcast; 0/0 of two segments of length 0 is 1."""
    intersection = np.maximum(np.minimum(end_s, other_end_s) - np.maximum(start_s, other_start_s), 0)
    union = (end_s - start_s) + (other_end_s - other_start_s) - intersection
    empty = union == 0
    overlap: Floats = np.where(empty, 1.0, intersection / np.where(empty, 1.0, union))
    return overlap


def interpolated_average_precision(precision: Floats, recall: Floats) -> float:
    """Area under the envelope of a precision-recall curve (recall rising)."""
    precision = np.concatenate([[0.0], precision, [0.0]])
    recall = np.concatenate([[0.0], recall, [1.0]])
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    steps = np.flatnonzero(recall[1:] != recall[:-1]) + 1
    return float(((recall[steps] - recall[steps - 1]) * envelope[steps]).sum())


def average_precision(detections: Segments, truth: Segments, thresholds: Floats) -> Floats:
    """AP of one class at each tIoU threshold; 0 without detections, (thresholds,)."""
    if not len(detections.video) or not len(truth.video):
        return np.zeros(len(thresholds))
    detections = detections.by_falling_score()
    true = np.zeros((len(detections.video), len(thresholds)), dtype=bool)
    for video in np.unique(truth.video):
        rows = np.flatnonzero(detections.video == video)
        gt = np.flatnonzero(truth.video == video)
        overlap = tiou(
            detections.start_s[rows, None], detections.end_s[rows, None], truth.start_s[gt], truth.end_s[gt]
        )
        for column, threshold in enumerate(thresholds):
            free = np.ones(len(gt), dtype=bool)
            for row in np.flatnonzero((overlap >= threshold).any(axis=1)):
                best = int(np.argmax(np.where(free, overlap[row], -1.0)))
                if free[best] and overlap[row, best] >= threshold:
                    free[best] = False
                    true[rows[row], column] = True
    hits = true.cumsum(axis=0)
    precision = hits / np.arange(1, len(hits) + 1)[:, None]
    recall = hits / len(truth.video)
    return np.array(
        [interpolated_average_precision(precision[:, i], recall[:, i]) for i in range(len(thresholds))]
    )


def class_average_precisions(detections: Segments, truth: Segments, thresholds: Floats) -> dict[int, Floats]:
    """AP at each threshold for every class that occurs in the ground truth."""
    return {
        int(label): average_precision(detections.of_class(label), truth.of_class(label), thresholds)
        for label in np.unique(truth.label)
    }
