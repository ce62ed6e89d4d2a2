"""Average precision of detections by the rules of ActivityNet and of THUMOS14."""

from __future__ import annotations

import numpy as np
import pytest

from tsrnet.metrics.detection import (
    Segments,
    match,
    tiou,
)
from tsrnet.metrics.thumos14 import thumos14_average_precisions
from tsrnet.metrics.ties import tie_sensitivity

Row = tuple[int, int, float, float, float]
THRESHOLDS = (0.1, 0.25, 0.5, 0.75, 1.0)


def reference_tiou(first: Row, second: Row) -> float:
    intersection = max(0.0, min(first[3], second[3]) - max(first[2], second[2]))
    union = (first[3] - first[2]) + (second[3] - second[2]) - intersection
    return intersection / union if union else 1.0  # 0/0 counts as a match


def reference_average_precision(detections: list[Row], truth: list[Row], threshold: float) -> float:
    """One class: item 3 to 5 of the protocol, a detection at a time.

    What the protocol leaves open is as in the official evaluator: equal scores in the order of numpy's
    argsort, reversed; of ground truths with equal tIoU the last of the file first.
    """
    taken: set[int] = set()
    ranked = []
    for row in np.array([row[4] for row in detections]).argsort()[::-1]:
        detection = detections[row]
        overlaps = [(reference_tiou(detection, gt), i) for i, gt in enumerate(truth) if gt[0] == detection[0]]
        matched = False
        for overlap, i in sorted(overlaps, reverse=True):
            if i not in taken and overlap >= threshold:
                taken.add(i)
                matched = True
                break
        ranked.append(matched)
    precision = [sum(ranked[: rank + 1]) / (rank + 1) for rank in range(len(ranked))]
    # Each true positive adds 1 / positives of recall, at the best precision from there on.
    return sum(max(precision[rank:]) for rank, true in enumerate(ranked) if true) / len(truth)


def reference_toolkit(
    detections: list[Row], truth: list[Row], ambiguous: list[Row], threshold: float, eleven_points: bool
) -> float:
    """One class, as THUMOS14's toolkits go through videos, ground truths and detections."""

    def overlap(first: Row, second: Row) -> float:
        common = min(first[3], second[3]) - max(first[2], second[2])
        return common / (max(first[3], second[3]) - min(first[2], second[2])) if common > 0 else 0.0

    true_scores, ranked = [], []
    false_scores = []
    for video in sorted({row[0] for row in detections}):
        found = sorted((row for row in detections if row[0] == video), key=lambda row: -row[4])
        taken: set[int] = set()
        for gt in (row for row in truth if row[0] == video):
            free = [(overlap(gt, row), -i) for i, row in enumerate(found) if i not in taken]
            best, index = max(free, default=(0.0, 0))
            if best > threshold:
                taken.add(-index)
        for i, row in enumerate(found):
            if i in taken:
                true_scores.append(row[4])
                ranked.append((row[4], True))
            elif not any(overlap(row, other) > 0 for other in ambiguous if other[0] == video):
                false_scores.append(row[4])
                ranked.append((row[4], False))
    if eleven_points:
        ranked = [(score, True) for score in true_scores] + [(score, False) for score in false_scores]
    hits = [true for _, true in sorted(ranked, key=lambda pair: -pair[0])]
    points = [(sum(hits[: i + 1]) / len(truth), sum(hits[: i + 1]) / (i + 1)) for i in range(len(hits))]
    if eleven_points:
        return sum(max((p for r, p in points if r >= 0.1 * i), default=0.0) for i in range(11)) / 11
    return sum(precision for (_, precision), hit in zip(points, hits, strict=True) if hit) / len(truth)


def random_case(
    rng: np.random.Generator, *, videos: int = 3, classes: int = 2, ties: bool = False
) -> tuple[list[Row], list[Row]]:
    """Detections with scores all different, unless `ties`, and ground truth, on a grid of few instants.

    The grid makes ties of tIoU and overlaps equal to a threshold. All segments of zero length lie
    at instant 3. Some videos and classes have no ground truth, some detections come twice.
    """

    def rows(count: int) -> list[Row]:
        found: list[Row] = []
        for _ in range(count):
            start, end = sorted(rng.integers(0, 7, size=2).tolist())
            start, end = (3, 3) if start == end else (start, end)
            video, label = rng.integers(videos), rng.integers(classes)
            found.append((int(video), int(label), float(start), float(end), 0.0))
        return found

    truth = rows(rng.integers(1, 7))
    found = rows(rng.integers(0, 9))
    found += [row for row in (*found, *truth) if rng.random() < 0.3]
    scores = rng.permutation(len(found)) // (3 if ties else 1) / 10 - 0.3
    return [(*row[:4], float(score)) for row, score in zip(found, scores, strict=True)], truth


def average_precisions(detections: list[Row], truth: list[Row]) -> dict[int, np.ndarray]:
    return match(Segments.of(detections), Segments.of(truth), np.array(THRESHOLDS)).average_precisions()


def test_average_precision_against_a_slow_reference() -> None:
    rng = np.random.default_rng(0)
    for _ in range(3000):
        detections, truth = random_case(rng, ties=bool(rng.integers(2)))
        actual = average_precisions(detections, truth)
        assert actual.keys() == {row[1] for row in truth}
        for label, values in actual.items():
            of_class = [[row for row in rows if row[1] == label] for rows in (detections, truth)]
            expected = [reference_average_precision(*of_class, threshold) for threshold in THRESHOLDS]
            np.testing.assert_allclose(values, expected, rtol=1e-12, err_msg=f"{detections} {truth}")


@pytest.mark.parametrize("eleven_points", [False, True])
def test_the_toolkits_of_thumos14_against_a_slow_reference(eleven_points: bool) -> None:
    rng = np.random.default_rng(5)
    for _ in range(2000):
        detections, truth = random_case(rng, ties=bool(rng.integers(2)))
        ambiguous = [row for row in random_case(rng)[1] if rng.random() < 0.3]
        tables = (Segments.of(rows) for rows in (detections, truth))
        actual = thumos14_average_precisions(
            *tables, np.array(THRESHOLDS), Segments.of(ambiguous), eleven_points=eleven_points
        )
        for label, values in actual.items():
            of_class = [[row for row in rows if row[1] == label] for rows in (detections, truth)]
            expected = [reference_toolkit(*of_class, ambiguous, t, eleven_points) for t in THRESHOLDS]
            np.testing.assert_allclose(values, expected, rtol=1e-12, err_msg=f"{detections} {truth}")


def test_many_detections_of_one_segment_among_few_of_others() -> None:
    """Groups of very different size are matched side by side."""
    rng = np.random.default_rng(6)
    truth = [
        (v, 0, float(k), float(k + 1), 0.0) for v, count in ((0, 40), (1, 1), (2, 5)) for k in range(count)
    ]
    found = []
    for v, count in ((0, 3), (1, 300), (2, 30)):
        for _ in range(count):
            start, length = rng.uniform(0, 5), rng.uniform(0.3, 2)
            found.append((v, 0, start, start + length, float(rng.random())))
    expected = [reference_average_precision(found, truth, threshold) for threshold in THRESHOLDS]
    np.testing.assert_allclose(average_precisions(found, truth)[0], expected, rtol=1e-12)


def one_class(
    found: list[tuple[float, float]], truth: list[tuple[float, float]], *, threshold: float = 0.5
) -> float:
    """AP in one video; detections in order of falling score."""
    detections = [(0, 0, *segment, 1.0 - 0.1 * rank) for rank, segment in enumerate(found)]
    truths = [(0, 0, *segment, 0.0) for segment in truth]
    matches = match(Segments.of(detections), Segments.of(truths), np.array([threshold]))
    return float(matches.average_precisions()[0][0])


def test_a_hundred_thousand_detections_that_overlap_each_other() -> None:
    rng = np.random.default_rng(0)
    start_s = rng.uniform(0, 1, 100_000)
    rows = [(0, 0, s, s + 100, score) for s, score in zip(start_s, rng.permutation(100_000), strict=True)]
    truth = [(0, 0, s, s + length, 0) for s, length in ((0.2, 60), (0.5, 80), (0.5, 80), (0.9, 95), (0, 200))]
    hits = match(Segments.of(rows), Segments.of(truth), np.array(THRESHOLDS)).true
    # The best detections take all that any reaches; a threshold of 1 is reached by none.
    assert hits.sum(axis=0).tolist() == [5, 5, 5, 3, 0]
    assert np.flatnonzero(hits[:, 2]).tolist() == [0, 1, 2, 3, 4]


def test_a_hundred_thousand_ties_are_bounded_without_following_them() -> None:
    truth = Segments.of([(0, 0, start, start + 100.0, 0) for start in (0, 1, 1, 2)])
    rows = [(0, 0, i % 4, i % 4 + 100.0, (i % 3) / 2) for i in range(100_000)]
    thresholds = np.array(THRESHOLDS)
    matches = match(Segments.of(rows), truth, thresholds)
    change = tie_sensitivity(matches, truth, thresholds)
    assert ((change >= 0) & (change <= 1)).all()
    assert matches.true.sum(axis=0).tolist() == [4] * len(THRESHOLDS)


def test_average_precision_of_known_cases() -> None:
    two = [(0.0, 10.0), (20.0, 30.0)]
    assert one_class([(0, 10)], two) == 0.5
    assert one_class([(50, 60), (0, 10)], two) == 0.25
    assert one_class([(0, 10), (50, 60), (20, 30)], two) == pytest.approx((1 + 2 / 3) / 2)
    assert one_class([(50, 60), (0, 10), (20, 30)], two) == pytest.approx(2 / 3)  # interpolated
    assert one_class([(0, 10), (0, 10)], two) == 0.5  # the second is a duplicate
    assert one_class([], two) == 0.0


def test_the_threshold_itself_is_enough() -> None:
    assert one_class([(0, 5)], [(0, 10)], threshold=0.5) == 1.0
    assert one_class([(0, 5)], [(0, 10)], threshold=0.51) == 0.0


def test_a_detection_of_a_taken_segment_may_take_another_one() -> None:
    """Both detections overlap the first ground truth best; the second one falls back."""
    assert one_class([(0, 10), (1, 11)], [(0, 10), (3, 13)]) == 1.0


def test_the_better_score_takes_the_segment_not_the_better_overlap() -> None:
    """At 0.75 the first detection misses and the second one matches: precision 1/2."""
    assert one_class([(0, 6), (0, 10)], [(0, 10)], threshold=0.5) == 1.0
    assert one_class([(0, 6), (0, 10)], [(0, 10)], threshold=0.75) == 0.5


def test_a_detection_in_another_video_is_a_false_positive() -> None:
    truth = Segments.of([(0, 0, 0.0, 10.0, 0.0)])
    found = Segments.of([(7, 0, 0.0, 10.0, 0.9), (0, 0, 0.0, 10.0, 0.8)])
    assert match(found, truth, np.array([0.5])).average_precisions()[0].tolist() == [0.5]


def test_tiou_of_known_segments() -> None:
    starts, ends = np.array([0.0, 5.0, 10.0, 2.0, 3.0]), np.array([10.0, 15.0, 20.0, 4.0, 3.0])
    values = tiou(np.array(0.0), np.array(10.0), starts, ends)
    np.testing.assert_allclose(values, [1, 5 / 15, 0, 2 / 10, 0])


def test_equal_segments_of_zero_length_match() -> None:
    assert one_class([(3, 3)], [(3, 3)], threshold=1.0) == 1.0


def test_different_segments_of_zero_length_match_too() -> None:
    """Item 4: 0/0 counts as a match. In the official evaluator it is NaN, and NaN < threshold is false."""
    assert one_class([(4, 4)], [(3, 3)]) == 1.0


def test_perfect_detections_score_one() -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        _, truth = random_case(rng)
        detections = [(*row[:4], score) for row, score in zip(truth, rng.random(len(truth)), strict=True)]
        for values in average_precisions(detections, truth).values():
            np.testing.assert_allclose(values, 1.0)


def test_a_class_without_detections_scores_zero_and_stays() -> None:
    truth = [(0, 0, 0.0, 1.0, 0.0), (0, 5, 0.0, 1.0, 0.0)]
    values = average_precisions([(0, 0, 0.0, 1.0, 0.5)], truth)
    assert {label: ap.tolist() for label, ap in values.items()} == {0: [1.0] * 5, 5: [0.0] * 5}


def test_only_the_order_of_the_scores_matters() -> None:
    rng = np.random.default_rng(2)
    for _ in range(200):
        detections, truth = random_case(rng)
        mapped = [(*row[:4], float(np.exp(5 * row[4]) - 7)) for row in detections]
        np.testing.assert_equal(average_precisions(mapped, truth), average_precisions(detections, truth))


def test_order_of_videos_and_names_of_classes_do_not_matter() -> None:
    rng = np.random.default_rng(3)
    for _ in range(200):
        detections, truth = random_case(rng, videos=4, classes=3)
        video, label = 10 * rng.permutation(4), 5 + rng.permutation(3)

        def renamed(rows: list[Row], video: np.ndarray = video, label: np.ndarray = label) -> list[Row]:
            """Other numbers, and the rows sorted by the new number of their video."""
            return sorted(((int(video[r[0]]), int(label[r[1]]), *r[2:]) for r in rows), key=lambda r: r[0])

        expected = {int(label[c]): ap for c, ap in average_precisions(detections, truth).items()}
        actual = average_precisions(renamed(detections), renamed(truth))
        assert actual.keys() == expected.keys()
        for c, values in actual.items():
            np.testing.assert_allclose(values, expected[c], rtol=1e-12)


def test_a_stricter_threshold_never_helps_where_videos_hold_one_segment() -> None:
    rng = np.random.default_rng(4)
    for _ in range(300):
        detections, truth = random_case(rng)
        first = list({row[:2]: row for row in truth}.values())  # one for each video and class
        for values in average_precisions(detections, first).values():
            assert (np.diff(values) <= 1e-12).all()
