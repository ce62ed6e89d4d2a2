"""NMS and soft-NMS against loops that follow their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tsrnet.localization.rule import Run
from tsrnet.localization.segments import localize
from tsrnet.localization.settings import LocalizationSettings
from tsrnet.localization.suppression import SuppressionSettings, soft_nms, suppressed


def tiou(one: Run, other: Run, extra: float) -> float:
    both = max(0.0, min(one[1], other[1]) - max(one[0], other[0]) + extra)
    return both / (one[1] - one[0] + other[1] - other[0] + 2 * extra - both)


def random_runs(seed: int) -> list[Run]:
    rng = np.random.default_rng(seed)
    runs = []
    for _ in range(rng.integers(0, 9)):
        start, stop = np.sort(rng.choice(12, size=2, replace=False)).tolist()
        runs.append((float(start), float(stop), float(rng.normal())))
    return runs


@pytest.mark.parametrize("extra", [0.0, 1.0, 2.5])
def test_nms_keeps_what_no_better_kept_segment_covers(extra: float) -> None:
    removed = 0
    for seed in range(200):
        runs, kept = random_runs(seed), []
        for run in sorted(runs, key=lambda run: -run[2]):
            if all(tiou(run, better, extra) <= 0.4 for better in kept):
                kept.append(run)
        assert suppressed(runs, SuppressionSettings(nms=0.4), extra=extra) == kept
        removed += len(runs) - len(kept)
    assert removed > 100


@pytest.mark.parametrize("extra", [0.0, 1.0])
def test_soft_nms_multiplies_by_a_gaussian_of_each_overlap(extra: float) -> None:
    for seed in range(200):
        left, expected = [list(run) for run in random_runs(seed)], []
        while left:
            best = max(left, key=lambda run: run[2])
            left.remove(best)
            expected.append(tuple(best))
            for run in left:
                overlap = tiou((best[0], best[1], 0), (run[0], run[1], 0), extra)
                run[2] *= math.exp(-(overlap**2) / 0.3)
        actual = suppressed(random_runs(seed), SuppressionSettings(soft_nms=0.3), extra=extra)
        np.testing.assert_allclose(np.reshape(actual, (-1, 3)), np.reshape(expected, (-1, 3)), rtol=1e-12)


def test_soft_nms_of_two_segments_is_known() -> None:
    """tIoU 1/3: the worse one keeps exp(-1 / 9 / σ) of its score."""
    runs = soft_nms([(0.0, 4.0, 0.5), (2.0, 6.0, 1.0)], sigma=0.5)
    assert runs == [(2.0, 6.0, 1.0), (0.0, 4.0, pytest.approx(0.5 * math.exp(-1 / 4.5)))]


def test_soft_nms_in_place_of_nms_in_our_rule() -> None:
    """Two rows do not touch each other; order is by row and start."""
    scores = torch.tensor([[0.3, 0.9, 0.9, 0.3], [0.3, 0.3, 0.3, 0.3]], dtype=torch.float64)
    settings = LocalizationSettings(threshold=(0.2, 0.5), soft_nms=0.3)
    runs = localize(scores, torch.ones(2, 4, dtype=torch.bool), settings, rate_hz=torch.ones(2))
    assert list(zip(runs.row.tolist(), runs.start.tolist(), runs.stop.tolist(), strict=True)) == [
        (0, 0, 4),
        (0, 1, 3),
        (1, 0, 4),
    ]
    assert runs.score.tolist() == pytest.approx([0.6 * math.exp(-0.25 / 0.3), 0.9, 0.3])
