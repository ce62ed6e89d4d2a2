"""Error analysis of detections, as in DETAD: false positives by kind, missed segments by size.

Alwassel et al., "Diagnosing Error in Temporal Action Detectors", ECCV 2018. For each class, the `10 G`
detections with the highest scores count; G is the number of its segments. Differences from DETAD: gains are
in mAP, not in its normalised mAP; a ground truth of the same class comes first among those of equal tIoU; a
segment is missed if these detections miss it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tsrnet.metrics.detection import Bools, Floats, Ints, Matches, Segments, match, rows_by_group, tiou

KINDS = ("true positive", "double detection", "wrong label", "poor boundary", "confusion", "background")
"""The kinds of detections, by the ground truth that each overlaps most: of its class (double detection, poor
boundary) or of another one (wrong label, confusion), by at least the threshold (double detection, wrong
label) or 0.1 (poor boundary, confusion), or less (background)."""
NUM_PARTS = 10
_LEAST_TIOU = 0.1


@dataclass(frozen=True)
class Size:
    """Ground truths of one size: how many, and the share that is missed. `above` to `to` (None: no end) are
    seconds, or shares of the video."""

    name: str
    above: float
    to: float | None
    segments: int
    missed: float


@dataclass(frozen=True)
class Diagnosis:
    """What `diagnose` finds; shares are means over `thresholds`, the tIoU.

    `detections`: how many are looked at, with their mAP. `kinds`: kind -> share of them. `by_rank`: the same
    for the G best of each class, the next G and so on, as long as there are any. `gain`: kind of error ->
    what the mAP gains when these detections are removed. `missed`: share of all `segments` of the ground
    truth; `sizes`: "length" and "coverage" -> the same by size.
    """

    thresholds: tuple[float, ...]
    detections: int
    mean_average_precision: float
    kinds: Mapping[str, float]
    by_rank: tuple[Mapping[str, float], ...]
    gain: Mapping[str, float]
    segments: int
    missed: float
    sizes: Mapping[str, tuple[Size, ...]]


def diagnose(
    detections: Segments,
    truth: Segments,
    durations_s: Floats,
    *,
    thresholds: tuple[float, ...],
    bounds: Mapping[str, tuple[float, ...]],
) -> Diagnosis:
    """What kinds of errors detections have, and which ground truths they miss.

    Args:
        detections, truth: in the order of their files, with indices of videos and classes.
        durations_s: (videos,) of the videos with ground truth; NaN: unknown, such videos have no coverage.
        thresholds: tIoU; the shares are means over them.
        bounds: "length" (s) and "coverage" (share of the video) -> 6 bounds of the sizes XS to XL; without
            one, each size has a fifth of the segments.
    """
    matches, part = _best_of_each_class(match(detections, truth, np.array(thresholds)))
    kinds = _kinds(matches, truth, np.array(thresholds))
    actual = _mean_average_precision(matches, np.ones_like(kinds, dtype=bool))
    missed = np.ones((len(truth), len(thresholds)), dtype=bool)
    for column, taken in enumerate(matches.taken.T):
        missed[taken[taken >= 0], column] = False
    length_s = truth.end_s - truth.start_s
    values = {"length": length_s, "coverage": length_s / durations_s[truth.video]}
    return Diagnosis(
        thresholds,
        len(matches.detections),
        actual,
        _shares(kinds),
        tuple(_shares(kinds[part == k]) for k in range(NUM_PARTS) if (part == k).any()),
        {
            name: _mean_average_precision(matches, kinds != kind) - actual
            for kind, name in enumerate(KINDS)
            if kind
        },
        len(truth),
        float(missed.mean()),
        {name: _by_size(some, missed.mean(axis=1), bounds.get(name)) for name, some in values.items()},
    )


def _best_of_each_class(matches: Matches) -> tuple[Matches, Ints]:
    """The 10 G best detections of each class, and the group of G that each belongs to."""
    part = np.empty(len(matches.detections), np.int64)
    for rows, count in matches.classes.values():
        part[rows] = np.arange(rows.stop - rows.start) // count
    best = part < NUM_PARTS
    return matches.only(best), part[best]


def _kinds(matches: Matches, truth: Segments, thresholds: Floats) -> Ints:
    """(n, thresholds) index in KINDS of each detection."""
    found = matches.detections
    num_videos = 1 + max(found.video.max(initial=0), truth.video.max(initial=0))
    of_video = rows_by_group(truth.video, np.arange(len(truth)), num_videos)
    largest, same = np.zeros(len(found)), np.zeros(len(found), dtype=bool)
    for video, rows in enumerate(rows_by_group(found.video, np.arange(len(found)), num_videos)):
        gt = of_video[video]
        if not len(rows) or not len(gt):
            continue
        overlap = tiou(found.start_s[rows, None], found.end_s[rows, None], truth.start_s[gt], truth.end_s[gt])
        own = found.label[rows, None] == truth.label[gt]
        largest[rows] = overlap.max(axis=1)
        same[rows] = np.where(own, overlap, -1).max(axis=1) == largest[rows]
    enough, some = largest[:, None] >= thresholds, (largest >= _LEAST_TIOU)[:, None]
    own = same[:, None]
    conditions = [matches.true, enough & own, enough, some & own, some]
    return np.select(conditions, list(range(len(conditions))), len(conditions))


def _mean_average_precision(matches: Matches, kept: Bools) -> float:
    """mAP, averaged over the thresholds, without the detections that are not `kept` (n, thresholds)."""
    values = []
    for column, rows in enumerate(kept.T):
        some = matches.only(rows)
        values.append(np.mean(list(some.average_precisions(some.true[:, [column]]).values())))
    return float(np.mean(values))


def _shares(kinds: Ints) -> dict[str, float]:
    counts = np.bincount(kinds.ravel(), minlength=len(KINDS))
    return dict(zip(KINDS, (counts / max(1, kinds.size)).tolist(), strict=True))


def _by_size(
    values: npt.NDArray[np.float64], missed: Floats, bounds: tuple[float, ...] | None
) -> tuple[Size, ...]:
    """The sizes that occur; DETAD's intervals are open below and closed above."""
    known = np.isfinite(values)
    values, missed = values[known], missed[known]
    if not len(values):
        return ()
    limits = np.quantile(values, np.linspace(0, 1, 6)) if bounds is None else np.array(bounds)
    place = np.clip(np.searchsorted(limits, values, side="left") - 1, 0, 4)
    return tuple(
        Size(
            name,
            float(limits[k]),
            float(limits[k + 1]) if np.isfinite(limits[k + 1]) else None,
            int(here.sum()),
            float(missed[here].mean()),
        )
        for k, name in enumerate(("XS", "S", "M", "L", "XL"))
        if (here := place == k).any()
    )
