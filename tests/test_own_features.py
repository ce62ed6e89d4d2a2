"""Features and labels of one's own, no trimmed videos: ActivityNet's layout, someone's .npy files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Command = Callable[..., Any]
RATE_HZ = 1.5625
"""25 frames a second, one feature every 16."""
CLASSES = ("pour", "stir")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight videos of two classes with features of 16 numbers, whose features.json says rate and maker."""
    root = tmp_path_factory.mktemp("own")
    rng = np.random.default_rng(0)
    database: dict[str, Any] = {}
    folder = root / "data" / "features" / "activitynet" / "i3d"
    (folder / "rgb").mkdir(parents=True)
    (folder / "features.json").write_text(json.dumps({"rate_hz": RATE_HZ, "backbone": "i3d"}))
    for number in range(8):
        label, subset = number % 2, ("training", "validation")[number // 4]
        database[f"v{number}"] = {
            "duration": 64.0,
            "subset": subset,
            "annotations": [{"label": CLASSES[label], "segment": [16.0, 40.0]}],
        }
        features = rng.normal(size=(100, 16)).astype(np.float32)
        features[25:62, label] += 8
        np.save(folder / "rgb" / f"v{number}.npy", features)
    (root / "labels.json").write_text(json.dumps({"version": "VERSION 1.3", "database": database}))
    return root


TRAIN = (
    *("dataset=activitynet", "dataset.annotations=labels.json", "features.name=i3d", "stream=rgb"),
    *("trainer.max_steps=40", "logger=csv", "report.timelines=1"),
)


@pytest.fixture(scope="module")
def trained(command: Command, root: Path) -> Path:
    result = command("train", *TRAIN, "transfer=none", "hydra.run.dir=run", folder=root)
    assert result.code == 0, result.err
    return root / "run"


def test_it_trains_without_trimmed_videos_at_the_rate_that_features_json_says(trained: Path) -> None:
    results = json.loads((trained / "detections.json").read_text())["results"]
    assert sorted(results) == ["v4", "v5", "v6", "v7"]
    ends = [end for found in results.values() for one in found for end in one["segment"]]
    assert ends
    np.testing.assert_allclose(np.array(ends) * RATE_HZ % 1, 0, atol=1e-9)
    metrics = json.loads((trained / "metrics.json").read_text())
    assert metrics["recognition"]["rgb"]["accuracy"] == 1.0
    assert not (trained.parent / "data" / "features" / "ucf101").exists()


def test_check_asks_for_no_trimmed_videos(command: Command, root: Path) -> None:
    result = command("check", *TRAIN[:4], folder=root)
    assert result.code == 0, result.err
    assert "data/ucf101/annotations: not there" in result.out
    assert [path.name for path in (root / "runs").rglob("manifest_*")] == ["manifest_activitynet.json"]


def test_transfer_needs_trimmed_videos_and_says_how_to_go_without(command: Command, root: Path) -> None:
    result = command("train", *TRAIN, folder=root)
    assert result.code == 2
    assert "there are no annotations of ucf101" in result.err
    assert "transfer=none" in result.err


def test_another_stream_than_the_imported_one_is_one_line(command: Command, root: Path) -> None:
    result = command("train", *TRAIN, "features=imported", "stream=two_stream", "transfer=none", folder=root)
    assert "activitynet/i3d: got features of rgb, need flow; give stream=rgb, or import" in result.mistake


def test_its_model_says_that_videos_are_nothing_for_it(command: Command, root: Path, trained: Path) -> None:
    (root / "clip.mp4").write_bytes(b"")
    result = command("detect", "video=clip.mp4", "run=run", folder=root)
    assert "was trained on features that others extracted" in result.mistake
