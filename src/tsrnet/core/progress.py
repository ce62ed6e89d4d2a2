"""Progress of tasks longer than some seconds: a bar on a terminal, one line per minute elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")
LINE_EVERY_S = 60.0

_plan: list[str] = []


def plan(steps: Sequence[str]) -> None:
    """Announce the steps in order, by the names that `Progress` gets, so that it shows the next step."""
    _plan[:] = steps


class Progress:
    """`done` of `total`, with throughput, time left and the next step; a context manager with `update`.

    `done`: how many were done before, in a run that was stopped.
    """

    def __init__(self, what: str, total: int, *, done: int = 0) -> None:
        self.what, self.total, self.done = what, total, done
        self._before = done
        self._start = self._last_line = time.monotonic()
        place = _plan.index(what) + 1 if what in _plan else 0
        self._step = f"[{place}/{len(_plan)}] " * bool(place)
        self._next = f"next: {_plan[place]}" if 0 < place < len(_plan) else ""
        self._bar = None
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar
            from rich.table import Column

            # on a narrow terminal the note is cut, not the numbers
            note = Column(ratio=2, no_wrap=True, overflow="ellipsis")
            self._bar = Bar(
                TextColumn("{task.description}", markup=False),
                BarColumn(None, table_column=Column(ratio=1)),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}", markup=False),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}", markup=False, table_column=note),
                console=Console(stderr=True),
                expand=True,
            )

    def __enter__(self) -> Progress:
        if self._bar:
            self._bar.start()
            self._task = self._bar.add_task(
                self._step + self.what, total=self.total, completed=self.done, rate="", note=self._next
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.update(self._task, note="")  # the announced next step is out of date
            self._bar.stop()

    def update(self, done: int, note: str = "") -> None:
        self.done = done
        now = time.monotonic()
        spent_s = now - self._start
        per_s = (done - self._before) / spent_s if spent_s > 0 else 0.0
        if self._bar:
            shown = ", ".join(filter(None, (note, self._next)))
            self._bar.update(self._task, completed=done, rate=_rate(per_s), note=shown)
        elif now - self._last_line >= LINE_EVERY_S or done == self.total:
            self._last_line = now
            parts = [f"{self._step}{self.what}: {done} of {self.total}", _duration(spent_s), _rate(per_s)]
            if per_s and done < self.total:
                parts += [f"about {_duration((self.total - done) / per_s)} left", self._next]
            print(", ".join(filter(None, (*parts, note))), file=sys.stderr, flush=True)


def track(items: Iterable[Item], *, total: int, what: str) -> Iterator[Item]:
    """Yield the items and show how many are done."""
    with Progress(what, total) as progress:
        for done, item in enumerate(items, 1):
            yield item
            progress.update(done)


def _rate(per_s: float) -> str:
    if not per_s:
        return ""
    return f"{per_s:.1f}/s" if per_s >= 1 else f"{60 * per_s:.1f}/min"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
