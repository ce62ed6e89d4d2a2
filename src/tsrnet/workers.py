"""Worker processes for decoding, drawing and flow."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager


@contextmanager
def worker_pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """`workers` processes (0: one a core), each with OpenCV and torch on one thread.

    They are fresh interpreters: forking a process in which torch has threads may hang. Ctrl-C ends
    them without a word, whatever they are at, and what waits is not begun.
    """
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers or os.cpu_count(), mp_context=context, initializer=_begin)
    on_interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited, until _begin has run
    try:
        pool.submit(os.getpid)  # starts all processes
    finally:
        signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _begin() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"  # for torch, which is not imported yet

    import cv2

    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, lambda *_: sys.exit(130))
