"""Worker processes for decoding, drawing and flow: one that hangs or dies costs its task only."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import TimeoutError as OutOfTimeError
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from pebble import ProcessExpired, ProcessFuture, ProcessPool

from tsrnet.core.errors import UserError
from tsrnet.core.reading import brief

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True)
class _Failed:
    reason: str


def _guarded(function: Callable[[Task], Result], task: Task) -> Result | _Failed:
    """Exceptions come back as what they say: not every one can be pickled."""
    try:
        return function(task)
    except UserError:
        raise
    except Exception as error:
        return _Failed(brief(error))


class Workers:
    """`number` processes that are at work; see `worker_pool`."""

    def __init__(self, pool: ProcessPool, number: int) -> None:
        self._pool, self.number = pool, number

    def map(
        self,
        function: Callable[[Task], Result],
        tasks: Iterable[Task],
        *,
        timeout_s: float | None = None,
        lost: Callable[[str], Result] | None = None,
    ) -> Iterator[tuple[Task, Result]]:
        """Each task with `function` of it, in order; few wait at a time, so memory stays bounded.

        `lost` makes the result of a task from the reason for which there is none: its process took longer
        than `timeout_s` (and was killed) or died, or `function` raised something else than a UserError.
        Without it, a lost process is a UserError, and what `function` raises is raised here.
        """
        called = partial(_guarded, function) if lost else function
        waiting: deque[tuple[Task, ProcessFuture[Result | _Failed]]] = deque()
        for task in tasks:
            waiting.append((task, self._pool.schedule(called, args=(task,), timeout=timeout_s)))
            if len(waiting) > 3 * self.number:
                first, future = waiting.popleft()
                yield first, self._result(future, lost)
        for first, future in waiting:
            yield first, self._result(future, lost)

    def _result(
        self, future: ProcessFuture[Result | _Failed], lost: Callable[[str], Result] | None
    ) -> Result:
        try:
            result = future.result()
            if not isinstance(result, _Failed):
                return result
            reason = result.reason
        except OutOfTimeError as error:
            reason = f"it took longer than {error.args[1]:g} s and was stopped"
        except ProcessExpired as error:
            reason = f"its process died (exit code {error.exitcode})"
        if lost is None:
            raise UserError(f"a worker process was lost: {reason}; run the same command again")
        return lost(reason)


@contextmanager
def worker_pool(workers: int) -> Iterator[Workers]:
    """`workers` processes (0: one per core), each with OpenCV and torch on one thread.

    They are fresh interpreters: forking a process in which torch has threads may hang. They never see
    Ctrl-C, which ends this process; it then ends them, whatever they are at.
    """
    number = workers or os.cpu_count() or 1
    if multiprocessing.get_start_method(allow_none=True) == "loky":
        # Under joblib's launcher; fresh interpreters would be told of a way to start that they lack.
        multiprocessing.set_start_method("spawn", force=True)
    pool = ProcessPool(number, context=multiprocessing.get_context("spawn"), initializer=_begin)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        pool.schedule(os.getpid)  # starts the pool's threads, which inherit the mask as the processes do
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    try:
        yield Workers(pool, number)
    finally:
        pool.stop()  # type: ignore[no-untyped-call]
        pool.join()


def _begin() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is imported, which takes its time: not here
    if "torch" in sys.modules:  # by the main module of a user's script
        sys.modules["torch"].set_num_threads(1)

    import cv2

    cv2.setNumThreads(1)
