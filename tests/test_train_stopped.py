"""Training that something ends in the middle: a kill, a signal, a full disk. The same command goes on."""

from __future__ import annotations

import json
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
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


def until_checkpoint(overrides: tuple[str, ...], data: Path, number: signal.Signals) -> int:
    """Run the command until it has a checkpoint of the network, then send it a signal."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tsrnet.train", *overrides],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not list((data / "stages").glob("tsrnet-*/last.ckpt")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    code = process.wait()
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
    command: Command, tiny: tuple[str, ...], untrained: Path, number: signal.Signals, more: tuple[str, ...]
) -> None:
    run = untrained.parent / "run"
    overrides = (*tiny, f"paths.data={untrained}", f"hydra.run.dir={run}", *LONG, *more)
    code = until_checkpoint(overrides, untrained, number)
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
    command: Command, tiny: tuple[str, ...], untrained: Path
) -> None:
    places = (f"paths.data={untrained}", f"hydra.run.dir={untrained.parent}/run")
    overrides = (*tiny, *places, *LONG, "transfer=none")
    until_checkpoint(overrides, untrained, signal.SIGKILL)
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
