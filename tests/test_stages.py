"""The stages and report commands on what a run leaves behind."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tsrnet.pipeline.stages import Stage

Command = Callable[..., Any]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A finished stage that is 10 days old and one that was cut off."""
    old, new = (Stage(tmp_path, "teacher", {"seed": seed}) for seed in (0, 1))
    old.begin()
    old.finish({"a": torch.zeros(1000)})
    for path in old.folder.iterdir():
        os.utime(path, times=(time.time() - 10 * 86400,) * 2)
    new.begin()
    return tmp_path


def test_stages_are_listed_and_removed_by_name_or_age(command: Command, root: Path) -> None:
    keys = [Stage(root, "teacher", {"seed": seed}).key for seed in (0, 1)]
    listed = command("stages", f"paths.stages={root}").out.splitlines()
    lines = [next(line for line in listed if key in line) for key in keys]
    assert "unfinished" not in lines[0]
    assert "10.0" in lines[0]
    assert "unfinished" in lines[1]
    result = command("stages", f"paths.stages={root}", "remove=[teacher-0]")
    assert result.code == 2
    assert "no such stage" in result.err
    assert command("stages", f"paths.stages={root}", "older_than_days=5").code == 0
    assert [(root / key).is_dir() for key in keys] == [False, True]
    assert command("stages", f"paths.stages={root}", f"remove=[{keys[1]}]").code == 0
    assert not (root / keys[1]).exists()


def test_nothing_but_stages_is_touched(command: Command, root: Path) -> None:
    """Also where the folder of all data, or any other, is given by mistake."""
    for name in ("myphotos", "features-0123456789abcdef", ".hidden"):
        (root / name).mkdir()
        (root / name / "a.npy").write_bytes(b"mine")
        os.utime(root / name / "a.npy", times=(0, 0))
    before = sorted(root.rglob("*"))
    assert command("stages", f"paths.stages={root}").code == 0
    assert command("stages", f"paths.stages={root}/nowhere").code == 0
    assert command("stages", f"paths.stages={root}", "older_than_days=30").code == 0
    assert command("stages", f"paths.stages={root.parent}", "older_than_days=0").code == 0
    assert "no such stage" in command("stages", f"paths.stages={root}", "remove=[myphotos]").mistake
    assert (
        "older_than_days: got 'x'" in command("stages", f"paths.stages={root}", "older_than_days=x").mistake
    )
    assert sorted(root.rglob("*")) == before


def test_a_sweep_is_reported_with_seeds_as_deviation(command: Command, tmp_path: Path) -> None:
    number = 0
    for alpha, accuracies in (("1", (0.5, 0.7)), ("10", (0.8, 0.8))):
        for seed, accuracy in enumerate(accuracies):
            job = tmp_path / str(number)
            (job / ".hydra").mkdir(parents=True)
            (job / ".hydra" / "overrides.yaml").write_text(f"- loss.alpha={alpha}\n- seed={seed}\n")
            metrics = {
                "label": "SIMULATED features",
                "protocol": "demo",
                "videos": 3,
                "recognition": {"rgb": {"accuracy": accuracy}},
                "detection": {"mAP": {"0.50": accuracy / 2}, "average_mAP": accuracy / 4},
            }
            (job / "metrics.json").write_text(json.dumps(metrics))
            number += 1
    result = command("report", f"sweep={tmp_path}")
    assert result.code == 0, result.err
    assert "60.0 ±14.1" in result.out
    assert "SIMULATED" in result.out
    header, *rows = (tmp_path / "sweep.csv").read_text().splitlines()
    assert header.startswith("loss.alpha,seeds,accuracy")
    assert [row.split(",")[:3] for row in rows] == [["1", "2", "0.6"], ["10", "2", "0.8"]]
    assert (tmp_path / "sweep.png").is_file()


def test_a_folder_that_is_no_sweep_is_one_line(command: Command, tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        result = command("report", f"sweep={folder}")
        assert result.code == 2
        assert len(result.err.strip().splitlines()) == 1, result.err
