"""Average recall against a loop over videos, ground truths and detections."""

from __future__ import annotations

import numpy as np
import pytest

from tsrnet.metrics.detection import Segments
from tsrnet.metrics.recall import average_recall

Row = tuple[int, int, float, float, float]


def reference(found: list[Row], truth: list[Row], number: int) -> float:
    recalls = []
    for threshold in np.linspace(0.5, 0.95, 10):
        hits = 0
        for video, _, start, end, _ in truth:
            best = sorted((row for row in found if row[0] == video), key=lambda row: -row[4])[:number]
            common = [max(0.0, min(end, row[3]) - max(start, row[2])) for row in best]
            overlaps = [c / (end - start + row[3] - row[2] - c) for c, row in zip(common, best, strict=True)]
            hits += any(overlap >= threshold for overlap in overlaps)
        recalls.append(hits / len(truth))
    return float(np.mean(recalls))


def test_against_the_loop() -> None:
    rng = np.random.default_rng(0)

    def rows(count: int, videos: int) -> list[Row]:
        starts, lengths = rng.uniform(0, 50, count), rng.uniform(1, 20, count)
        columns = (rng.integers(videos, size=count), rng.integers(3, size=count), starts, starts + lengths)
        return [tuple(row) for row in zip(*map(np.ndarray.tolist, columns), rng.random(count), strict=True)]

    for count in (0, 5, 400):
        found, truth = rows(count, 7), rows(30, 5)
        actual = average_recall(Segments.of(found), Segments.of(truth), (1, 10, 50))
        expected = {str(number): reference(found, truth, number) for number in (1, 10, 50)}
        assert actual == pytest.approx(expected)


def test_the_class_does_not_matter_and_one_proposal_may_find_several() -> None:
    truth = Segments.of([(0, 0, 0.0, 10.0, 0.0), (0, 1, 0.0, 10.0, 0.0), (1, 0, 0.0, 5.0, 0.0)])
    found = Segments.of([(0, 4, 0.0, 10.0, 0.5)])
    assert average_recall(found, truth) == pytest.approx({"10": 2 / 3, "50": 2 / 3, "100": 2 / 3})
