"""Average precision of temporal detections, by ActivityNet's evaluator.

All classes and videos are matched at once: round r takes the r-th best detection of every video and
class, so that numpy sees long arrays.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


_AT_ONCE = 50_000
"""Detections whose overlaps are computed at a time: bounds the memory."""


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

    def __len__(self) -> int:
        return len(self.video)

    def __getitem__(self, rows: Bools | Ints) -> Segments:
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


def activitynet_average_precisions(
    detections: Segments, truth: Segments, thresholds: Floats
) -> dict[int, Floats]:
    """AP at each tIoU threshold for each class of the ground truth, by ActivityNet's rule.

    In the order of the scores, each detection takes the free ground truth of its video and class with the
    largest tIoU, if it reaches the threshold. AP is the area under the interpolated precision. Equal scores
    are in the order of numpy's argsort, reversed, on the scores of a class in the order of the file, like in
    the official evaluator.
    """
    by_class = {int(label): np.flatnonzero(detections.label == label) for label in np.unique(truth.label)}
    ranked = {label: rows[np.argsort(detections.score[rows])[::-1]] for label, rows in by_class.items()}
    order = np.concatenate([*ranked.values(), np.empty(0, np.int64)])
    true = _matches(detections[order], truth, thresholds)
    results, first = {}, 0
    for label, rows in ranked.items():
        num_positive = int((truth.label == label).sum())
        results[label] = interpolated_average_precision(true[first : first + len(rows)], num_positive)
        first += len(rows)
    return results


def interpolated_average_precision(true: Bools, num_positive: int) -> Floats:
    """Area under the envelope of precision over recall, (thresholds,), of ranked (n, thresholds) hits."""
    precision = true.cumsum(axis=0) / np.arange(1, len(true) + 1)[:, None]
    envelope = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    area: Floats = (envelope * true).sum(axis=0) / num_positive
    return area


def _matches(detections: Segments, truth: Segments, thresholds: Floats) -> Bools:
    """(n, thresholds) whether each detection, given in order of falling score, takes a ground truth."""
    true = np.zeros((len(detections), len(thresholds)), dtype=bool)
    for found, gt in _pairs_of_groups(detections, truth, thresholds.min()):
        # found (groups, rounds): rows of detections, gt (groups, size): rows of the truth; -1 is none.
        free = np.repeat((gt >= 0)[:, :, None], len(thresholds), axis=2)
        start_s, end_s = truth.start_s[gt], truth.end_s[gt]
        for column in found.T:
            here = column >= 0
            rows, group = column[here], np.flatnonzero(here)
            overlap = tiou(
                detections.start_s[rows, None], detections.end_s[rows, None], start_s[group], end_s[group]
            )
            overlap[gt[group] < 0] = -1
            open_overlap = np.where(free[group], overlap[:, :, None], -1)
            best = open_overlap.argmax(axis=1)
            hit = np.take_along_axis(open_overlap, best[:, None], axis=1)[:, 0] >= thresholds
            true[rows] = hit
            one, threshold = hit.nonzero()
            free[group[one], best[one, threshold], threshold] = False
    return true


def _pairs_of_groups(detections: Segments, truth: Segments, lowest: float) -> Iterator[tuple[Ints, Ints]]:
    """Rows of the detections and of the ground truths of the same video and class, side by side.

    Only detections that overlap some ground truth by at least `lowest`: the others take none. Groups
    with similar numbers come together, as two padded arrays. Among ground truths the last of the file
    comes first: so the official evaluator's order has it among equal overlaps.
    """
    width = 1 + max(detections.video.max(initial=0), truth.video.max(initial=0))
    groups, gt_group = np.unique(truth.label * width + truth.video, return_inverse=True)
    keys = detections.label * width + detections.video
    group = np.searchsorted(groups, keys)
    known = group < len(groups)
    known[known] = groups[group[known]] == keys[known]
    gt_rows = rows_by_group(gt_group[::-1], np.arange(len(truth))[::-1], len(groups))
    rows, group = np.flatnonzero(known), group[known]
    near = _near(detections[rows], group, truth, gt_rows, lowest)
    found_rows = rows_by_group(group[near], rows[near], len(groups))
    sizes = np.array([(len(gt_rows[i]), len(found_rows[i])) for i in range(len(groups))]).reshape(-1, 2)
    buckets = np.frexp(sizes)[1]  # powers of two
    for bucket in np.unique(buckets[sizes[:, 1] > 0], axis=0):
        members = np.flatnonzero((buckets == bucket).all(axis=1))
        yield _padded([found_rows[i] for i in members]), _padded([gt_rows[i] for i in members])


def _near(detections: Segments, group: Ints, truth: Segments, gt_rows: list[Ints], lowest: float) -> Bools:
    """Which detections overlap some ground truth of their group by at least `lowest`."""
    near = np.zeros(len(detections), dtype=bool)
    flat = np.concatenate([*gt_rows, np.empty(0, np.int64)])
    sizes = np.array([len(rows) for rows in gt_rows], dtype=np.int64)
    begins = sizes.cumsum() - sizes
    for start in range(0, len(detections), _AT_ONCE):
        some = detections[np.arange(start, min(start + _AT_ONCE, len(detections)))]
        count = sizes[group[start : start + _AT_ONCE]]
        found = np.repeat(np.arange(len(some)), count)
        within = np.arange(len(found)) - np.repeat(count.cumsum() - count, count)
        gt = flat[begins[group[start + found]] + within]
        overlap = tiou(some.start_s[found], some.end_s[found], truth.start_s[gt], truth.end_s[gt])
        near[start + found[overlap >= lowest]] = True
    return near


def rows_by_group(group: Ints, rows: Ints, num_groups: int) -> list[Ints]:
    """The `rows` of group 0, 1, ..., num_groups - 1, each in their order; others are left out."""
    order = np.argsort(group, kind="stable")
    ends = np.bincount(group, minlength=num_groups)[:num_groups].cumsum()
    return np.split(rows[order], ends)[:-1]


def _padded(rows: list[Ints]) -> Ints:
    table = np.full((len(rows), max(map(len, rows))), -1)
    for line, some in zip(table, rows, strict=True):
        line[: len(some)] = some
    return table
