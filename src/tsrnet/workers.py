"""Worker processes for decoding, drawing and flow."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor


def worker_pool(workers: int) -> ProcessPoolExecutor:
    """`workers` processes (0: one a core), each with OpenCV on one thread.

    They are fresh interpreters: forking a process in which torch has threads may hang.
    """
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers or os.cpu_count(), mp_context=context, initializer=_one_thread)


def _one_thread() -> None:
    import cv2

    cv2.setNumThreads(1)
