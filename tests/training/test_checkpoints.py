"""Checkpoints are whole; what something else has damaged is passed over, with a line."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tsrnet.core.errors import UserError
from tsrnet.training.checkpoints import BEFORE, LAST, WholeCheckpoints, last_checkpoint


def save(folder: Path, step: int) -> None:
    checkpoint = {"state_dict": {"a": torch.full((1000,), float(step))}, "global_step": step}
    WholeCheckpoints().save_checkpoint(checkpoint, folder / LAST)


def step_of(path: Path | None) -> int | None:
    return path and torch.load(path, weights_only=True)["global_step"]


def test_the_one_before_is_kept_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "tmp"
    elsewhere.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(elsewhere))
    assert last_checkpoint(tmp_path) is None
    for step in (5, 10, 15):
        save(tmp_path, step)
    assert {path.name for path in tmp_path.iterdir()} == {LAST, BEFORE, "tmp"}
    assert (step_of(tmp_path / LAST), step_of(tmp_path / BEFORE)) == (15, 10)
    assert not list(elsewhere.iterdir())


def test_one_that_cannot_be_written_leaves_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for step in (5, 10):
        save(tmp_path, step)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match=r"last\.ckpt: cannot be written \(No space left"):
        save(tmp_path, 15)
    assert (step_of(tmp_path / LAST), step_of(tmp_path / BEFORE)) == (10, 5)
    assert {path.name for path in tmp_path.iterdir()} == {LAST, BEFORE}


def _flip(content: bytes) -> bytes:
    place = len(content) // 2  # in the numbers
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize(
    "change",
    [lambda c: c[:1000], lambda c: b"", lambda c: c[:-1], _flip],
    ids=["torn", "empty", "end", "bit"],
)
def test_a_damaged_one_is_reported_and_passed_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Callable[[bytes], bytes]
) -> None:
    for step in (5, 10):
        save(tmp_path, step)
    (tmp_path / LAST).write_bytes(change((tmp_path / LAST).read_bytes()))
    assert step_of(last_checkpoint(tmp_path)) == 5
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{tmp_path / LAST}: is damaged (")
    (tmp_path / BEFORE).write_bytes(change((tmp_path / BEFORE).read_bytes()))
    assert last_checkpoint(tmp_path) is None
    assert len(capsys.readouterr().err.splitlines()) == 2
