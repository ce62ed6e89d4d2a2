"""The interface of a localisation rule: predictions for one video in, detections out.

A rule is a settings class with `detect`, a pure function of VideoScores. The paper's rule and the refined one
work on many videos at once (`segments.py`); the rules of other papers have one file each.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Run = tuple[float, float, float]
"""First value, one past the last, score; a value is a snippet, or a part of one if a rule interpolates."""


@dataclass(frozen=True)
class VideoScores:
    """The predictions of a run for one video; the first dimension is the stream, RGB first.

    `probabilities` (streams, classes); `weights` (streams, time), the attention after its softmax or
    sigmoid, mean over hops; `activations` (streams, time, classes); `rate_hz`, snippets per second.
    """

    probabilities: Floats
    weights: Floats
    activations: Floats
    rate_hz: float


@dataclass(frozen=True)
class DetectedRuns:
    """Detections on the snippet grid, (r,) each: class index, snippets [start, stop), score.

    Bounds are fractions of a snippet where a rule interpolates.
    """

    label: npt.NDArray[np.int64]
    start: Floats
    stop: Floats
    score: npt.NDArray[np.float32]

    @classmethod
    def of(cls, runs: Iterable[tuple[int, Run]], *, scale: int = 1) -> DetectedRuns:
        """Make it from pairs of a class and a run with bounds in values; `scale`: values per snippet."""
        rows = np.array([(label, *run) for label, run in runs], np.float64).reshape(-1, 4)
        start, stop = rows[:, 1:3].T / scale
        return cls(rows[:, 0].astype(np.int64), start, stop, rows[:, 3].astype(np.float32))


def runs_of(passed: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """[start, stop) of the maximal runs of True in (time,)."""
    change = np.diff(np.concatenate([[False], passed, [False]]).astype(np.int8))
    starts, stops = np.flatnonzero(change == 1), np.flatnonzero(change == -1)
    return list(zip(starts.tolist(), stops.tolist(), strict=True))


def sigmoid(values: Floats) -> Floats:
    """1 / (1 + exp(-x)) without overflow."""
    result: Floats = (np.tanh(values / 2) + 1) / 2
    return result


def upsampled(values: Floats, factor: int) -> Floats:
    """(time, ...) -> (time x factor, ...): linear between snippets, extrapolated after the last one."""
    if len(values) == 1:
        return np.repeat(values, factor, axis=0)
    place = np.arange(len(values) * factor) / factor
    left = np.minimum(place.astype(np.int64), len(values) - 2)
    share = (place - left).reshape(-1, *[1] * (values.ndim - 1))
    between: Floats = (1 - share) * values[left] + share * values[left + 1]
    return between


def contrast(values: Floats, start: int, stop: int, *, margin: float = 0.25) -> float:
    """Mean of (time,) inside [start, stop) minus the mean of `margin` of its length on both sides.

    Bounds are rounded as in the released code of BaS-Net and CO2-Net; without neighbours, their mean is 0.
    """
    length = stop - start
    before, after = int(max(0.0, start - margin * length)), int(stop - 1 + margin * length) + 1
    around = np.concatenate([values[before:start], values[stop:after]])
    return float(values[start:stop].mean() - (around.mean() if len(around) else 0.0))
