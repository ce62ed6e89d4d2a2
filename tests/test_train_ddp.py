"""A whole run on two processes on the CPU gives what one process gives."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Command = Callable[..., Any]


@pytest.mark.process
def test_a_run_on_two_processes_gives_the_figures_of_one(
    command: Command, tiny: tuple[str, ...], prepared: Path, linked: Callable[..., Path], tmp_path: Path
) -> None:
    """With features on disk; each trains its own teacher and network."""

    def arguments(name: str) -> tuple[str, ...]:
        data = linked(prepared / "data", tmp_path / name / "data", "teacher-*", "tsrnet-*", "predictions-*")
        places = (f"paths.data={data}", f"hydra.run.dir={tmp_path}/{name}/run")
        return (*tiny, *places, "stream=rgb", "model.dropout=0", "trainer.accelerator=cpu")

    one = command("train", *arguments("one"))
    assert one.code == 0, one.err
    two = subprocess.run(
        [
            *(sys.executable, "-m", "tsrnet.train", "trainer=ddp", *arguments("two")),
            *("trainer.accelerator=cpu", "trainer.devices=2"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert two.returncode == 0, two.stderr
    metrics = [json.loads((tmp_path / name / "run/metrics.json").read_text()) for name in ("one", "two")]
    assert metrics[0]["stages"] == metrics[1]["stages"]
    for part in ("recognition", "detection", "attention"):
        flat = [np.array(list(numbers(some[part]))) for some in metrics]
        np.testing.assert_allclose(*flat, atol=1e-5)
    assert two.stdout.count("run folder:") == 1


def numbers(tree: object) -> list[float]:
    if isinstance(tree, dict):
        return [value for node in tree.values() for value in numbers(node)]
    return [float(tree)]  # type: ignore[arg-type]
