"""Multiruns: what jobs share is computed once, failed jobs are named, searches see no test video."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from tsrnet.core import jobs
from tsrnet.core.errors import UserError
from tsrnet.core.jobs import FAILED, failed_jobs
from tsrnet.datasets.records import Segment, VideoDataset, VideoRecord
from tsrnet.reporting.sweep import report_sweep
from tsrnet.reporting.workspace import workspace

Command = Callable[..., Any]


@pytest.mark.process
def test_jobs_side_by_side_share_teacher_and_networks(
    train: Command, tiny: tuple[str, ...], prepared: Path, linked: Command, tmp_path: Path
) -> None:
    """Four settings in two processes: two networks, one teacher; the same again trains nothing."""
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    data = linked(prepared / "data", tmp_path / "data", "t*-rgb-*", "predictions-*")
    arguments = (
        *("stream=rgb", "loss.alpha=1,10", "localization.theta=0.3,0.5", "seed=3", f"paths.data={data}"),
        *(f"hydra.sweep.dir={tmp_path}/sweep", "-m"),
    )
    launcher = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    subprocess.run([sys.executable, "-m", "tsrnet.train", *tiny, *launcher, *arguments], check=True)
    stages = [path.name for path in (data / "stages").glob("*-rgb-*")]
    assert Counter(name.rsplit("-", 1)[0] for name in stages) == {
        "backbone-rgb": 1,
        "teacher-rgb": 1,
        "tsrnet-rgb": 2,
        "predictions-rgb": 2,
    }
    with (tmp_path / "sweep" / "sweep.csv").open() as file:
        rows = list(csv.DictReader(file))
    settings = [(row["loss.alpha"], row["localization.theta"]) for row in rows]
    assert settings == [("1", "0.3"), ("1", "0.5"), ("10", "0.3"), ("10", "0.5")]
    again = train(*arguments)
    assert again.code == 0, again.err
    assert "training" not in again.err


def test_a_search_maximises_accuracy_on_training_videos(
    train: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two trials; no figure of theirs needs a segment or a test video."""
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    arguments = (
        *("stream=rgb", "transfer=none", "holdout=0.5", "hydra.sweeper.n_trials=2"),
        *(f"hydra.sweep.dir={tmp_path}", "+sweep=optuna"),
    )
    result = train(*arguments)
    assert result.code == 0, result.err
    found = [json.loads((tmp_path / str(n) / "metrics.json").read_text()) for n in range(2)]
    # One video a class is left to train on; one of the six shows a second class.
    assert [(some["videos"], some["detection"]) for some in found] == [(1, None)] * 2
    best = yaml.safe_load((tmp_path / "optimization_results.yaml").read_text())
    assert best["best_value"] == max(some["recognition"]["rgb"]["accuracy"] for some in found)
    monkeypatch.setattr(jobs, "time", SimpleNamespace(sleep=lambda _: None))  # for jobs that start late
    result = train(*arguments, "holdout=0")
    assert result.code == 1
    assert "a search needs a share of the training videos" in result.err


def test_a_job_that_breaks_is_named_with_its_log_and_the_others_go_on(train: Command, tmp_path: Path) -> None:
    """The second job's folder for timelines is a file: an error that is nobody's mistake of values."""
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "timelines").write_text("in the way")
    result = train("stream=rgb", f"hydra.sweep.dir={tmp_path}", "loss.alpha=1,2,-3", "-m")
    assert result.code == 1
    named = [line for line in result.out.splitlines() if line.startswith("failed: ")]
    assert [line.split(": ")[1] for line in named] == [f"{tmp_path}/1", f"{tmp_path}/2"]
    assert "timelines" in (tmp_path / "1" / FAILED).read_text()
    assert "loss.alpha: got -3" in (tmp_path / "2" / FAILED).read_text()
    assert (tmp_path / "0" / "metrics.json").is_file()
    assert not (tmp_path / "0" / FAILED).exists()


def test_videos_are_held_out_of_every_class_and_without_segments() -> None:
    records = tuple(
        VideoRecord(f"v{i}", "train", 10.0, ("ab"[i % 2],), (Segment(0.0, 1.0, "ab"[i % 2]),))
        for i in range(16)
    )
    whole = VideoDataset("demo", ("a", "b"), records, (), Path())
    split = whole.held_out(0.25)
    assert Counter(record.labels[0] for record in split.test) == {"a": 2, "b": 2}
    assert {record.id for record in (*split.train, *split.test)} == {record.id for record in records}
    assert len(split.train) == 12
    assert not any(record.segments for record in split.test)
    with pytest.raises(UserError, match=r"holdout: got 0\.01"):
        whole.held_out(0.01)


def test_the_workspace_shows_what_runs_log(command: Command) -> None:
    pytest.importorskip("wandb_workspaces")
    text = workspace("me", "tsrnet", "TSRNet")._to_model().model_dump_json(by_alias=True)
    for shown in (
        *("config:loss.value.alpha", "config:loss.value.beta", "config:localization.value.theta"),
        *("summary:test/average_mAP", "test/mAP/0.50", "tsrnet-rgb/loss/fc1", "test/timelines"),
    ):
        assert f'"{shown}"' in text
    assert "entity: got nothing" in command("dashboard").mistake


def test_a_damaged_metrics_file_is_named_and_the_others_are_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = {"protocol": "demo", "videos": 6, "recognition": {"rgb": {"accuracy": 0.5}}, "detection": None}
    damage = [
        "",
        "{",
        "[]",
        json.dumps({**metrics, "recognition": {}}),
        json.dumps({**metrics, "videos": "x"}),
    ]
    for number, text in enumerate([json.dumps(metrics), *damage]):
        job = tmp_path / str(number)
        (job / ".hydra").mkdir(parents=True)
        (job / ".hydra" / "overrides.yaml").write_text(f"- loss.alpha={number}\n")
        (job / "metrics.json").write_text(text)
    assert report_sweep(tmp_path)
    out = " ".join(capsys.readouterr().out.split())
    assert out.count("left out: ") == len(failed_jobs) == len(damage)
    assert "1 settings" in out
    failed_jobs.clear()
