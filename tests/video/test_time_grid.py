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


@pytest.mark.parametrize("rate_hz", [0.0, -6.0, float("nan")])
def test_a_rate_that_is_not_positive_is_refused(rate_hz: float) -> None:
    with pytest.raises(ValueError, match="rate_hz"):
        TimeGrid(rate_hz)
