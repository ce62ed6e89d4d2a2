"""Progress for anything longer than some seconds: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TypeVar

Item = TypeVar("Item")
LINE_EVERY_S = 10.0


class Progress:
    """`done` of `total`; use as a context manager and call `update`."""

    def __init__(self, what: str, total: int) -> None:
        self.what, self.total, self.done = what, total, 0
        self._start = self._last_line = time.monotonic()
        self._bar = None
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
                console=Console(stderr=True),
            )

    def __enter__(self) -> Progress:
        if self._bar:
            self._bar.start()
            self._task = self._bar.add_task(self.what, total=self.total, note="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def update(self, done: int, note: str = "") -> None:
        self.done = done
        if self._bar:
            self._bar.update(self._task, completed=done, note=note)
            return
        now = time.monotonic()
        if now - self._last_line > LINE_EVERY_S or done == self.total:
            self._last_line = now
            spent_s = now - self._start
            left = f", about {spent_s * (self.total / done - 1):.0f} s left" if 0 < done < self.total else ""
            line = f"{self.what}: {done} of {self.total}, {spent_s:.0f} s{left} {note}"
            print(line.rstrip(), file=sys.stderr, flush=True)


def track(items: Iterable[Item], *, total: int, what: str) -> Iterator[Item]:
    """Yield the items and show how many are done."""
    with Progress(what, total) as progress:
        for done, item in enumerate(items, 1):
            yield item
            progress.update(done)
