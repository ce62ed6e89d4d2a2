"""What a run shows of its progress: a bar on a terminal, a line a minute in a file."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator

import pytest

from tsrnet.core import progress
from tsrnet.core.progress import Progress, plan, track


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The time in seconds, set by the test."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    yield now
    plan([])


def test_a_file_gets_a_line_a_minute_and_the_last(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress("snippets", 1000) as shown:
        for second in range(1, 126):
            clock[0] = second
            shown.update(8 * second)
    assert capsys.readouterr().err.splitlines() == [
        "snippets: 480 of 1000, 60 s, 8.0/s, about 65 s left",
        "snippets: 960 of 1000, 2 min, 8.0/s, about 5 s left",
        "snippets: 1000 of 1000, 2 min, 8.0/s",
    ]


def test_a_planned_step_tells_its_place_and_the_next(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    plan(["training teacher", "training tsrnet", "testing"])
    with Progress("training tsrnet", 500) as shown:
        clock[0] = 3600
        shown.update(100, "loss 0.250")
    with Progress("testing", 2) as shown:
        shown.update(2)
    first, last = capsys.readouterr().err.splitlines()
    assert first == (
        "[2/3] training tsrnet: 100 of 500, 60 min, 1.7/min, about 4.0 h left, next: testing, loss 0.250"
    )
    assert last == "[3/3] testing: 2 of 2, 0 s"


def test_a_continued_step_counts_its_own_work_only(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress("training", 500, done=400) as shown:
        clock[0] = 100
        shown.update(450)
    assert capsys.readouterr().err == "training: 450 of 500, 100 s, 30.0/min, about 100 s left\n"


def test_a_terminal_shows_one_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("TERM", "xterm")
    plan(["a[b]", "c"])
    assert list(track(range(3), total=3, what="a[b]")) == [0, 1, 2]
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", sys.stderr.getvalue())  # type: ignore[attr-defined]
    assert "[1/2] a[b]" in text
    assert "3/3" in text
