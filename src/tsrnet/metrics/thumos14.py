"""Average precision of temporal detections, by THUMOS14's toolkits of 2014 and 2015."""

from __future__ import annotations

import numpy as np

from tsrnet.metrics.detection import Bools, Floats, Segments


def thumos14_average_precisions(
    detections: Segments,
    truth: Segments,
    thresholds: Floats,
    ambiguous: Segments,
    *,
    eleven_points: bool,
) -> dict[int, Floats]:
    """AP at each tIoU threshold for each class of the ground truth, by the rule of THUMOS14's toolkits.

    In each video the ground truths, in the order of the file, take the free detection with the largest
    overlap strictly above the threshold, whatever its score. An unmatched detection that touches an ambiguous
    segment of its video is ignored. `eleven_points`: the toolkit of 2014, mean precision at 11 recalls, with
    true positives first among equal scores; otherwise that of 2015, mean precision at the true positives.
    Videos are in the order of their indices.
    """
    results = {}
    for label in np.unique(truth.label):
        of_class = detections[detections.label == label]
        # By video and falling score, as in the toolkits, whose sorts are all stable.
        of_class = of_class[np.lexsort((-of_class.score, of_class.video))]
        targets = truth[truth.label == label]
        true = _taken(of_class, targets, thresholds)
        dropped = ~true & _touches(of_class, ambiguous)[:, None]
        results[int(label)] = np.array(
            [
                _toolkit_average_precision(
                    of_class.score[~dropped[:, i]], true[~dropped[:, i], i], len(targets), eleven_points
                )
                for i in range(len(thresholds))
            ]
        )
    return results


def _taken(detections: Segments, truth: Segments, thresholds: Floats) -> Bools:
    true = np.zeros((len(detections), len(thresholds)), dtype=bool)
    for video in np.unique(truth.video):
        rows = np.flatnonzero(detections.video == video)
        if not len(rows):
            continue
        for gt in np.flatnonzero(truth.video == video):
            overlap = _overlap(detections[rows], truth.start_s[gt], truth.end_s[gt])
            open_overlap = np.where(true[rows], -1, overlap[:, None])
            best = open_overlap.argmax(axis=0)
            hit = open_overlap[best, np.arange(len(thresholds))] > thresholds
            true[rows[best[hit]], hit.nonzero()[0]] = True
    return true


def _overlap(segments: Segments, start_s: float, end_s: float) -> Floats:
    """tIoU as in the toolkits: 0 for segments that only touch."""
    common = np.minimum(segments.end_s, end_s) - np.maximum(segments.start_s, start_s)
    hull = np.maximum(segments.end_s, end_s) - np.minimum(segments.start_s, start_s)
    overlap: Floats = np.where(common > 0, common / np.where(hull > 0, hull, 1), 0)
    return overlap


def _touches(segments: Segments, ambiguous: Segments) -> Bools:
    touched = np.zeros(len(segments), dtype=bool)
    for video, start_s, end_s in zip(ambiguous.video, ambiguous.start_s, ambiguous.end_s, strict=True):
        rows = np.flatnonzero(segments.video == video)
        touched[rows] |= _overlap(segments[rows], start_s, end_s) > 0
    return touched


def _toolkit_average_precision(score: Floats, true: Bools, num_positive: int, eleven_points: bool) -> float:
    if not true.any():
        return 0.0
    order = np.lexsort((~true, -score)) if eleven_points else np.argsort(-score, kind="stable")
    hits = true[order].cumsum()
    precision = hits / np.arange(1, len(hits) + 1)
    if not eleven_points:
        return float(precision[true[order]].sum() / num_positive)
    recall = hits / num_positive
    # 0.1 * 3 is above 0.3 here as in the toolkit's 0:0.1:1.
    return float(np.mean([precision[recall >= 0.1 * i].max(initial=0) for i in range(11)]))
