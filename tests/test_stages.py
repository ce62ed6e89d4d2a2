"""The stages and report commands on what a run leaves behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tsrnet.pipeline.stages import Stage


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, check=False, timeout=60
    )


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


def test_stages_are_listed_and_removed_by_name_or_age(root: Path) -> None:
    keys = [Stage(root, "teacher", {"seed": seed}).key for seed in (0, 1)]
    listed = run("tsrnet.stages", f"paths.stages={root}").stdout.splitlines()
    lines = [next(line for line in listed if key in line) for key in keys]
    assert "unfinished" not in lines[0]
    assert "10.0" in lines[0]
    assert "unfinished" in lines[1]
    result = run("tsrnet.stages", f"paths.stages={root}", "remove=[teacher-0]")
    assert result.returncode == 2
    assert "no such stage" in result.stderr
    assert run("tsrnet.stages", f"paths.stages={root}", "older_than_days=5").returncode == 0
    assert [(root / key).is_dir() for key in keys] == [False, True]
    assert run("tsrnet.stages", f"paths.stages={root}", f"remove=[{keys[1]}]").returncode == 0
    assert not (root / keys[1]).exists()


def test_a_sweep_is_reported_with_seeds_as_deviation(tmp_path: Path) -> None:
    number = 0
    for alpha, accuracies in (("1", (0.5, 0.7)), ("10", (0.8, 0.8))):
        for seed, accuracy in enumerate(accuracies):
            job = tmp_path / str(number)
            (job / ".hydra").mkdir(parents=True)
            (job / ".hydra" / "overrides.yaml").write_text(f"- loss.alpha={alpha}\n- seed={seed}\n")
            metrics = {
                "simulated": True,
                "protocol": "demo",
                "videos": 3,
                "recognition": {"rgb": {"accuracy": accuracy}},
                "detection": {"mAP": {"0.50": accuracy / 2}, "average_mAP": accuracy / 4},
            }
            (job / "metrics.json").write_text(json.dumps(metrics))
            number += 1
    result = run("tsrnet.report", f"sweep={tmp_path}")
    assert result.returncode == 0, result.stderr
    assert "60.0 ±14.1" in result.stdout
    assert "SIMULATED" in result.stdout
    header, *rows = (tmp_path / "sweep.csv").read_text().splitlines()
    assert header.startswith("loss.alpha,seeds,accuracy")
    assert [row.split(",")[:3] for row in rows] == [["1", "2", "0.6"], ["10", "2", "0.8"]]
    assert (tmp_path / "sweep.png").is_file()


def test_a_folder_that_is_no_sweep_is_one_line(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        result = run("tsrnet.report", f"sweep={folder}")
        assert result.returncode == 2
        assert len(result.stderr.strip().splitlines()) == 1, result.stderr
