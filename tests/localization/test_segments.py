"""Runs of snippets above the threshold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tsrnet.localization.segments import find_runs, localize, localized_classes
from tsrnet.localization.settings import LocalizationSettings

Run = tuple[int, int, int, float]


def runs_of(scores: np.ndarray, mask: np.ndarray, *, rate_hz: float = 6.0, **settings: Any) -> list[Run]:
    """`localize` as rows (row, start, stop, score)."""
    found = localize(
        torch.from_numpy(scores),
        torch.from_numpy(mask),
        LocalizationSettings(**settings),
        rate_hz=torch.full((len(scores),), rate_hz),
    )
    return list(zip(*(column.tolist() for column in vars(found).values()), strict=True))


def reference_runs(
    scores: np.ndarray,
    mask: np.ndarray,
    *,
    threshold: float,
    gap: int = 0,
    shortest: int = 1,
    score: str = "mean",
) -> list[Run]:
    """Walks each row snippet by snippet."""
    found: list[Run] = []
    for row in range(len(scores)):
        values = scores[row, : mask[row].sum()]
        passed = [bool(value > threshold) for value in values]
        spans: list[tuple[int, int]] = []
        for i, inside in enumerate(passed):
            if inside and spans and i - spans[-1][1] <= gap:
                spans[-1] = (spans[-1][0], i + 1)
            elif inside:
                spans.append((i, i + 1))
        for start, stop in spans:
            inside, margin = values[start:stop], max(1, -(-(stop - start) // 4))
            around = [*values[max(0, start - margin) : start], *values[stop : stop + margin]]
            value = {
                "mean": np.mean(inside),
                "max": np.max(inside),
                "contrast": np.mean(inside) - (np.mean(around) if around else 0.0),
            }[score]
            if stop - start >= shortest:
                found.append((row, start, stop, float(value)))
    return found


def one_video(*values: float, **settings: Any) -> list[tuple[int, int, float]]:
    """(start, stop, score) of the runs of one row."""
    scores = np.array(values).reshape(1, -1)
    return [
        run[1:] for run in runs_of(scores, np.ones((1, len(values)), bool), **{"threshold": 0.5, **settings})
    ]


@pytest.mark.parametrize("score", ["mean", "max", "contrast"])
def test_runs_against_a_loop(score: str) -> None:
    """Small random cases; some scores equal the threshold, some positions are masked noise."""
    rng = np.random.default_rng(0)
    for _ in range(400):
        rows, time = rng.integers(1, 5), rng.integers(1, 12)
        scores = rng.choice([0.1, 0.25, 0.5, 0.6, 0.9], size=(rows, time))
        mask = np.arange(time) < rng.integers(1, time + 1, size=rows)[:, None]
        scores[~mask] = 1e3 * rng.normal(size=scores[~mask].shape)
        threshold, gap, shortest = (
            float(rng.choice([0.05, 0.25, 0.5, 0.95])),
            rng.integers(3),
            rng.integers(1, 4),
        )
        seconds = {"max_gap_s": gap / 6, "min_duration_s": shortest / 6}
        actual = runs_of(scores, mask, threshold=threshold, score=score, **seconds)
        expected = reference_runs(
            scores, mask, threshold=threshold, gap=int(gap), shortest=int(shortest), score=score
        )
        assert [run[:3] for run in actual] == [run[:3] for run in expected]
        np.testing.assert_allclose(
            [run[3] for run in actual], [run[3] for run in expected], rtol=1e-9, atol=1e-9
        )


def test_segments_of_several_thresholds_compete() -> None:
    """At 0.2 one run of 6, at 0.5 two of 2 with better scores: they overlap it by 1/3."""
    values = (0.3, 0.9, 0.9, 0.3, 0.8, 0.8)
    both = one_video(*values, threshold=(0.2, 0.5), nms=0.5)
    assert [run[:2] for run in both] == [(0, 6), (1, 3), (4, 6)]
    better = one_video(*values, threshold=(0.2, 0.5), nms=0.3)
    assert better == [(1, 3, pytest.approx(0.9)), (4, 6, pytest.approx(0.8))]


def test_seconds_are_taken_at_the_rate_of_each_video() -> None:
    """A gap of 2 snippets is 0.2 s at 10 Hz, 2 s at 1 Hz."""
    values = (0.9, 0.0, 0.0, 0.9)
    assert len(one_video(*values, max_gap_s=0.5, rate_hz=10.0)) == 1
    assert len(one_video(*values, max_gap_s=0.5, rate_hz=1.0)) == 2
    assert one_video(*values, min_duration_s=0.5, rate_hz=10.0) == []
    assert len(one_video(*values, min_duration_s=0.5, rate_hz=1.0)) == 2


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((0.9, 0.7, 0.0, 0.0), [(0, 2, 0.8)]),  # from the first snippet
        ((0.0, 0.0, 0.7, 0.9), [(2, 4, 0.8)]),  # to the last
        ((0.0, 0.9, 0.0, 0.7), [(1, 2, 0.9), (3, 4, 0.7)]),  # of one snippet
        ((0.9,), [(0, 1, 0.9)]),
        ((0.1, 0.2, 0.3), []),
        ((0.6, 0.8, 0.7), [(0, 3, 0.7)]),
        ((0.5, 0.75, 0.5), [(1, 2, 0.75)]),  # equal to the threshold does not pass
    ],
)
def test_runs_of_known_scores(values: tuple[float, ...], expected: list[tuple[int, int, float]]) -> None:
    assert one_video(*values) == [(start, stop, pytest.approx(score)) for start, stop, score in expected]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_score_equal_to_the_papers_threshold_does_not_pass(dtype: torch.dtype) -> None:
    """0.2 is no binary fraction; the comparison is at the precision of the scores."""
    scores = torch.tensor([[0.2, 0.2001]], dtype=dtype)
    _, start, _ = find_runs(scores, torch.ones(1, 2, dtype=torch.bool), threshold=0.2)
    assert start.tolist() == [1]


def test_neighbouring_rows_do_not_join() -> None:
    """Everything passes, and gaps are filled: one run for each row."""
    runs = runs_of(np.full((4, 3), 0.9), np.ones((4, 3), bool), threshold=0.2, max_gap_s=10.0)
    assert [run[:3] for run in runs] == [(row, 0, 3) for row in range(4)]


def test_extra_masked_snippets_change_no_run() -> None:
    rng = np.random.default_rng(1)
    scores = rng.random((3, 8))
    mask = np.arange(8) < np.array([[8], [5], [1]])
    noise = 1e3 * rng.normal(size=(3, 4))
    padded = np.concatenate([np.where(mask, scores, np.nan), noise], axis=1)
    padded_mask = np.concatenate([mask, np.zeros((3, 4), bool)], axis=1)
    for score in ("mean", "max", "contrast"):
        expected = runs_of(scores, mask, threshold=0.4, score=score)
        actual = runs_of(padded, padded_mask, threshold=0.4, score=score)
        assert len(expected) > 2
        assert [run[:3] for run in actual] == [run[:3] for run in expected]
        np.testing.assert_allclose([run[3] for run in actual], [run[3] for run in expected], rtol=1e-12)


def test_score_of_a_short_run_late_in_a_long_video_is_exact() -> None:
    """The mean comes from running sums, which in float32 would be 1e-3 off here."""
    scores = np.full((1, 100_000), 0.7, np.float32)
    scores[0, -2:] = 0.1, 0.3
    runs = runs_of(scores, np.ones((1, 100_000), bool), threshold=0.2)
    np.testing.assert_allclose([run[3] for run in runs], [0.7, 0.3], rtol=1e-6)


def test_localized_classes_are_the_top_one_and_all_probable_ones() -> None:
    """D9: a video whose best class is improbable keeps it; exactly the bound is enough."""
    probabilities = torch.tensor([[0.6, 0.25, 0.15], [0.125, 0.0625, 0.0625], [0.0, 0.0, 1.0]])
    classes = localized_classes(probabilities, min_probability=0.25)
    assert classes.tolist() == [[True, True, False], [True, False, False], [False, False, True]]
