"""Runs of snippets above the threshold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tsrnet.localization.segments import LocalizationSettings, find_runs, localized_classes


def runs_of(
    scores: np.ndarray, mask: np.ndarray, classes: np.ndarray, *, threshold: float
) -> list[tuple[int, int, int, int, float]]:
    """find_runs as rows (video, class, start, stop, score)."""
    found = find_runs(*map(torch.from_numpy, (scores, mask, classes)), threshold=threshold)
    return list(zip(*(column.tolist() for column in vars(found).values()), strict=True))


def reference_runs(
    scores: np.ndarray, mask: np.ndarray, classes: np.ndarray, *, threshold: float
) -> list[tuple[int, int, int, int, float]]:
    """Walks each video and class snippet by snippet."""
    found = []
    for video, label in zip(*np.nonzero(classes), strict=True):
        current: list[float] = []
        for i in range(scores.shape[1] + 1):
            inside = i < scores.shape[1] and mask[video, i]
            if inside and scores[video, i, label] > threshold:
                current.append(scores[video, i, label])
            elif current:
                start = i - len(current)
                found.append((int(video), int(label), start, i, sum(current) / len(current)))
                current = []
    return found


def one_video(*values: float) -> list[tuple[int, int, float]]:
    """(start, stop, score) of the runs of one video of one class."""
    scores = np.array(values).reshape(1, -1, 1)
    runs = runs_of(scores, np.ones((1, len(values)), bool), np.ones((1, 1), bool), threshold=0.5)
    return [run[2:] for run in runs]


def test_runs_against_a_loop() -> None:
    """Small random cases; some scores equal the threshold, some positions are masked noise."""
    rng = np.random.default_rng(0)
    for _ in range(500):
        batch, time, num_classes = rng.integers(1, 4), rng.integers(1, 9), rng.integers(1, 4)
        scores = rng.choice([0.1, 0.25, 0.5, 0.6, 0.9], size=(batch, time, num_classes))
        mask = np.arange(time) < rng.integers(1, time + 1, size=batch)[:, None]
        scores[~mask] = 1e3 * rng.normal(size=scores[~mask].shape)
        classes = rng.random((batch, num_classes)) < 0.7
        threshold = float(rng.choice([0.05, 0.25, 0.5, 0.95]))

        actual = runs_of(scores, mask, classes, threshold=threshold)
        expected = reference_runs(scores, mask, classes, threshold=threshold)

        assert [run[:4] for run in actual] == [run[:4] for run in expected]
        np.testing.assert_allclose([run[4] for run in actual], [run[4] for run in expected], rtol=1e-9)


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
    scores = torch.tensor([0.2, 0.2001], dtype=dtype).reshape(1, 2, 1)
    true = torch.ones(1, 2, dtype=torch.bool)
    assert find_runs(scores, true, true[:, :1], threshold=0.2).start.tolist() == [1]


def test_neighbouring_videos_and_classes_do_not_join() -> None:
    """Everything passes: one run for each pair of video and class."""
    scores, mask = np.full((2, 3, 2), 0.9), np.ones((2, 3), bool)
    runs = runs_of(scores, mask, np.ones((2, 2), bool), threshold=0.2)
    assert [run[:4] for run in runs] == [(video, label, 0, 3) for video in range(2) for label in range(2)]


def test_extra_masked_snippets_change_no_run() -> None:
    rng = np.random.default_rng(1)
    scores, classes = rng.random((3, 8, 2)), np.ones((3, 2), bool)
    mask = np.arange(8) < np.array([[8], [5], [1]])
    noise = 1e3 * rng.normal(size=(3, 4, 2))
    padded = np.concatenate([np.where(mask[..., None], scores, 1e3), noise], axis=1)
    padded_mask = np.concatenate([mask, np.zeros((3, 4), bool)], axis=1)
    expected = runs_of(scores, mask, classes, threshold=0.4)
    actual = runs_of(padded, padded_mask, classes, threshold=0.4)
    assert len(expected) > 5
    assert [run[:4] for run in actual] == [run[:4] for run in expected]
    np.testing.assert_allclose([run[4] for run in actual], [run[4] for run in expected], rtol=1e-12)


def test_score_of_a_short_run_late_in_a_long_video_is_exact() -> None:
    """The mean comes from running sums, which in float32 would be 1e-3 off here."""
    scores = torch.full((1, 100_000, 1), 0.7)
    scores[0, -2] = 0.1
    scores[0, -1] = 0.3
    mask = torch.ones(1, 100_000, dtype=torch.bool)
    runs = find_runs(scores, mask, mask[:, :1], threshold=0.2)
    np.testing.assert_allclose(runs.score, [0.7, 0.3], rtol=1e-6)


def test_localized_classes_are_the_top_one_and_all_probable_ones() -> None:
    """D9: a video whose best class is improbable keeps it; exactly the bound is enough."""
    probabilities = torch.tensor([[0.6, 0.25, 0.15], [0.125, 0.0625, 0.0625], [0.0, 0.0, 1.0]])
    classes = localized_classes(probabilities, min_probability=0.25)
    assert classes.tolist() == [[True, True, False], [True, False, False], [False, False, True]]


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"theta": 1.1}, "localization.theta"),
        ({"threshold": 0.0}, "localization.threshold"),
        ({"threshold": 1.0}, "localization.threshold"),
        ({"attention": "softmax"}, "localization.attention"),
        ({"min_probability": -0.1}, "localization.min_probability"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        LocalizationSettings(**wrong)
