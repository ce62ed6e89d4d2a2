"""Average recall of the best detections of each video, whatever their class."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tsrnet.metrics.detection import Segments, pairs_of_groups, tiou

THRESHOLDS = np.linspace(0.5, 0.95, 10)
NUM_PROPOSALS = (10, 50, 100)


def average_recall(
    detections: Segments, truth: Segments, num_proposals: tuple[int, ...] = NUM_PROPOSALS
) -> dict[str, float]:
    """Number of proposals -> share of the ground truth that some proposal overlaps, averaged over tIoU
    0.5:0.05:0.95.

    The proposals of a video are its detections with the highest scores, of all classes. Unlike in
    a detection metric, one proposal may find several ground truths.
    """
    order = np.lexsort((-detections.score, detections.video))
    detections, truth = (replace(some, label=np.zeros_like(some.label)) for some in (detections, truth))
    ranked = detections[order]
    starts = np.flatnonzero(np.r_[True, ranked.video[1:] != ranked.video[:-1]])
    place = np.arange(len(ranked)) - np.repeat(starts, np.diff(np.r_[starts, len(ranked)]))
    ranked, place = ranked[place < max(num_proposals)], place[place < max(num_proposals)]
    best = np.zeros((len(num_proposals), len(truth)))
    for found, gt, _ in pairs_of_groups(ranked, truth, THRESHOLDS[0]):
        overlap = tiou(
            *(column[found][:, :, None] for column in (ranked.start_s, ranked.end_s)),
            *(column[gt][:, None, :] for column in (truth.start_s, truth.end_s)),
        )
        for row, number in enumerate(num_proposals):
            counted = (found >= 0) & (place[found] < number)
            largest = np.where(counted[:, :, None], overlap, 0).max(axis=1)
            best[row, gt[gt >= 0]] = largest[gt >= 0]
    recall = (best[:, :, None] >= THRESHOLDS).mean(axis=(1, 2))
    return {str(number): float(value) for number, value in zip(num_proposals, recall, strict=True)}
