"""The command, run for real and small: results, reuse, features that are missing, mistakes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tsrnet import load

Command = Callable[..., Any]


def read(folder: Path) -> Any:
    return json.loads((folder / "metrics.json").read_text())


def kinds(stages: Path) -> Counter[str]:
    """How many stages there are of each kind and stream."""
    return Counter(path.name.rsplit("-", 1)[0] for path in stages.glob("[!.]*"))


def test_run_folder_holds_valid_results(prepared: Path) -> None:
    run = prepared / "run"
    metrics = read(run)
    assert (metrics["protocol"], metrics["videos"], metrics["missing"]) == ("demo", 6, 0)
    assert set(metrics["recognition"]) == {"rgb", "flow", "fusion"}
    assert len(metrics["detection"]["mAP"]) == 9
    assert metrics["detection"]["average_mAP"] == pytest.approx(
        np.mean(list(metrics["detection"]["mAP"].values()))
    )
    assert [stage.rsplit("-", 1)[0] for stage in metrics["stages"]] == [
        *("teacher-rgb", "tsrnet-rgb", "teacher-flow", "tsrnet-flow")
    ]
    detections = json.loads((run / "detections.json").read_text())
    assert set(detections["results"]) == {f"demo_test_{index:03d}" for index in range(6)}
    found = [row for rows in detections["results"].values() for row in rows]
    assert found
    for row in found:
        assert 0 <= row["segment"][0] < row["segment"][1]
        assert 0.2 < row["score"] <= 1
    assert len(list((run / "timelines").glob("*.png"))) == 1
    assert "alpha" in (run / "config.yaml").read_text()


def test_features_are_one_file_a_video_and_stream(prepared: Path) -> None:
    store = prepared / "data" / "features" / "demo_0_64" / "resnet10_stand_in"
    for stream in ("rgb", "flow"):
        files = sorted((store / stream).glob("*.npy"))
        assert len(files) == 12
        features = np.load(files[0], allow_pickle=False)
        assert features.dtype == np.float16
        assert features.shape[1] == 256
    assert json.loads((store / "features.json").read_text())["rate_hz"] == 6.0


def test_second_run_reuses_every_stage_and_gives_the_same(
    train: Command, prepared: Path, data: Path, tmp_path: Path
) -> None:
    before = {path: path.stat().st_mtime_ns for path in (data / "stages").rglob("weights.pt")}
    result = train(f"hydra.run.dir={tmp_path}/second")
    assert result.code == 0, result.err
    assert "training" not in result.err
    assert "testing" not in result.err
    assert {path: path.stat().st_mtime_ns for path in (data / "stages").rglob("weights.pt")} == before
    assert (tmp_path / "second" / "metrics.json").read_text() == (
        prepared / "run" / "metrics.json"
    ).read_text()


def test_localization_trains_nothing_and_loss_trains_the_student_only(
    train: Command, data: Path, tmp_path: Path
) -> None:
    before = kinds(data / "stages")
    result = train(f"hydra.run.dir={tmp_path}/theta", "localization.theta=0.1")
    assert result.code == 0, result.err
    assert kinds(data / "stages") == before
    result = train(f"hydra.run.dir={tmp_path}/alpha", "loss.alpha=3", "stream=flow")
    assert result.code == 0, result.err
    assert kinds(data / "stages") - before == {"tsrnet-flow": 1, "predictions-flow": 1}
    assert set(read(tmp_path / "alpha")["recognition"]) == {"flow"}


TRANSFERS = ("none", "fc1", "distill")
MODELS = ("two_stream", "stpn", "untrimmednet", "wtalc", "basnet", "tsrnet_plus")


@pytest.mark.parametrize(
    "choice", [*(f"model={name}" for name in MODELS), *(f"transfer={name}" for name in TRANSFERS)]
)
def test_baselines_train(train: Command, tmp_path: Path, choice: str) -> None:
    small = ("model.hidden_size=16", "model.filter_size=16") if choice == "model=basnet" else ()
    result = train(f"hydra.run.dir={tmp_path}", choice, *small, "stream=rgb", "trainer.max_steps=3")
    assert result.code == 0, result.err
    transfers = choice in ("transfer=fc1", "transfer=distill", "model=tsrnet_plus")
    assert len(read(tmp_path)["stages"]) == (2 if transfers else 1)


def test_end_to_end_trains_teacher_and_network_through_their_backbones(
    train: Command, data: Path, tmp_path: Path
) -> None:
    arguments = (
        *(f"hydra.run.dir={tmp_path}", "stream=rgb", "trainer.precision=bf16-mixed", "trainer.max_steps=3"),
        *("backbone.finetune=true", "backbone.num_snippets=2", "backbone.optimizer.batch_size=2"),
        *("backbone.max_steps=2", "backbone.teacher_steps=2"),
    )
    result = train(*arguments)
    assert result.code == 0, result.err
    frozen = torch.load(next((data / "stages").glob("backbone-rgb-*/weights.pt")), weights_only=True)
    tuned = [key for key in read(tmp_path)["stages"] if key.startswith("finetuned")]
    assert len(tuned) == 2
    for key in tuned:
        state = torch.load(data / "stages" / key / "weights.pt", weights_only=True)
        assert not torch.equal(state["backbone.network.0.weight"], frozen["network.0.weight"])
        statistics = "network.1.running_mean"
        assert torch.equal(state[f"backbone.{statistics}"], frozen[statistics])
    assert "training" not in train(*arguments).err
    folder = data / "features" / "demo_0_64" / "resnet10_stand_in"
    lengths = {path.stem: len(np.load(path)) for path in (folder / "rgb").glob("*.npy")}
    found = {path.name: len(list(path.iterdir())) for path in (folder / "rgb_images").iterdir()}
    assert found == lengths
    assert not list((tmp_path / "model").glob("backbone_*"))  # it is in the network's weights
    detected = load(tmp_path / "model").detect(data / "demo" / "0" / "untrimmed" / "demo_test_000.mp4")
    assert sum(detected.probabilities.values()) == pytest.approx(1, abs=1e-4)
    assert len(detected.result.score) == lengths["demo_test_000"]


def test_unreadable_video_is_named_and_the_others_are_kept(
    train: Command, linked: Callable[..., Path], prepared: Path, tmp_path: Path
) -> None:
    data = linked(prepared / "data", tmp_path / "data", "demo_test_002.npy", "demo_test_003.npy")
    arguments = (f"paths.data={data}", f"hydra.run.dir={tmp_path}/run")
    video = data / "demo" / "0" / "untrimmed" / "demo_test_002.mp4"
    beginning = video.read_bytes()[:2000]
    video.unlink()
    video.write_bytes(beginning)
    result = train(*arguments)
    assert result.code == 2
    assert result.err.strip().splitlines()[-1].startswith("error: no features of 1 video (")
    assert video.name in result.err
    store = data / "features" / "demo_0_64" / "resnet10_stand_in" / "rgb"
    assert not (store / "demo_test_002.npy").exists()
    assert (store / "demo_test_003.npy").is_file()
    video.unlink()  # what the message says to do
    result = train(*arguments)
    assert result.code == 0, result.err
    assert read(tmp_path / "run") == read(prepared / "run")


MISTAKES = {
    "loss.alpa=1": "loss.alpa: is not a key of the configuration; did you mean loss.alpha",
    "stream=depth": "stream=depth: is not a choice; need one of features, flow, joint, rgb, two_stream",
    "recipe=thumos": "recipe: got thumos, need one of activitynet, demo, labels, thumos14",
    "loss.alpha=-1": "loss.alpha: got -1, need a number >= 0",
    "loss.alpha=much": "loss.alpha: got 'much', need a number",
    "localization.theta=1.5": "localization.theta: got 1.5, need a number >= 0 and <= 1",
    "localization.threshold=0": "localization.threshold: got 0, need a number > 0 and < 1",
    "localization.threshold=1": "localization.threshold: got 1, need a number > 0 and < 1",
    "model=stpn transfer=fc1": "model=stpn: got transfer or overlap pretraining",
    "dataset=thumos14 dataset.protocol=thumos14-213": "list 213, and dataset.test_list=210; give",
    "dataset=activitynet dataset.protocol=activitynet-4728": "needs a list of 4,728 videos; give",
    "holdout=1": "holdout: got 1, need a number >= 0 and < 1",
    "seed=-3": "seed: got -3, need a whole number >= 0",
    "trainer.max_steps=0": "trainer.max_steps: got 0, need a whole number >= 1",
    "trainer.precision=64-true": "trainer.precision: got '64-true', need one of auto, 32-true, bf16-mixed",
    "logger.name=none": "logger.name: got none, need csv, wandb or tensorboard",
    "hydra.run.dir=/proc/nowhere/run": "/proc/nowhere: No such file or directory; give a folder",
}


@pytest.mark.parametrize("override", MISTAKES)
def test_mistake_is_one_line_before_anything_is_computed(
    command: Command, tmp_path: Path, override: str
) -> None:
    places = (f"paths.data={tmp_path}/data", f"hydra.run.dir={tmp_path}/run")
    result = command("train", "logger=csv", *places, *override.split())
    assert MISTAKES[override] in result.mistake
    assert not (tmp_path / "data").exists()


def test_a_multirun_of_several_processes_is_refused_at_once(command: Command, tmp_path: Path) -> None:
    sweep = (f"hydra.sweep.dir={tmp_path}", "seed=0,1", "-m")
    result = command("train", "logger=csv", "trainer=ddp", "trainer.devices=2", *sweep)
    assert result.code == 1
    assert result.err.count("got a multirun with several processes") == 2


def test_a_run_is_kept_for_wandb_where_nobody_is_logged_in(
    train: Command, prepared: Path, tmp_path: Path
) -> None:
    result = train(f"hydra.run.dir={tmp_path}", "logger=wandb", "logger.mode=offline")
    assert result.code == 0, result.err
    assert "W&B: offline; to upload: wandb sync" in result.out
    run = next((tmp_path / "wandb").glob("offline-run-*"))
    assert next(run.glob("*.wandb")).stat().st_size > 1000
    tables = [path.name for path in (run / "files" / "media" / "table" / "test").iterdir()]
    assert sorted(name.split("_")[0] for name in tables) == ["confusion", "detections"]
    assert len(list((run / "files" / "media" / "images").rglob("*.png"))) == 1
    assert read(tmp_path) == read(prepared / "run")


def test_the_configuration_needs_no_torch() -> None:
    code = (
        "import sys, runpy\n"
        "sys.argv = ['train', '--cfg', 'job']\n"
        "try: runpy.run_module('tsrnet.train', run_name='__main__')\n"
        "except SystemExit as end: assert not end.code\n"
        "assert 'torch' not in sys.modules and 'cv2' not in sys.modules\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "loss" in result.stdout


def test_tensorboard_has_the_losses_of_a_stage(train: Any, data: Path, tmp_path: Path) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    places = f"hydra.run.dir={tmp_path}/run", f"paths.stages={tmp_path}/stages"
    result = train("logger=tensorboard", "stream=rgb", "transfer=none", *places)
    assert result.code == 0, result.err
    (folder,) = (tmp_path / "stages").glob("tsrnet-rgb-*/logs")
    log = events.EventAccumulator(str(folder))
    log.Reload()
    assert {"loss/total", "loss/smoothness"} <= set(log.Tags()["scalars"])
