"""Video-level recognition figures."""

from __future__ import annotations

import numpy as np
import pytest

from tsrnet.metrics.recognition import hit_at, mean_average_precision, recognition_metrics


def random_case(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Scores (videos, classes) without ties and labels, at least one in each video."""
    videos, classes = rng.integers(1, 8), rng.integers(1, 5)
    labels = rng.random((videos, classes)) < 0.3
    labels[np.arange(videos), rng.integers(classes, size=videos)] = True
    return rng.permutation(videos * classes).reshape(videos, classes) / 100.0, labels


def reference_average_precision(ranked: list[bool]) -> float:
    """Mean over the true ones of the best precision at their rank or below."""
    precision = [sum(ranked[: rank + 1]) / (rank + 1) for rank in range(len(ranked))]
    best = [max(precision[rank:]) for rank, true in enumerate(ranked) if true]
    return sum(best) / len(best)


def test_mean_average_precision_against_a_slow_reference() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        scores, labels = random_case(rng)
        expected = []
        for c in range(scores.shape[1]):
            ranked = sorted(range(len(scores)), key=lambda v, c=c: -scores[v, c])
            if labels[:, c].any():  # a class of no video is no part of the mean
                expected.append(reference_average_precision([labels[v, c] for v in ranked]))
        assert mean_average_precision(scores, labels) == pytest.approx(np.mean(expected), rel=1e-12)


@pytest.mark.parametrize("k", [1, 2, 3, 10])
def test_hit_at_k_against_a_slow_reference(k: int) -> None:
    rng = np.random.default_rng(k)
    for _ in range(100):
        scores, labels = random_case(rng)
        hits = 0
        for row, present in zip(scores, labels, strict=True):
            above = [(row > row[c]).sum() for c in np.flatnonzero(present)]  # classes ranked before it
            hits += min(above) < k
        assert hit_at(scores, labels, k) == pytest.approx(hits / len(scores))


def test_average_precision_of_one_video_is_one_over_its_rank() -> None:
    scores = np.array([[0.9], [0.7], [0.5], [0.3]])
    for rank in range(4):
        labels = np.arange(4)[:, None] == rank
        assert mean_average_precision(scores, labels) == pytest.approx(1 / (rank + 1))


def test_interpolation_takes_the_best_precision_further_down() -> None:
    """Ranks 2, 3 and 4 of four are true: precision 1/2, 2/3, 3/4, so 3/4 counts for all three."""
    scores, labels = np.array([[4.0], [3.0], [2.0], [1.0]]), np.array([[False], [True], [True], [True]])
    assert mean_average_precision(scores, labels) == pytest.approx(3 / 4)


def test_figures_of_known_scores() -> None:
    scores = np.array([[0.5, 0.3, 0.1, 0.1], [0.1, 0.2, 0.3, 0.4], [0.1, 0.2, 0.3, 0.4]])
    labels = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [1, 0, 0, 1]], dtype=bool)
    figures = recognition_metrics(scores, labels)
    assert figures["accuracy"] == figures["hit@1"] == pytest.approx(2 / 3)
    assert figures["hit@3"] == 1.0
    # Class 0: true at rank 1 and (behind the tie with video 1) 3. Class 1: rank 2. Class 3: rank 2.
    assert figures["mAP"] == pytest.approx(((1 + 2 / 3) / 2 + 1 / 2 + 1 / 2) / 3)


def test_perfect_scores_give_one_throughout() -> None:
    labels = np.eye(5, dtype=bool)[:, :4]
    labels[4, 2] = True
    assert set(recognition_metrics(labels.astype(float), labels).values()) == {1.0}


def test_increasing_maps_of_the_scores_change_nothing() -> None:
    rng = np.random.default_rng(5)
    for _ in range(50):
        scores, labels = random_case(rng)
        assert recognition_metrics(np.exp(3 * scores), labels) == recognition_metrics(scores, labels)
