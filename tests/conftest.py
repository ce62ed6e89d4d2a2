"""Shared fixtures: generated videos, the real configuration, shrunk, and commands in this process."""

from __future__ import annotations

import gc
import io
import logging
import os
import shutil
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

from tsrnet.__main__ import main
from tsrnet.core import cli, jobs
from tsrnet.video.writer import write_video

cli.set_environment()

TINY = (
    "dataset.num_train=6",
    "dataset.num_test=6",
    "trimmed.clips_per_class=1",
    "dataset.size=64",
    "features.resize=32",
    "features.crop=32",
    "features.stand_in.num_pictures=16",
    "features.stand_in.num_stacks=16",
    "features.stand_in.picture_steps=3",
    "features.stand_in.stack_steps=3",
    "features.stand_in.batch_size=16",
    "trainer.max_steps=12",
    "trainer.checkpoint_every=5",
    "teacher.max_steps=12",
    "report.timelines=1",
    "logger=csv",
)
"""Shrinks the real configuration: drawing, features and training of a whole run take some 20 seconds."""


@dataclass(frozen=True)
class Result:
    """Exit code and output of a command."""

    code: int
    out: str
    err: str

    @property
    def mistake(self) -> str:
        """The one line that reports a user's mistake."""
        assert self.code == 2, self.err
        (line,) = self.err.splitlines()
        assert line.startswith("error: ")
        return line


def run_here(verb: str, *arguments: str, folder: Path | None = None) -> Result:
    """Run `tsrnet VERB ARGUMENTS` in this process, in `folder`. Afterwards the process is as before.

    Only tests of signals, kills and imports need a real process.
    """
    out, err = io.StringIO(), io.StringIO()
    with _restored_process(), redirect_stdout(out), redirect_stderr(err):
        os.chdir(folder or ".")
        sys.argv = ["tsrnet", verb, *arguments]
        try:
            main()
        except SystemExit as end:
            return Result(int(end.code or 0), out.getvalue(), err.getvalue())
    raise AssertionError("a command ends with an exit code")


@contextmanager
def _restored_process() -> Iterator[None]:
    """Undo what a command sets and leaves to the end of its process."""
    argv, environment, folder = sys.argv, dict(os.environ), Path.cwd()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    loggers = [logging.root, *map(logging.getLogger, logging.root.manager.loggerDict)]
    levels, root_handlers = [logger.level for logger in loggers], logging.root.handlers[:]
    threads = torch.get_num_threads() if (torch := sys.modules.get("torch")) else 0
    os.environ.pop("HYDRA_FULL_ERROR", None)
    os.environ["COLUMNS"] = "200"  # or tables wrap as the terminal does
    GlobalHydra.instance().clear()
    try:
        with warnings.catch_warnings():
            warnings.resetwarnings()
            for category in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
                warnings.simplefilter("ignore", category)  # as Python does
            warnings.filterwarnings("ignore", message=".*found in sys.modules.*")  # runpy's
            warnings.showwarning = _print_warning
            yield
    finally:
        sys.argv = argv
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        for handler in {*logging.root.handlers} - {*root_handlers}:
            handler.close()
        logging.root.handlers[:] = root_handlers
        if torch:
            torch.set_num_threads(threads)
        GlobalHydra.instance().clear()
        HydraConfig.instance().cfg = None
        for memory in (jobs.failed_jobs, jobs.when_interrupted, cli._stopped_by):
            memory.clear()
        if reopen := sys.modules.get("tsrnet.pipeline.reopen"):
            reopen._tested.cache_clear()
            gc.unfreeze()


def _print_warning(message: Warning | str, category: type[Warning], name: str, line: int, *_: object) -> None:
    print(warnings.formatwarning(message, category, name, line), file=sys.stderr, end="")


def link(source: Path, target: Path, *without: str) -> Path:
    """Copy a folder with hard links, for a test that adds, removes or replaces files.

    `without`: patterns of names to leave out.
    """
    ignored = shutil.ignore_patterns(".locks", *without)
    return Path(shutil.copytree(source, target, copy_function=os.link, ignore=ignored))


@pytest.fixture(scope="session")
def tiny() -> tuple[str, ...]:
    return TINY


@pytest.fixture(scope="session")
def command() -> Callable[..., Result]:
    """`command("train", "seed=1", folder=...)`: its `code`, `out` and `err`, see `run_here`."""
    return run_here


@pytest.fixture(scope="session")
def linked() -> Callable[..., Path]:
    return link


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The one demo that the tests draw, extract and train: `data` with all stages, and the folder `run`.

    Read only. A test that trains or replaces files works on a copy (`linked`, `data`).
    """
    root = tmp_path_factory.mktemp("prepared")
    result = run_here("train", *TINY, f"paths.data={root}/data", f"hydra.run.dir={root}/run")
    assert result.code == 0, result.err
    assert result.out.splitlines()[-1] == f"run folder: {root}/run"
    before = _written(root)
    yield root
    assert _written(root) == before, "a test has changed the prepared demo"


def _written(root: Path) -> dict[Path, int]:
    files = (path for path in root.rglob("*") if path.suffix in (".mp4", ".npy", ".pt"))
    return {path: path.stat().st_mtime_ns for path in files}


@pytest.fixture(scope="module")
def data(prepared: Path, linked: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the prepared `paths.data` for the tests of one file, which add stages to it."""
    return linked(prepared / "data", tmp_path_factory.mktemp("demo") / "data")


@pytest.fixture(scope="module")
def train(data: Path) -> Callable[..., Result]:
    """`train("seed=1")` runs `tsrnet.train` on the copy of the prepared demo, shrunk."""
    return lambda *overrides: run_here("train", *TINY, f"paths.data={data}", *overrides)


@pytest.fixture(scope="session")
def moving_square(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A 2 s mp4, 64 x 48, 30 Hz: frame k is as bright as k, a square moves right by 1 px a frame."""
    path = tmp_path_factory.mktemp("videos") / "square.mp4"

    def frame(index: int) -> np.ndarray:
        image = np.full((48, 64, 3), 20 + 2 * index, np.uint8)
        image[16:32, index % 48 : index % 48 + 12] = 255
        return image

    write_video(path, (frame(index) for index in range(60)), frame_rate_hz=30)
    return path
