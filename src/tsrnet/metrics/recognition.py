"""Video-level recognition: accuracy, hit@k and mean average precision."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tsrnet.metrics.detection import Segments, interpolated_average_precision, match, rows_by_group
from tsrnet.metrics.ties import tie_sensitivity

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
        ranked = labels[order, column, None]
        values.append(interpolated_average_precision(ranked, int(positives[column]))[0])
    return float(np.mean(values))


def recognition_metrics(
    scores: Floats, labels: npt.NDArray[np.bool_], *, missing: npt.NDArray[np.bool_] | None = None
) -> dict[str, float]:
    """Accuracy (the best class is one of the labels), mAP, hit@1 and hit@3, as fractions.

    `missing` (videos, classes): labels of videos without scores, which count as wrong.
    """
    share = len(labels) / (len(labels) + (0 if missing is None else len(missing)))
    return {
        "accuracy": share * hit_at(scores, labels, 1),
        "mAP": mean_average_precision(scores, labels, missing=missing),
        "hit@1": share * hit_at(scores, labels, 1),
        "hit@3": share * hit_at(scores, labels, 3),
    }


def classification_metrics(
    predictions: Segments, truth: Segments, classes: tuple[str, ...], *, ks: tuple[int, ...] = (1, 3)
) -> dict[str, object]:
    """ActivityNet's untrimmed classification: mAP, AP per class, hit@k and avg_hit@k over the videos.

    Labels are segments of which only video, class and score are used. `avg_hit@k`: the share of a video's
    labels among its k best predictions. `hit@k`: 1 if any of its labels is among them.
    """
    _, first = np.unique(np.stack([truth.video, truth.label]), axis=1, return_index=True)
    truth = _whole(truth[np.sort(first)])
    half = np.array([0.5])
    matches = match(_whole(predictions), truth, half)
    by_class = matches.average_precisions()
    hits: dict[str, float] = {}
    videos, video = np.unique(truth.video, return_inverse=True)
    by_video = rows_by_group(predictions.video, np.arange(len(predictions)), int(videos.max()) + 1)
    ranked = [predictions.label[rows[np.argsort(predictions.score[rows])[::-1]]] for rows in by_video]
    for k in ks:
        hit = [label in ranked[v][:k] for v, label in zip(truth.video, truth.label, strict=True)]
        mean = np.bincount(video, hit) / np.bincount(video)
        hits |= {f"hit@{k}": float(np.ceil(mean).mean()), f"avg_hit@{k}": float(mean.mean())}
    return {
        "mAP": float(np.mean(list(by_class.values()))),
        "tie_sensitivity": float(tie_sensitivity(matches, truth, half)[0]),
        **hits,
        "AP": {classes[label]: float(values[0]) for label, values in by_class.items()},
    }


def _whole(labels: Segments) -> Segments:
    """Give each label the segment [0, 1], so that it is found once, like a segment."""
    return replace(labels, start_s=np.zeros(len(labels)), end_s=np.ones(len(labels)))
