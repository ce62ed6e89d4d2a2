"""A task that hangs or kills its process costs that task only."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tsrnet.core.errors import UserError
from tsrnet.core.workers import worker_pool


def act(task: str) -> str:
    if task == "hang":
        time.sleep(60)
    if task == "die":
        os.kill(os.getpid(), signal.SIGSEGV)
    return task.upper()


def test_results_come_in_order_and_lost_tasks_say_why() -> None:
    tasks = ["a", "hang", "b", "die", "c", "d"]
    with worker_pool(2) as pool:
        results = list(pool.map(act, tasks, timeout_s=3.0, lost=str))
    assert [task for task, _ in results] == tasks
    said = dict(results)
    assert {said[task] for task in "abcd"} == set("ABCD")
    assert "longer than 3 s" in said["hang"]
    assert "died" in said["die"]


def test_without_a_stand_in_a_lost_task_is_an_error() -> None:
    with worker_pool(1) as pool, pytest.raises(UserError, match="died"):
        list(pool.map(act, ["die"]))
