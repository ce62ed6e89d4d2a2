"""Ties: the order of numpy's argsort as in the official evaluator, and a bound on what other orders give."""

from __future__ import annotations

import math
import random
import runpy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tsrnet.metrics.ties
from tsrnet.metrics.detection import Segments, match
from tsrnet.metrics.ties import tie_sensitivity

REFERENCE: Callable[..., float] = runpy.run_path(str(Path(__file__).with_name("golden_activitynet.py")))[
    "average_precision"
]
"""The official evaluator's loop in plain Python, with any sort; shares no code with the package."""
THRESHOLDS = (0.1, 0.3, 0.5, 0.8)
Row = tuple[int, int, float, float, float]


def as_numpy(values: Sequence[float]) -> list[int]:
    return list(np.array(values).argsort())


def in_another_order(rng: random.Random) -> Callable[[Sequence[float]], list[int]]:
    def argsort(values: Sequence[float]) -> list[int]:
        ties = [rng.random() for _ in values]
        return sorted(range(len(values)), key=lambda i: (math.isnan(values[i]), values[i], ties[i]))

    return argsort


def reference(found: list[Row], truth: list[Row], sort: Any) -> list[float]:
    """AP of one class at each threshold."""
    targets = [(row[0], *row[2:4]) for row in truth]
    return [REFERENCE(targets, [(row[0], *row[2:]) for row in found], t, sort) for t in THRESHOLDS]


def evaluated(found: list[Row], truth: list[Row]) -> tuple[np.ndarray, np.ndarray]:
    """AP of the only class, and the tie sensitivity."""
    targets, thresholds = Segments.of(truth), np.array(THRESHOLDS)
    matches = match(Segments.of(found), targets, thresholds)
    return matches.average_precisions()[0], tie_sensitivity(matches, targets, thresholds)


@pytest.mark.parametrize("size", [3, 16, 17, 40, 120])
def test_equal_tiou_with_many_segments_is_ordered_as_by_numpy(size: int) -> None:
    """Long detections over segments of equal length, some of which another detection takes first.

    Above 16 numpy's order is neither stable nor its reverse, and differs between processors.
    """
    rng = np.random.default_rng(size)
    truth = [(v, 0, 2.0 * k, 2.0 * k + 1, 0.0) for v in range(3) for k in rng.permutation(size).tolist()]
    truth += [(0, 0, 5.0, 5.0, 0.0), (0, 0, 8.0, 8.0, 0.0)]  # 0/0 with the detection below
    found: list[Row] = [(0, 0, 6.0, 6.0, 0.5)]
    for score in rng.permutation(6 * size):
        start = 2.0 * rng.integers(0, size)
        length = float(rng.choice([1.0, 1.0, 3.0, 5.0, 9.0]))
        found.append((int(rng.integers(3)), 0, start, start + length, float(score)))
    actual, _ = evaluated(found, truth)
    np.testing.assert_allclose(actual, reference(found, truth, as_numpy), rtol=1e-12)


@pytest.mark.parametrize("size", [8, 100, 500])
def test_equal_scores_are_ordered_as_by_numpy(size: int) -> None:
    rng = np.random.default_rng(size)
    truth = [(v, 0, 10.0 * k, 10.0 * k + 8, 0.0) for v in range(size // 8) for k in range(3)]
    found = []
    for _ in range(size):
        start = float(rng.integers(0, 30))
        found.append((int(rng.integers(size // 8)), 0, start, start + 8, float(rng.integers(4)) / 4))
    actual, sensitivity = evaluated(found, truth)
    np.testing.assert_allclose(actual, reference(found, truth, as_numpy), rtol=1e-12)
    assert sensitivity[0] > 0


def random_case(rng: np.random.Generator) -> tuple[list[Row], list[Row]]:
    """On a grid of few instants, with few scores: ties of both kinds."""

    def rows(count: int) -> list[Row]:
        found = []
        for _ in range(count):
            start, length = float(rng.integers(0, 6)), float(rng.integers(0, 4))
            found.append((int(rng.integers(2)), 0, start, start + length, float(rng.integers(4))))
        return found

    return rows(int(rng.integers(0, 9))), rows(int(rng.integers(1, 7)))


@pytest.mark.parametrize("most_steps", [0, 10, 100_000])
def test_no_order_moves_further_than_the_bound(most_steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor where the states are too many to follow."""
    monkeypatch.setattr(tsrnet.metrics.ties, "_MOST_STEPS", most_steps)
    rng, orders = np.random.default_rng(0), in_another_order(random.Random(0))
    moved, reached = 0, 0
    for _ in range(150):
        found, truth = random_case(rng)
        actual, bound = evaluated(found, truth)
        others = np.array([reference(found, truth, orders) for _ in range(60)])
        furthest = np.abs(others - actual).max(axis=0)
        assert (furthest <= bound + 1e-12).all(), f"{found} {truth}"
        moved += (bound > 1e-12).sum()
        reached += ((bound > 1e-12) & np.isclose(furthest, bound)).sum()
    if most_steps > 10:
        assert reached > 0.8 * moved > 0  # and it is rarely wider than what an order reaches


def test_known_bounds() -> None:
    """One of two detections of equal score is true: AP 1 or 1/2. A detection covers two segments equally,
    and the next one finds only the first: both are found, or one."""
    one = [(0, 0, 0.0, 10.0, 0.0)]
    found = [(0, 0, 0.0, 10.0, 0.5), (1, 0, 0.0, 10.0, 0.5)]
    for rows in (found, found[::-1]):
        actual, bound = evaluated(rows, one)
        assert actual[0] in (0.5, 1.0)
        assert bound.tolist() == [0.5] * 4
    two = [(0, 0, 0.0, 4.0, 0.0), (0, 0, 6.0, 10.0, 0.0)]
    actual, bound = evaluated([(0, 0, 0.0, 10.0, 0.9), (0, 0, 0.0, 4.0, 0.8)], two)
    assert bound.tolist() == [0.5, 0.5, 0.0, 0.0]


def test_without_ties_the_bound_is_zero() -> None:
    rng = np.random.default_rng(1)
    truth = [(v, 0, *np.sort(rng.random(2)), 0.0) for v in range(3) for _ in range(5)]
    found = [(v, 0, *np.sort(rng.random(2)), rng.random()) for v in range(3) for _ in range(50)]
    assert evaluated(found, truth)[1].tolist() == [0.0] * 4
    assert evaluated([], truth)[1].tolist() == [0.0] * 4
