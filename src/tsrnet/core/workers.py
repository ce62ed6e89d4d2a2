"""Worker processes for decoding, drawing and flow. If one hangs or dies, only its task is lost."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import TimeoutError as OutOfTimeError
from concurrent.futures.process import BrokenProcessPool
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
    """Return the message of an exception in its place: not every exception can be pickled."""
    try:
        return function(task)
    except UserError:
        raise
    except Exception as error:
        return _Failed(brief(error))


class Workers:
    """`number` running processes; see `worker_pool`."""

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
        """Yield each task with its result, in order. Few tasks wait at a time, so memory stays bounded.

        `lost` makes a result for a failed task from the reason: its process took longer than `timeout_s` (and
        was killed) or died, or `function` raised anything but a UserError. Without `lost`, a lost process
        raises UserError, and exceptions of `function` are raised here.
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
        except BrokenProcessPool as error:
            raise UserError(
                "no worker process can start; a script that uses tsrnet needs its commands below"
                ' if __name__ == "__main__": because the workers import it'
            ) from error
        except ProcessExpired as error:
            reason = f"its process died (exit code {error.exitcode})"
        if lost is None:
            raise UserError(f"a worker process was lost: {reason}; run the same command again")
        return lost(reason)


def num_cores() -> int:
    """The cores that this process may use: fewer than the machine has, in a job of a cluster."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def worker_pool(workers: int) -> Iterator[Workers]:
    """Start `workers` processes (0: one per core), each with OpenCV and torch on one thread.

    They are fresh interpreters, because forking a process in which torch has threads may hang. They ignore
    Ctrl-C. It ends this process, which then ends them at once.
    """
    number = workers or num_cores()
    if multiprocessing.get_start_method(allow_none=True) == "loky":
        # joblib's launcher sets a start method that fresh interpreters do not know.
        multiprocessing.set_start_method("spawn", force=True)
    pool = ProcessPool(number, context=multiprocessing.get_context("spawn"), initializer=_begin)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        pool.schedule(os.getpid)  # starts the pool's threads; they and the processes inherit the mask
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    try:
        yield Workers(pool, number)
    finally:
        pool.stop()  # type: ignore[no-untyped-call]
        pool.join()


def _begin() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is imported; importing it here would be slow
    if "torch" in sys.modules:  # a user's main module has imported it
        sys.modules["torch"].set_num_threads(1)

    import cv2

    cv2.setNumThreads(1)
