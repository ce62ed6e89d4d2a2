"""Kinds of errors and missed segments of detections whose kinds are known by construction."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tsrnet.metrics.detection import Segments, match
from tsrnet.metrics.diagnosis import KINDS, Diagnosis, diagnose
from tsrnet.metrics.protocols import PROTOCOLS

JUMP, RUN = 0, 1
Row = tuple[int, int, float, float, float]
TRUTH: list[Row] = [
    *((v, JUMP, 10.0, 20.0, 0.0) for v in range(4)),
    *((v, RUN, 30.0, 40.0, 0.0) for v in range(4)),
]
BY_KIND: dict[str, list[tuple[int, float, float]]] = {
    "true positive": [(JUMP, 10, 20), (RUN, 31, 40)],
    "double detection": [(JUMP, 11, 20)],
    "wrong label": [(RUN, 10, 20), (JUMP, 28, 40)],
    "poor boundary": [(JUMP, 5, 12), (RUN, 38, 45), (RUN, 30, 60)],
    "confusion": [(RUN, 16, 28), (JUMP, 30, 34)],
    "background": [(JUMP, 50, 60), (RUN, 0, 9), (JUMP, 22, 28), (RUN, 90, 95)],
}
"""(class, start, end) in one video, by what they are at tIoU 0.5 when given in this order."""


def analysed(
    found: list[Row], truth: list[Row] = TRUTH, *, thresholds: tuple[float, ...] = (0.5,), **bounds: object
) -> Diagnosis:
    durations = np.full(1 + max(row[0] for row in truth), 100.0)
    return diagnose(Segments.of(found), Segments.of(truth), durations, thresholds=thresholds, bounds=bounds)


def detections() -> list[Row]:
    """In each of four videos all of BY_KIND, the true positives with the best scores."""
    rows = [(kind, *one) for kind, some in BY_KIND.items() for one in some]
    return [
        (video, label, float(start), float(end), 1 - (4 * place + video) / 100)
        for place, (_, label, start, end) in enumerate(rows)
        for video in range(4)
    ]


def test_each_kind_is_counted() -> None:
    found = analysed(detections())
    total = sum(map(len, BY_KIND.values()))
    assert found.detections == 4 * total
    assert found.kinds == pytest.approx({kind: len(rows) / total for kind, rows in BY_KIND.items()})
    assert set(found.kinds) == set(KINDS)
    assert found.missed == 0
    assert sum(found.by_rank[0].values()) == pytest.approx(1)
    assert found.by_rank[0]["true positive"] == 1  # the four best of each class
    assert found.by_rank[-1]["background"] > 0.5


@pytest.mark.parametrize("kind", KINDS[1:])
def test_removing_a_kind_gains_what_the_metric_gains_without_it(kind: str) -> None:
    """Scores fall by a shuffled order, so that each kind stands before some true positives."""
    rng = np.random.default_rng(0)
    rows, kinds = [], []
    for video in range(4):
        for name, some in BY_KIND.items():
            for label, start, end in some:
                score = rng.uniform(0.5, 1) if name != "double detection" else rng.uniform(0, 0.2)
                rows.append((video, label, float(start), float(end), float(score)))
                kinds.append(name)
    thresholds = np.array([0.5])

    def mean_ap(some: list[Row]) -> float:
        matches = match(Segments.of(some), Segments.of(TRUTH), thresholds)
        return float(np.mean(list(matches.average_precisions().values())))

    found = analysed(rows)
    assert found.mean_average_precision == mean_ap(rows)
    without = [row for row, name in zip(rows, kinds, strict=True) if name != kind]
    assert found.gain[kind] == pytest.approx(mean_ap(without) - mean_ap(rows))


def test_only_the_best_of_each_class_count() -> None:
    """Of Jump 10 G = 40: the background behind them is not looked at."""
    rows = detections()
    noise = [(0, JUMP, 60.0 + k, 61.0 + k, 0.1 - k / 1000) for k in range(100)]
    found = analysed(rows + noise)
    jumps = sum(row[1] == JUMP for row in rows)
    assert found.detections == len(rows) - jumps + 40
    assert len(found.by_rank) == 10


def test_of_two_equal_segments_with_other_labels_the_own_label_counts() -> None:
    truth = [(0, JUMP, 0.0, 10.0, 0.0), (0, RUN, 0.0, 10.0, 0.0)]
    found = analysed([(0, JUMP, 0.0, 10.0, 0.9), (0, JUMP, 0.0, 9.0, 0.8), (0, RUN, 0.0, 3.0, 0.7)], truth)
    assert found.kinds["double detection"] == found.kinds["poor boundary"] == pytest.approx(1 / 3)


def test_shares_are_means_over_the_thresholds() -> None:
    """tIoU 0.7 with the only segment: true at 0.5 and 0.7, poor boundary at 0.9."""
    truth = [(0, JUMP, 0.0, 10.0, 0.0)]
    found = analysed([(0, JUMP, 0.0, 7.0, 1.0)], truth, thresholds=(0.5, 0.7, 0.9))
    assert found.kinds["true positive"] == pytest.approx(2 / 3)
    assert found.kinds["poor boundary"] == pytest.approx(1 / 3)
    assert found.missed == pytest.approx(1 / 3)
    assert found.mean_average_precision == pytest.approx(2 / 3)


def test_missed_segments_by_length_and_coverage() -> None:
    """Segments of 1 to 20 s in videos of 100 s; those up to 3 s and one of 15 s are missed."""
    lengths = [1, 2, 3, 4, 5, 6, 10, 12, 15, 20]
    truth = [(v, JUMP, 10.0, 10.0 + length, 0.0) for v, length in enumerate(lengths)]
    rows = [(*row[:4], 1.0 - row[0] / 100) for row in truth if row[0] not in (0, 1, 2, 8)]
    sizes = {"length": (0, 3, 6, 12, 18, math.inf), "coverage": (0, 0.02, 0.04, 0.06, 0.08, 1)}
    found = analysed(rows, truth, **sizes)
    assert found.missed == pytest.approx(0.4)
    assert [(s.name, s.to, s.segments, s.missed) for s in found.sizes["length"]] == [
        ("XS", 3, 3, 1.0),
        ("S", 6, 3, 0.0),
        ("M", 12, 2, 0.0),
        ("L", 18, 1, 1.0),
        ("XL", None, 1, 0.0),
    ]
    # 0.02 belongs to XS; no segment covers 6 to 8 %.
    assert [(s.name, s.segments, s.missed) for s in found.sizes["coverage"]] == [
        ("XS", 2, 1.0),
        ("S", 2, 0.5),
        ("M", 2, 0.0),
        ("XL", 4, 0.25),
    ]


def test_without_bounds_each_size_has_a_fifth() -> None:
    truth = [(v, JUMP, 0.0, float(v + 1), 0.0) for v in range(20)]
    sizes = analysed([], truth).sizes
    assert [size.segments for size in sizes["length"]] == [4] * 5
    assert {size.missed for size in (*sizes["length"], *sizes["coverage"])} == {1.0}


def test_videos_of_unknown_duration_have_no_coverage() -> None:
    truth = Segments.of([(0, JUMP, 0.0, 10.0, 0.0)])
    found = PROTOCOLS["demo"].diagnosis(Segments.of([]), truth, np.array([math.nan]))
    assert found.sizes["coverage"] == ()
    assert found.detections == 0
    assert found.thresholds == (0.5,)
    assert PROTOCOLS["activitynet"].diagnosis(truth, truth, np.array([20.0])).missed == 0
