"""Stages are found by what they depend on and are finished as a whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tsrnet.learning.stages import Stage


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
