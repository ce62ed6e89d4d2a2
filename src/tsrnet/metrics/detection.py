"""Average precision of temporal detections, by ActivityNet's evaluator.

All classes and videos are matched at once: round r takes the r-th best detection of every video and
class, so that numpy sees long arrays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


_CELLS = 2_000_000
"""Numbers that are compared at a time: bounds the memory."""


@dataclass(frozen=True)
class Segments:
    """Segments as columns: index of the video and of the class, start and end in seconds, score.

    Ground truth does not use `score`; all columns have the same length.
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
        return Segments(*(column[rows] for column in vars(self).values()))


def tiou(start_s: Floats, end_s: Floats, other_start_s: Floats, other_end_s: Floats) -> Floats:
    """Temporal intersection over union, broadcast; 0/0 of two segments of length 0 is 1."""
    overlap = _official_tiou(start_s, end_s, other_start_s, other_end_s)
    return np.where(np.isnan(overlap), 1.0, overlap)


def _official_tiou(start_s: Floats, end_s: Floats, other_start_s: Floats, other_end_s: Floats) -> Floats:
    """The tIoU bit by bit as in the official evaluator, where 0/0 is NaN."""
    intersection = np.maximum(np.minimum(end_s, other_end_s) - np.maximum(start_s, other_start_s), 0)
    union = (end_s - start_s) + (other_end_s - other_start_s) - intersection
    with np.errstate(invalid="ignore"):
        overlap: Floats = intersection / union
    return overlap


@dataclass(frozen=True)
class Matches:
    """Detections of the classes of the ground truth, by class and by falling score within it.

    `taken` (n, thresholds): the row of the ground truth that each of them takes, or -1. `classes`: label ->
    its slice of the detections and the number of its ground truths.
    """

    detections: Segments
    taken: npt.NDArray[np.int32]
    classes: Mapping[int, tuple[slice, int]]

    @property
    def true(self) -> Bools:
        """(n, thresholds) which detections are true positives."""
        return self.taken >= 0

    def only(self, kept: Bools) -> Matches:
        """Without the detections that are not `kept` (n,)."""
        ends = np.r_[0, kept.cumsum()]
        classes = {
            label: (slice(ends[rows.start], ends[rows.stop]), count)
            for label, (rows, count) in self.classes.items()
        }
        return Matches(self.detections[kept], self.taken[kept], classes)

    def average_precisions(self, true: Bools | None = None) -> dict[int, Floats]:
        """AP at each threshold for each class of the ground truth; `true` replaces the true positives."""
        true = self.true if true is None else true
        return {
            label: interpolated_average_precision(true[rows], num_positive)
            for label, (rows, num_positive) in self.classes.items()
        }


def match(detections: Segments, truth: Segments, thresholds: Floats) -> Matches:
    """Match detections and ground truth at each tIoU threshold by ActivityNet's rule.

    In the order of the scores, each detection takes the free ground truth of its video and class with the
    largest tIoU, if it reaches the threshold. Numpy's argsort, reversed, orders equal scores of a class and
    equal tIoUs of a detection: called with the same numbers as in the official evaluator, it gives the same
    order on the same machine. Both tables are in the order of the file.
    """
    labels, counts = np.unique(truth.label, return_counts=True)
    order, classes, first = [np.empty(0, np.int64)], {}, 0
    for label, count in zip(labels.tolist(), counts.tolist(), strict=True):
        rows = np.flatnonzero(detections.label == label)
        order.append(rows[np.argsort(detections.score[rows])[::-1]])
        classes[label] = (slice(first, first + len(rows)), count)
        first += len(rows)
    ranked = detections[np.concatenate(order)]
    return Matches(ranked, _taken(ranked, truth, thresholds), classes)


def interpolated_average_precision(true: Bools, num_positive: int) -> Floats:
    """Area under the envelope of precision over recall, (thresholds,), of ranked (n, thresholds) hits."""
    precision = true.cumsum(axis=0) / np.arange(1, len(true) + 1)[:, None]
    envelope = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    area: Floats = (envelope * true).sum(axis=0) / num_positive
    return area


def _taken(detections: Segments, truth: Segments, thresholds: Floats) -> npt.NDArray[np.int32]:
    """(n, thresholds) the ground truth that each detection takes, or -1; the best detection comes first."""
    taken = np.full((len(detections), len(thresholds)), -1, dtype=np.int32)
    for found, gt, tied in pairs_of_groups(detections, truth, thresholds.min()):
        free = np.repeat((gt >= 0)[:, :, None], len(thresholds), axis=2)
        width = max(1, _CELLS // free.size)
        for start in range(0, found.shape[1], width):
            some = slice(start, start + width)
            _take(detections, truth, thresholds, found[:, some], gt, tied[:, some], free, taken)
    return taken


def _take(
    detections: Segments,
    truth: Segments,
    thresholds: Floats,
    found: Ints,
    gt: Ints,
    tied: Bools,
    free: Bools,
    taken: npt.NDArray[np.int32],
) -> None:
    """Let some more detections of each group take ground truths, in order; fills `free` and `taken`.

    A round has the next detection of each group and threshold that reaches a free ground truth, so there are
    hardly more rounds than ground truths, even for many detections.
    """
    start_s, end_s = detections.start_s[found][:, :, None], detections.end_s[found][:, :, None]
    overlap = tiou(start_s, end_s, truth.start_s[gt][:, None], truth.end_s[gt][:, None])
    overlap[found < 0] = -1
    reached = (overlap[..., None] >= thresholds) & free[:, None]  # (groups, rounds, size, thresholds)
    left = reached.sum(axis=2, dtype=np.int32)
    while (left > 0).any():
        next_row = (left > 0).argmax(axis=1)
        group, threshold = np.nonzero(np.take_along_axis(left, next_row[:, None], axis=1)[:, 0] > 0)
        row = next_row[group, threshold]
        first = overlap[group, row]  # the free ground truth with the largest number is taken
        for i in np.flatnonzero(tied[group, row]):
            order = _official_order(detections, found[group[i], row[i]], truth, gt[group[i]])
            first[i, order] = np.arange(len(order), 0, -1)
        best = np.where(free[group, :, threshold], first, -1).argmax(axis=1)
        left[group, row, threshold] = 0
        hit = overlap[group, row, best] >= thresholds[threshold]
        group, row, best, threshold = (index[hit] for index in (group, row, best, threshold))
        taken[found[group, row], threshold] = gt[group, best]
        free[group, best, threshold] = False
        left[group, :, threshold] -= reached[group, :, best, threshold]


def _official_order(detections: Segments, row: int, truth: Segments, gt: Ints) -> Ints:
    """Positions in `gt`, which may be padded with -1, in the order in which a detection tries them."""
    gt = gt[gt >= 0]
    overlap = _official_tiou(
        detections.start_s[row], detections.end_s[row], truth.start_s[gt], truth.end_s[gt]
    )
    return overlap.argsort()[::-1]


def pairs_of_groups(
    detections: Segments, truth: Segments, lowest: float
) -> Iterator[tuple[Ints, Ints, Bools]]:
    """Detections and ground truths of the same video and class, side by side, for many groups at a time.

    Detections that overlap no ground truth by at least `lowest` are left out: they take none. Groups of
    similar size come together, as padded arrays.

    Yields:
        Rows of the detections (groups, rounds) and of the ground truths (groups, size), each in the order of
        its table, padded with -1; whether the detections have equal tIoUs of at least `lowest`
        (groups, rounds).
    """
    width = 1 + max(detections.video.max(initial=0), truth.video.max(initial=0))
    groups, gt_group = np.unique(truth.label * width + truth.video, return_inverse=True)
    keys = detections.label * width + detections.video
    group = np.searchsorted(groups, keys)
    known = group < len(groups)
    known[known] = groups[group[known]] == keys[known]
    gt_rows = rows_by_group(gt_group, np.arange(len(truth)), len(groups))
    rows, group = np.flatnonzero(known), group[known]
    near, equal = _near(detections[rows], group, truth, gt_rows, lowest)
    tied = np.zeros(len(detections) + 1, dtype=bool)  # the last one for the padding
    tied[rows[equal]] = True
    found_rows = rows_by_group(group[near], rows[near], len(groups))
    sizes = np.array([(len(gt_rows[i]), len(found_rows[i])) for i in range(len(groups))]).reshape(-1, 2)
    buckets = np.frexp(sizes)[1]  # powers of two
    for bucket in np.unique(buckets[sizes[:, 1] > 0], axis=0):
        members = np.flatnonzero((buckets == bucket).all(axis=1))
        found = _padded([found_rows[i] for i in members])
        yield found, _padded([gt_rows[i] for i in members]), tied[found]


def _near(
    detections: Segments, group: Ints, truth: Segments, gt_rows: list[Ints], lowest: float
) -> tuple[Bools, Bools]:
    """Which detections overlap some ground truth of their group by at least `lowest`, and which overlap two
    of them equally."""
    near, equal = np.zeros((2, len(detections)), dtype=bool)
    flat = np.concatenate([*gt_rows, np.empty(0, np.int64)])
    sizes = np.array([len(rows) for rows in gt_rows], dtype=np.int64)
    begins = sizes.cumsum() - sizes
    for size in np.unique(sizes[group]):
        of_size = np.flatnonzero(sizes[group] == size)
        for start in range(0, len(of_size), max(1, _CELLS // size)):
            rows = of_size[start : start + max(1, _CELLS // size)]
            gt = flat[begins[group[rows], None] + np.arange(size)]
            start_s, end_s = detections.start_s[rows, None], detections.end_s[rows, None]
            overlap = np.sort(tiou(start_s, end_s, truth.start_s[gt], truth.end_s[gt]), axis=1)
            near[rows] = overlap[:, -1] >= lowest
            same = (overlap[:, 1:] == overlap[:, :-1]) & (overlap[:, 1:] >= lowest)
            equal[rows] = same.any(axis=1)
    return near, equal


def rows_by_group(group: Ints, rows: Ints, num_groups: int) -> list[Ints]:
    """The `rows` of group 0, 1, ..., num_groups - 1, each in their order; others are left out."""
    ordered = rows[np.argsort(group, kind="stable")]
    ends = np.bincount(group, minlength=num_groups)[:num_groups].cumsum().tolist()
    return [ordered[start:end] for start, end in pairwise([0, *ends])]  # np.split takes ten times as long


def _padded(rows: list[Ints]) -> Ints:
    table = np.full((len(rows), max(map(len, rows))), -1)
    for line, some in zip(table, rows, strict=True):
        line[: len(some)] = some
    return table
