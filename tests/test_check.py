"""The check command, and training where files are missing, on a few files in the datasets' layout."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Command = Callable[..., Any]


@pytest.fixture
def activitynet(tmp_path: Path, moving_square: Path) -> Path:
    """paths.data with two ActivityNet classes that UCF101 has too; 2 of 4 videos, 2 of 3 clips."""
    root = tmp_path / "data"
    entries = {
        "-ok": ("training", 2.0, "Archery"),
        "cut": ("training", 9.0, "Archery"),
        "gone": ("training", 2.0, "Hammer throw"),
        "bad": ("validation", 2.0, "Archery"),
    }
    database = {
        name: {
            "subset": subset,
            "duration": duration,
            "annotations": [{"label": label, "segment": [0.5, 1.5]}],
        }
        for name, (subset, duration, label) in entries.items()
    }
    for folder in ("activitynet/annotations", "activitynet/videos", "ucf101/annotations"):
        (root / folder).mkdir(parents=True)
    for name in ("-ok", "cut"):
        shutil.copy(moving_square, root / "activitynet" / "videos" / f"{name}.mp4")
    (root / "activitynet" / "videos" / "bad.mp4").write_bytes(b"no video")
    (root / "activitynet/annotations/activity_net.v1-3.min.json").write_text(
        json.dumps({"database": database})
    )
    ucf = root / "ucf101" / "annotations"
    ucf.joinpath("classInd.txt").write_text("1 Archery\r\n2 HammerThrow\r\n")
    clips = {name: f"v_{name}_g01_c01.avi" for name in ("Archery", "HammerThrow")}
    ucf.joinpath("trainlist01.txt").write_text(
        "".join(f"{name}/{clip} {number}\r\n" for number, (name, clip) in enumerate(clips.items(), start=1))
    )
    ucf.joinpath("testlist01.txt").write_text("Archery/v_Archery_g02_c01.avi\r\n")
    (root / "overlap.csv").write_text("untrimmed,trimmed\nArchery,Archery\nHammer throw,HammerThrow\n")
    return root


@pytest.fixture
def run(command: Command, tmp_path: Path) -> Command:
    """A command on `tmp_path`/data, where `activitynet` puts its files."""
    root = tmp_path / "data"
    common = (f"paths.data={root}", f"hydra.run.dir={root}/run")

    def run(verb: str, *overrides: str, dataset: str = "activitynet") -> Any:
        overlap = [f"dataset.overlap={root}/overlap.csv"] if dataset == "activitynet" else []
        return command(verb, f"dataset={dataset}", *common, *overlap, *overrides)

    return run


def test_check_counts_and_lists(run: Command, activitynet: Path) -> None:
    store = activitynet / "features" / "activitynet" / "resnet101_imagenet"
    for stream in ("rgb", "flow"):
        (store / stream).mkdir(parents=True)
        np.save(store / stream / "-ok.npy", np.ones((12, 4), np.float16))
    result = run("check")
    assert result.code == 0, result.err
    manifest = json.loads((activitynet / "run" / "manifest_activitynet.json").read_text())
    assert list(manifest["training"]["counts"].values()) == [3, 1, 1, 0, 1, 1, 2]
    assert list(manifest["test"]["counts"].values()) == [1, 0, 0, 1, 0, 0, 1]
    assert "it ends at 2.0 s of 9.0 s" in manifest["training"]["reasons"]["cut"]["video"]
    assert "no such file" in manifest["training"]["reasons"]["gone"]["video"]
    assert "-ok" not in manifest["training"]["reasons"]
    clips = json.loads((activitynet / "run" / "manifest_ucf101.json").read_text())
    assert clips["training"]["counts"]["annotated"] == 2


def test_missing_videos_are_counted_in_both_figures(run: Command, activitynet: Path) -> None:
    (activitynet / "activitynet" / "videos" / "bad.mp4").unlink()  # nothing to extract, no backbone
    rng = np.random.default_rng(0)
    for dataset, ids in (
        ("activitynet", ("-ok", "cut", "gone")),
        ("ucf101", ("v_Archery_g01_c01", "v_HammerThrow_g01_c01")),
    ):
        for stream in ("rgb", "flow"):
            folder = activitynet / "features" / dataset / "mine" / stream
            folder.mkdir(parents=True)
            for name in ids:
                np.save(folder / f"{name}.npy", rng.random((12, 4), np.float32))
    small = ("features.name=mine", "trainer.max_steps=2", "teacher.max_steps=2", "pretrain=overlap30")
    small = (*small, "pretrain.max_steps=2", "report.timelines=1", "logger=csv")
    result = run("train", *small)
    assert result.code == 2
    assert "3 of 3 training videos and 0 of 1 test videos have features" in result.err
    database = activitynet / "activitynet/annotations/activity_net.v1-3.min.json"
    content = json.loads(database.read_text())
    content["database"]["cut"]["subset"] = "validation"
    database.write_text(json.dumps(content))
    result = run("train", *small)
    assert result.code == 0, result.err
    assert "activitynet: 2 of 2 training videos and 1 of 2 test videos have features" in result.out
    metrics = json.loads((activitynet / "run" / "metrics.json").read_text())
    assert (metrics["videos"], metrics["missing"], metrics["available"]["videos"]) == (2, 1, 1)
    accuracy = metrics["available"]["recognition"]["fusion"]["accuracy"]
    assert metrics["recognition"]["fusion"]["accuracy"] == accuracy / 2
    assert not metrics["simulated"]
    assert any(stage.startswith("overlap-rgb-") for stage in metrics["stages"])


def test_nothing_there_says_where_to_get_it(run: Command) -> None:
    result = run("train")
    assert result.code == 2
    (line,) = result.err.strip().splitlines()
    for word in ("activity-net.org", "activitynet/annotations", "dataset.videos", "features=simulated"):
        assert word in line


def test_trimmed_clips_are_checked_but_not_trained_on_alone(run: Command, activitynet: Path) -> None:
    result = run("check", dataset="ucf101")
    assert result.code == 0, result.err
    manifest = json.loads((activitynet / "run" / "manifest_ucf101.json").read_text())
    assert manifest["training"]["counts"]["videos missing"] == 2
    assert not (activitynet / "run" / "manifest_activitynet.json").exists()
    result = run("train", dataset="ucf101")
    assert result.code == 2
    assert "dataset=thumos14 or activitynet" in result.err
