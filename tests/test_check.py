"""The check command, run for real on a few files in the datasets' layout."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest


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


def command(
    name: str, root: Path, *overrides: str, dataset: str = "activitynet"
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-m",
            f"tsrnet.{name}",
            f"dataset={dataset}",
            f"paths.data={root}",
            f"hydra.run.dir={root}/run",
            *([f"dataset.overlap={root}/overlap.csv"] if dataset == "activitynet" else []),
            *overrides,
        ],
        capture_output=True,
        text=True,
        check=False,
    )


def test_check_counts_and_lists(activitynet: Path) -> None:
    store = activitynet / "features" / "activitynet" / "resnet101_imagenet"
    for stream in ("rgb", "flow"):
        (store / stream).mkdir(parents=True)
        np.save(store / stream / "-ok.npy", np.ones((12, 4), np.float16))
    result = command("check", activitynet)
    assert result.returncode == 0, result.stderr
    manifest = json.loads((activitynet / "run" / "manifest_activitynet.json").read_text())
    assert list(manifest["training"]["counts"].values()) == [3, 1, 1, 0, 1, 1, 2]
    assert list(manifest["test"]["counts"].values()) == [1, 0, 0, 1, 0, 0, 1]
    assert "it ends at 2.0 s of 9.0 s" in manifest["training"]["reasons"]["cut"]["video"]
    assert "no such file" in manifest["training"]["reasons"]["gone"]["video"]
    assert "-ok" not in manifest["training"]["reasons"]
    clips = json.loads((activitynet / "run" / "manifest_ucf101.json").read_text())
    assert clips["training"]["counts"]["annotated"] == 2


def test_missing_videos_are_counted_in_both_figures(activitynet: Path) -> None:
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
    small = (*small, "pretrain.max_steps=2", "report.timelines=1")
    result = command("train", activitynet, *small)
    assert result.returncode == 2
    assert "3 of 3 training videos and 0 of 1 test videos have features" in result.stderr
    database = activitynet / "activitynet/annotations/activity_net.v1-3.min.json"
    content = json.loads(database.read_text())
    content["database"]["cut"]["subset"] = "validation"
    database.write_text(json.dumps(content))
    result = command("train", activitynet, *small)
    assert result.returncode == 0, result.stderr
    assert "activitynet: 2 of 2 training videos and 1 of 2 test videos have features" in result.stdout
    metrics = json.loads((activitynet / "run" / "metrics.json").read_text())
    assert (metrics["videos"], metrics["missing"], metrics["available"]["videos"]) == (2, 1, 1)
    accuracy = metrics["available"]["recognition"]["fusion"]["accuracy"]
    assert metrics["recognition"]["fusion"]["accuracy"] == accuracy / 2
    assert not metrics["simulated"]
    assert any(stage.startswith("overlap-rgb-") for stage in metrics["stages"])


def test_nothing_there_says_where_to_get_it(tmp_path: Path) -> None:
    result = command("train", tmp_path)
    assert result.returncode == 2
    (line,) = result.stderr.strip().splitlines()
    for word in ("activity-net.org", "activitynet/annotations", "<id>.mp4", "features=simulated"):
        assert word in line


def test_trimmed_clips_are_checked_but_not_trained_on_alone(activitynet: Path) -> None:
    result = command("check", activitynet, dataset="ucf101")
    assert result.returncode == 0, result.stderr
    manifest = json.loads((activitynet / "run" / "manifest_ucf101.json").read_text())
    assert manifest["training"]["counts"]["videos missing"] == 2
    assert not (activitynet / "run" / "manifest_activitynet.json").exists()
    result = command("train", activitynet, dataset="ucf101")
    assert result.returncode == 2
    assert "dataset=thumos14 or activitynet" in result.stderr
