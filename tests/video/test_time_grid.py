"""Seconds, frames and snippets, eq. (12)."""

from __future__ import annotations

import numpy as np
import pytest

from tsrnet.video.time_grid import TimeGrid

RATES_HZ = (6.0, 30.0, 25 / 16, 29.97 / 5, 1 / 3)
every_rate = pytest.mark.parametrize("rate_hz", RATES_HZ)


@every_rate
def test_seconds_follow_eq_12(rate_hz: float) -> None:
    """t = ind / F, where the end index is one past the last snippet: snippet i covers [i/F, (i+1)/F)."""
    for first, last in ((0, 0), (3, 7), (11, 5000)):
        t_start, t_end = TimeGrid(rate_hz).seconds((first, last + 1))
        assert t_start == first / rate_hz
        assert t_end == (last + 1) / rate_hz


def test_seconds_of_a_run_on_the_papers_grid() -> None:
    """D1: 30 Hz in stacks of 5 is 6 snippets a second."""
    assert TimeGrid().seconds((0, 6)) == (0.0, 1.0)
    assert TimeGrid().seconds((9, 12)) == (1.5, 2.0)


@every_rate
def test_every_snippet_covers_its_start_and_its_middle_but_not_its_end(rate_hz: float) -> None:
    grid = TimeGrid(rate_hz)
    for i in [*range(200), 12_345, 99_999]:
        start_s, end_s = grid.seconds((i, i + 1))
        assert grid.snippet_at(start_s) == i
        assert grid.snippet_at((start_s + end_s) / 2) == i
        assert grid.snippet_at(end_s - 1e-3) == i
        assert grid.snippet_at(end_s) == i + 1


@every_rate
def test_a_run_in_seconds_holds_exactly_its_own_snippets(rate_hz: float) -> None:
    grid = TimeGrid(rate_hz)
    for start in range(20):
        for stop in range(start + 1, 21):
            inside = grid.inside([grid.seconds((start, stop))], 20)
            assert np.flatnonzero(inside).tolist() == list(range(start, stop))


def test_inside_against_a_loop() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        rate_hz = float(rng.choice(RATES_HZ))
        ends = np.sort(rng.uniform(0, 12 / rate_hz, size=(3, 2)), axis=1)
        expected = [any(a <= (i + 0.5) / rate_hz < b for a, b in ends) for i in range(10)]
        assert TimeGrid(rate_hz).inside([(a, b) for a, b in ends], 10).tolist() == expected


def test_a_middle_on_a_boundary_belongs_to_the_segment_that_starts_there() -> None:
    grid = TimeGrid(1.0)
    assert grid.inside([(0.5, 2.5)], 4).tolist() == [True, True, False, False]
    assert grid.inside([(2.5, 3.0)], 4).tolist() == [False, False, True, False]


def test_no_segment_covers_nothing() -> None:
    assert not TimeGrid().inside([], 4).any()


def test_a_video_has_a_snippet_for_every_five_whole_frames() -> None:
    for num_frames in range(1, 3000):
        assert TimeGrid().num_snippets(num_frames) == max(1, num_frames // 5)


def placed_grids() -> list[TimeGrid]:
    """Of other extractors: stride, frames of a snippet, frames a second."""
    placements = [
        (4, 16, 30.0),
        (4, 16, 29.97),
        (8, 16, 23.976),
        (16, 16, 12.5),
        (64, 64, 25.0),
        (3, 1, 25.0),
    ]
    return [TimeGrid(fps / stride, frames / 2 / fps, frames / fps) for stride, frames, fps in placements]


placed = pytest.mark.parametrize("grid", placed_grids(), ids=str)


@placed
def test_centres_are_offset_and_steps(grid: TimeGrid) -> None:
    expected = [grid.offset_s + i / grid.rate_hz for i in range(50)]
    np.testing.assert_allclose(grid.centres_s(50), expected, rtol=1e-13)


@placed
def test_a_run_reaches_halfway_to_its_neighbours(grid: TimeGrid) -> None:
    centres = grid.centres_s(40)
    for start, stop in ((1, 2), (3, 9), (20, 39)):
        t_start, t_end = grid.seconds((start, stop))
        np.testing.assert_allclose(t_start, (centres[start - 1] + centres[start]) / 2, rtol=1e-12)
        np.testing.assert_allclose(t_end, (centres[stop - 1] + centres[stop]) / 2, rtol=1e-12)
    starts, ends = grid.seconds((np.arange(30), np.arange(30) + 1))
    np.testing.assert_array_equal(starts[1:], ends[:-1])
    assert starts[0] >= 0


def test_no_run_starts_before_0() -> None:
    grid = TimeGrid(2.0, 0.1)
    assert grid.seconds((0, 1)) == (0.0, pytest.approx(0.35))
    starts, _ = grid.seconds((np.array([0, 1]), np.array([1, 2])))
    np.testing.assert_allclose(starts, [0.0, 0.35])
    assert grid.snippet_at(0.0) == 0


@placed
def test_placed_runs_hold_exactly_their_own_snippets(grid: TimeGrid) -> None:
    for start, stop in ((0, 1), (0, 20), (5, 6), (7, 19)):
        run = grid.seconds((start, stop))
        assert np.flatnonzero(grid.inside([run], 20)).tolist() == list(range(start, stop))
        assert grid.snippet_at((run[0] + run[1]) / 2) in range(start, stop)
        assert grid.snippet_at(run[1]) == stop


@placed
def test_snippets_that_lie_wholly_in_the_video_are_counted(grid: TimeGrid) -> None:
    for num_frames in (40, 299, 300, 301, 9_000):
        ends = grid.centres_s(10_000) + grid.width_s / 2
        expected = max(1, int((ends <= num_frames / 30 + 1e-9).sum()))
        assert grid.num_snippets(num_frames) == expected


@every_rate
def test_the_defaults_are_half_a_snippet_and_a_snippet(rate_hz: float) -> None:
    """And said or not, results are those of i / rate_hz to the last bit."""
    said = TimeGrid(rate_hz, 0.5 / rate_hz, 1 / rate_hz)
    assert said == TimeGrid(rate_hz)
    np.testing.assert_array_equal(said.centres_s(999), (np.arange(999) + 0.5) / rate_hz)
    starts, ends = said.seconds((np.arange(999), np.arange(1, 1000)))
    np.testing.assert_array_equal(starts, np.arange(999) / rate_hz)
    np.testing.assert_array_equal(ends, np.arange(1, 1000) / rate_hz)
    for value in (1, 37, 100_001):
        assert said.num_snippets(value) == max(1, int(value * rate_hz / 30))
        assert said.snippet_at(value / 7) == int(np.floor(value / 7 * rate_hz + 1e-9))


@pytest.mark.parametrize("rate_hz", [0.0, -6.0, float("nan"), float("inf")])
def test_a_rate_that_is_not_positive_is_refused(rate_hz: float) -> None:
    with pytest.raises(ValueError, match="rate_hz"):
        TimeGrid(rate_hz)


@pytest.mark.parametrize(
    ("key", "value"), [("offset_s", -0.1), ("offset_s", float("nan")), ("width_s", 0.0), ("width_s", -1.0)]
)
def test_a_wrong_offset_or_width_is_refused(key: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{key}: got {value}"):
        TimeGrid(6.0, **{key: value})
