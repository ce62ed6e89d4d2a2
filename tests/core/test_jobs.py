"""The jobs of a multirun say by a mark in their folder whether they run, have failed, and why."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tsrnet.core import jobs
from tsrnet.core.errors import UserError
from tsrnet.core.jobs import failure, is_running, run_job, wait_for_jobs

_JOB = """
import sys
from pathlib import Path
from tsrnet.core.jobs import run_job

def wait():
    print("begun", flush=True)
    sys.stdin.readline()

run_job(wait, Path(sys.argv[1]))
"""


def started(folder: Path) -> subprocess.Popen[str]:
    """A job in another process that has begun and waits for a line."""
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", _JOB, str(folder)], stdin=pipe, stdout=pipe, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


def test_a_job_that_ends_well_leaves_no_mark(tmp_path: Path) -> None:
    assert run_job(lambda: 0.75, tmp_path) == 0.75
    assert list(tmp_path.iterdir()) == []
    assert failure(tmp_path) is None
    assert not is_running(tmp_path)


def test_a_job_that_fails_leaves_the_reason_and_the_others_go_on(tmp_path: Path) -> None:
    def mistaken() -> None:
        raise UserError("seed: got -1, need a number >= 0")

    def broken() -> None:
        raise ZeroDivisionError("by zero")

    for name, function in (("mistaken", mistaken), ("broken", broken)):
        (tmp_path / name).mkdir()
        assert run_job(function, tmp_path / name) is None
        assert not is_running(tmp_path / name)
    assert failure(tmp_path / "mistaken") == "seed: got -1, need a number >= 0"
    reason = str(failure(tmp_path / "broken"))
    assert reason.startswith("Traceback")
    assert reason.endswith("ZeroDivisionError: by zero")


def test_a_job_that_succeeds_at_last_has_not_failed(tmp_path: Path) -> None:
    def broken() -> None:
        raise UserError("full disk")

    run_job(broken, tmp_path)
    assert failure(tmp_path) == "full disk"
    run_job(lambda: None, tmp_path)
    assert failure(tmp_path) is None


def test_an_interrupt_ends_all_jobs(tmp_path: Path) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_job(interrupted, tmp_path)
    assert failure(tmp_path) == "the job was killed"


def test_a_job_runs_while_its_process_does(tmp_path: Path) -> None:
    process = started(tmp_path)
    assert is_running(tmp_path)
    assert failure(tmp_path) is None, "not yet"
    process.communicate("go on\n", timeout=30)
    assert not is_running(tmp_path)
    assert failure(tmp_path) is None


def test_a_job_whose_process_is_killed_says_so(tmp_path: Path) -> None:
    process = started(tmp_path)
    process.kill()
    process.communicate(timeout=30)
    assert not is_running(tmp_path)
    assert failure(tmp_path) == "the job was killed"


def test_waiting_ends_when_no_job_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two jobs one has failed; the other ends while somebody waits."""
    for name in ("0", "1"):
        (tmp_path / name).mkdir()
    (tmp_path / "1" / jobs.FAILED).write_text("full disk")
    begun, go_on = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        go_on.wait(30)

    thread = threading.Thread(target=run_job, args=(work, tmp_path / "0"))
    thread.start()
    begun.wait(30)
    reported: list[int] = []

    def sleep(_: float) -> None:
        if reported:
            go_on.set()
            thread.join(30)

    monkeypatch.setattr("tsrnet.core.jobs.time.sleep", sleep)
    wait_for_jobs(tmp_path, report=reported.append)
    assert reported == [1]
    assert failure(tmp_path / "1") == "full disk"
