"""Stages are found by what they depend on and are finished as a whole or not at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tsrnet.pipeline.stages import Stage


def test_the_key_follows_from_the_identity_alone(tmp_path: Path) -> None:
    one = Stage(tmp_path, "teacher", {"seed": 0, "loss": {"alpha": 1.0}})
    assert one.key == Stage(tmp_path / "x", "teacher", {"loss": {"alpha": 1.0}, "seed": 0}).key
    assert one.key != Stage(tmp_path, "teacher", {"seed": 0, "loss": {"alpha": 2.0}}).key


def test_a_stage_is_finished_when_its_weights_are_there(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "teacher", {"seed": 0})
    stage.begin()
    assert not stage.finished
    stage.finish({"a": torch.arange(3.0)})
    assert stage.finished
    torch.testing.assert_close(stage.load(), {"a": torch.arange(3.0)})


def test_weights_that_execute_something_are_not_loaded(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "executed",))

    stage = Stage(tmp_path, "teacher", {"seed": 0})
    stage.begin()
    torch.save({"a": Evil()}, stage.weights)
    with pytest.raises(Exception, match=r"[Ww]eights"):
        stage.load()
    assert not (tmp_path / "executed").exists()


_WORK = """
import sys
from pathlib import Path
import torch
from tsrnet.pipeline.stages import Stage
stage = Stage(Path(sys.argv[1]), "teacher", {"seed": 0})
with stage.work() as needed:
    print("needed" if needed else "found", flush=True)
    if needed:
        stage.begin()
        sys.stdin.readline()  # until the test says go on
        stage.finish({"a": torch.zeros(1)})
"""


def start(root: Path) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", _WORK, str(root)]
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_of_two_processes_one_computes_a_stage_and_the_other_takes_it(tmp_path: Path) -> None:
    one = start(tmp_path)
    assert first_line(one) == "needed"
    other = start(tmp_path)
    assert other.stderr is not None
    assert "another process is at it, waiting" in other.stderr.readline()
    one.communicate("go on\n", timeout=60)
    assert one.returncode == 0
    assert other.communicate("go on\n", timeout=60)[0].strip() == "found"


def test_a_process_that_dies_does_not_keep_a_stage(tmp_path: Path) -> None:
    one = start(tmp_path)
    assert first_line(one) == "needed"
    other = start(tmp_path)
    assert other.stderr is not None
    assert "waiting" in other.stderr.readline()
    one.kill()
    one.communicate()
    out, _ = other.communicate(timeout=60)
    assert out.strip() == "needed"
    assert Stage(tmp_path, "teacher", {"seed": 0}).finished
