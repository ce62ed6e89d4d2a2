"""A task that hangs or kills its process costs that task only."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

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


class _OddError(Exception):
    """Cannot be pickled back: pickle calls it with one argument."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"{one} {other}")


def _raise(task: str) -> str:
    if task == "memory":
        raise MemoryError
    if task == "odd":
        raise _OddError("a\n", "b")
    if task == "text":
        raise UnicodeDecodeError("utf-8", b"\x80", 0, 1, "invalid start byte")
    if task == "mistake":
        raise UserError("a mistake of the user")
    return "good"


def test_whatever_a_worker_raises_is_the_reason_of_its_task() -> None:
    tasks = ["memory", "good", "odd", "text"]
    with worker_pool(1) as pool:
        results = dict(pool.map(_raise, tasks, lost=str))
        with pytest.raises(UserError, match="a mistake of the user"):
            list(pool.map(_raise, ["mistake"], lost=str))
        with pytest.raises(MemoryError):
            list(pool.map(_raise, ["memory"]))
    assert results["good"] == "good"
    assert (results["memory"], results["odd"]) == ("MemoryError", "_OddError: a b")
    assert "invalid start byte" in results["text"]


@pytest.mark.process
def test_a_script_without_a_guard_is_told_so(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from tsrnet.core.workers import worker_pool\n"
        "with worker_pool(1) as pool:\n    print(list(pool.map(abs, [-1])))\n"
    )
    result = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 1
    assert "UserError: no worker process can start; a script" in result.stderr
    assert 'if __name__ == "__main__":' in result.stderr
