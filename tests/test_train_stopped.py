"""Commands that something ends in the middle: a kill, a signal, a full disk. The same command goes on."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.process
Command = Callable[..., Any]
LONG = ("stream=flow", "trainer.max_steps=80", "trainer.checkpoint_every=10")
"""Long enough to be stopped between the first checkpoint and the end."""


@pytest.fixture
def untrained(prepared: Path, linked: Callable[..., Path], tmp_path: Path) -> Path:
    """A data folder with features and teachers, without networks."""
    return linked(prepared / "data", tmp_path / "data", "tsrnet-*", "predictions-*")


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder for temporary files, on another file system than the tests where there is one."""
    memory = Path("/dev/shm")
    root = memory if os.access(memory, os.W_OK) and memory.stat().st_dev != tmp_path.stat().st_dev else None
    with tempfile.TemporaryDirectory(dir=root) as folder:
        yield Path(folder)


def until(
    pattern: str, verb: str, overrides: tuple[str, ...], data: Path, number: int, temporary: Path
) -> int:
    """Run the command until there is such a file, then send it a signal."""
    process = subprocess.Popen(
        [sys.executable, "-m", f"tsrnet.{verb}", *overrides],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": str(temporary)},
    )
    deadline = time.monotonic() + 120
    while not list(data.glob(pattern)) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    return process.wait()


def until_checkpoint(overrides: tuple[str, ...], data: Path, number: int, temporary: Path) -> int:
    """Run the command until it has a checkpoint of the network, then send it a signal."""
    code = until("stages/tsrnet-*/last.ckpt", "train", overrides, data, number, temporary)
    assert not list((data / "stages").glob("tsrnet-*/weights.pt")), "the signal came too late"
    return code


@pytest.mark.parametrize(
    ("number", "more"),
    [
        (signal.SIGKILL, ()),
        (signal.SIGTERM, ("trainer.accumulate=2", "trainer.gradient_clip=1")),
        (signal.SIGINT, ("trainer.precision=bf16-mixed",)),
    ],
)
def test_it_goes_on_to_the_same_metrics(
    command: Command,
    tiny: tuple[str, ...],
    untrained: Path,
    elsewhere: Path,
    number: signal.Signals,
    more: tuple[str, ...],
) -> None:
    run = untrained.parent / "run"
    overrides = (*tiny, f"paths.data={untrained}", f"hydra.run.dir={run}", *LONG, *more)
    code = until_checkpoint(overrides, untrained, number, elsewhere)
    assert not list(elsewhere.rglob("*.ckpt"))
    assert code == (-9 if number == signal.SIGKILL else 128 + number)
    assert command("train", *overrides).code == 0
    cut = json.loads((run / "metrics.json").read_text())
    stages = untrained / "stages"
    weights = next(stages.glob("tsrnet-*/weights.pt")).read_bytes()
    for folder in (*stages.glob("tsrnet-*"), *stages.glob("predictions-*")):
        shutil.rmtree(folder)
    assert command("train", *overrides).code == 0
    assert json.loads((run / "metrics.json").read_text()) == cut
    assert next(stages.glob("tsrnet-*/weights.pt")).read_bytes() == weights


def test_a_disk_that_is_full_leaves_the_last_checkpoint(
    command: Command, tiny: tuple[str, ...], untrained: Path, elsewhere: Path
) -> None:
    places = (f"paths.data={untrained}", f"hydra.run.dir={untrained.parent}/run")
    overrides = (*tiny, *places, *LONG, "transfer=none")
    until_checkpoint(overrides, untrained, signal.SIGKILL, elsewhere)
    checkpoint = next((untrained / "stages").glob("tsrnet-*/last.ckpt"))
    before = checkpoint.read_bytes()

    def small_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2,) * 2)

    full = subprocess.run(
        [sys.executable, "-m", "tsrnet.train", *overrides],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=small_disk,
    )
    assert full.returncode == 2
    line = full.stderr.strip().splitlines()[-1]
    assert line.startswith(f"error: {checkpoint.parent}")
    assert "cannot be written" in line
    assert checkpoint.read_bytes() == before
    assert command("train", *overrides).code == 0


def test_extract_goes_on_to_the_same_features(
    command: Command,
    tiny: tuple[str, ...],
    prepared: Path,
    linked: Callable[..., Path],
    tmp_path: Path,
    elsewhere: Path,
) -> None:
    data = linked(prepared / "data", tmp_path / "data", "features")
    demo = tuple(text for text in tiny if text.split(".")[0] in ("dataset", "trimmed", "features"))
    overrides = (*demo, f"paths.data={data}", f"hydra.run.dir={tmp_path}/run")
    assert until("features/*/*/*/*.npy", "extract", overrides, data, signal.SIGKILL, elsewhere) == -9
    assert command("extract", *overrides).code == 0
    made = {path.relative_to(data): path.read_bytes() for path in data.glob("features/*/*/*/*")}
    expected = {
        path.relative_to(prepared / "data"): path.read_bytes()
        for path in (prepared / "data").glob("features/*/*/*/*")
    }
    assert made == expected
