"""The jobs of a multirun. A mark in the folder of each job says whether it runs, or why it failed."""

from __future__ import annotations

import fcntl
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from tsrnet.core.errors import UserError

Result = TypeVar("Result")
FAILED = "failed.txt"
"""File in the folder of a job that runs or has failed. It holds the reason of the failure."""
failed_jobs: list[Path] = []
"""Failed jobs of the multirun that has ended; if there are any, the command exits with 1."""
when_interrupted: list[Callable[[], object]] = []
"""Called when a launcher or a sweeper breaks: reports the jobs of the multirun of this process."""


def run_job(function: Callable[[], Result], folder: Path) -> Result | None:
    """Run a job of a multirun. If it fails, its folder holds the reason and the other jobs continue."""
    mark = folder / FAILED
    with mark.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # ends with the process, see `is_running`
        file.write("the job was killed")
        file.flush()
        try:
            result = function()
        except Exception as error:
            mark.write_text(str(error) if isinstance(error, UserError) else traceback.format_exc().strip())
            return None
        mark.unlink()
    return result


def is_running(folder: Path) -> bool:
    """Return whether the job with this folder still runs, in any process."""
    try:
        with (folder / FAILED).open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def failure(folder: Path) -> str | None:
    """Return why a job failed, or None if it did not."""
    mark = folder / FAILED
    return mark.read_text().strip() if mark.is_file() and not is_running(folder) else None


def wait_for_jobs(sweep: Path, *, report: Callable[[int], object]) -> None:
    """Return when no job of a multirun runs any more; jobs that were just started show up late."""
    time.sleep(5)
    while running := sum(is_running(path.parent) for path in sweep.glob(f"*/{FAILED}")):
        report(running)
        time.sleep(1)
