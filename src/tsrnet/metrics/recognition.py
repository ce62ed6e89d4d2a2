"""Video-level recognition: accuracy, hit@k and mean average precision."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tsrnet.metrics.detection import interpolated_average_precision

Floats = npt.NDArray[np.float64]


def hit_at(scores: Floats, labels: npt.NDArray[np.bool_], k: int) -> float:
    """Fraction of videos with one of their labels among the k best: (videos, classes) each."""
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return float(np.take_along_axis(labels, best, axis=1).any(axis=1).mean())


def mean_average_precision(
    scores: Floats, labels: npt.NDArray[np.bool_], *, missing: npt.NDArray[np.bool_] | None = None
) -> float:
    """Mean over the classes that occur of the interpolated AP of ranking the videos.

    `missing` (videos, classes) are labels of videos without scores: they are never retrieved.
    """
    positives = labels.sum(axis=0) + (0 if missing is None else missing.sum(axis=0))
    values = []
    for column in np.flatnonzero(positives):
        order = np.argsort(-scores[:, column], kind="stable")
        hits = labels[order, column].cumsum()
        precision = hits / np.arange(1, len(hits) + 1)
        values.append(interpolated_average_precision(precision, hits / positives[column]))
    return float(np.mean(values))


def recognition_figures(
    scores: Floats, labels: npt.NDArray[np.bool_], *, missing: npt.NDArray[np.bool_] | None = None
) -> dict[str, float]:
    """Accuracy (the best class is one of the video's), mAP, hit@1 and hit@3, as fractions.

    `missing` (videos, classes) are labels of videos without scores, which count as wrong.
    """
    share = len(labels) / (len(labels) + (0 if missing is None else len(missing)))
    return {
        "accuracy": share * hit_at(scores, labels, 1),
        "mAP": mean_average_precision(scores, labels, missing=missing),
        "hit@1": share * hit_at(scores, labels, 1),
        "hit@3": share * hit_at(scores, labels, 3),
    }
