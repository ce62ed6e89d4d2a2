"""The command, run for real and small: results, reuse, going on after a cut, mistakes."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from tsrnet import load


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def first(train, data: Path) -> Path:
    """A finished run on fresh data."""
    folder = data / "first"
    result = train(f"paths.data={data}", f"hydra.run.dir={folder}")
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip().splitlines()[-1] == f"run folder: {folder}"
    return folder


def test_run_folder_holds_valid_results(first: Path) -> None:
    metrics = json.loads((first / "metrics.json").read_text())
    assert (metrics["protocol"], metrics["videos"], metrics["missing"]) == ("demo", 6, 0)
    assert set(metrics["recognition"]) == {"rgb", "flow", "fusion"}
    assert len(metrics["detection"]["mAP"]) == 9
    assert metrics["detection"]["average_mAP"] == pytest.approx(
        np.mean(list(metrics["detection"]["mAP"].values()))
    )
    assert [stage.rsplit("-", 1)[0] for stage in metrics["stages"]] == [
        "teacher-rgb",
        "tsrnet-rgb",
        "teacher-flow",
        "tsrnet-flow",
    ]
    detections = json.loads((first / "detections.json").read_text())
    assert set(detections["results"]) == {f"demo_test_{index:03d}" for index in range(6)}
    for found in (row for rows in detections["results"].values() for row in rows):
        assert 0 <= found["segment"][0] < found["segment"][1]
        assert 0.2 < found["score"] <= 1
    assert len(list((first / "timelines").glob("*.png"))) == 1
    assert "alpha" in (first / "config.yaml").read_text()


def test_features_are_one_file_a_video_and_stream(first: Path, data: Path) -> None:
    store = data / "features" / "demo_0" / "resnet10_stand_in"
    for stream in ("rgb", "flow"):
        files = sorted((store / stream).glob("*.npy"))
        assert len(files) == 12
        features = np.load(files[0], allow_pickle=False)
        assert features.dtype == np.float16
        assert features.shape[1] == 512
    assert json.loads((store / "features.json").read_text())["rate_hz"] == 6.0


def test_second_run_reuses_every_stage_and_gives_the_same(train, first: Path, data: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (data / "stages").rglob("weights.pt")}
    result = train(f"paths.data={data}", f"hydra.run.dir={data}/second")
    assert result.returncode == 0, result.stderr
    assert "training" not in result.stderr
    assert {path: path.stat().st_mtime_ns for path in (data / "stages").rglob("weights.pt")} == before
    assert (data / "second" / "metrics.json").read_text() == (first / "metrics.json").read_text()


def test_localization_trains_nothing_and_loss_trains_the_student_only(train, first: Path, data: Path) -> None:
    folders = set((data / "stages").glob("[!.]*"))
    result = train(f"paths.data={data}", f"hydra.run.dir={data}/theta", "localization.theta=0.1")
    assert result.returncode == 0, result.stderr
    assert set((data / "stages").glob("[!.]*")) == folders
    result = train(f"paths.data={data}", f"hydra.run.dir={data}/alpha", "loss.alpha=3", "stream=flow")
    assert result.returncode == 0, result.stderr
    new = set((data / "stages").glob("[!.]*")) - folders
    assert {folder.name.rsplit("-", 1)[0] for folder in new} == {"tsrnet-flow", "activations-flow"}
    metrics = json.loads((data / "alpha" / "metrics.json").read_text())
    assert set(metrics["recognition"]) == {"flow"}


RIVALS = ["model=stpn", "model=untrimmednet", "model=wtalc", "model=basnet"]


@pytest.mark.parametrize("choice", ["model=two_stream", "transfer=none", "transfer=fc1", *RIVALS])
def test_baselines_train(train, first: Path, data: Path, choice: str) -> None:
    folder = data / choice.replace("=", "_")
    result = train(f"paths.data={data}", f"hydra.run.dir={folder}", choice, "stream=rgb")
    assert result.returncode == 0, result.stderr
    stages = json.loads((folder / "metrics.json").read_text())["stages"]
    assert len(stages) == (2 if choice == "transfer=fc1" else 1)


def test_end_to_end_trains_teacher_and_network_through_their_backbones(
    train, first: Path, data: Path
) -> None:
    command = (
        *(f"paths.data={data}", f"hydra.run.dir={data}/end_to_end", "backbone.finetune=true"),
        *("backbone.num_snippets=4", "backbone.optimizer.batch_size=4", "trainer.precision=bf16-mixed"),
        *("backbone.max_steps=3", "backbone.teacher_steps=3"),
    )
    result = train(*command)
    assert result.returncode == 0, result.stderr
    stages = json.loads((data / "end_to_end" / "metrics.json").read_text())["stages"]
    frozen = torch.load(next((data / "stages").glob("backbone-rgb-*/weights.pt")), weights_only=True)
    tuned = [key for key in stages if key.startswith("finetuned") and "-rgb-" in key]
    assert len(tuned) == 2
    for key in tuned:
        state = torch.load(data / "stages" / key / "weights.pt", weights_only=True)
        assert not torch.equal(state["backbone.network.conv1.weight"], frozen["network.conv1.weight"])
        statistics = "network.bn1.running_mean"
        assert torch.equal(state[f"backbone.{statistics}"], frozen[statistics])
    again = train(*command)
    assert "training" not in again.stderr
    folder = data / "features" / "demo_0" / "resnet10_stand_in"
    lengths = {path.stem: len(np.load(path)) for path in (folder / "rgb").glob("*.npy")}
    found = {path.name: len(list(path.iterdir())) for path in (folder / "rgb_images").iterdir()}
    assert found == lengths
    model = data / "end_to_end" / "model"
    assert not list(model.glob("backbone_*"))  # it is in the network's weights
    detected = load(model).detect(data / "demo" / "0" / "untrimmed" / "demo_test_000.mp4")
    assert sum(detected.probabilities.values()) == pytest.approx(1, abs=1e-4)
    assert len(detected.result.score) == lengths["demo_test_000"]


@pytest.fixture
def untrained(data: Path, first: Path, tmp_path: Path) -> Path:
    """A data folder with features, without teachers and networks."""
    shutil.copytree(data / "demo", tmp_path / "demo")
    shutil.copytree(data / "features", tmp_path / "features")
    shutil.copytree(data / "stages", tmp_path / "stages", ignore=shutil.ignore_patterns("t*", "a*"))
    return tmp_path


def until_checkpoint(command: list[str], data: Path, number: signal.Signals) -> int:
    """Run the command until it has a checkpoint of the network, then send it a signal."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list((data / "stages").glob("tsrnet-*/last.ckpt")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, number)
    code = process.wait()
    assert not list((data / "stages").glob("tsrnet-*/weights.pt")), "the signal came too late"
    return code


@pytest.mark.parametrize(
    ("number", "more"),
    [
        (signal.SIGKILL, ()),
        (signal.SIGTERM, ("trainer.accumulate=2", "trainer.gradient_clip=1")),
        (signal.SIGINT, ("trainer.precision=bf16-mixed",)),
    ],
)
def test_training_stopped_in_the_middle_goes_on_to_the_same_metrics(
    tiny: tuple[str, ...], untrained: Path, number: signal.Signals, more: tuple[str, ...]
) -> None:
    command = [
        *(sys.executable, "-m", "tsrnet.train", *tiny, *more),
        *(f"paths.data={untrained}", f"hydra.run.dir={untrained}/run", "stream=flow", "seed=3"),
        *("trainer.max_steps=200", "trainer.checkpoint_every=20"),
    ]
    code = until_checkpoint(command, untrained, number)
    assert code == (-9 if number == signal.SIGKILL else 128 + number)
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    cut = json.loads((untrained / "run" / "metrics.json").read_text())
    shutil.rmtree(next((untrained / "stages").glob("tsrnet-*")))
    shutil.rmtree(next((untrained / "stages").glob("activations-*")))
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    assert json.loads((untrained / "run" / "metrics.json").read_text()) == cut


def test_a_disk_that_is_full_leaves_the_last_checkpoint(tiny: tuple[str, ...], untrained: Path) -> None:
    command = [
        *(sys.executable, "-m", "tsrnet.train", *tiny, "stream=flow", "transfer=none"),
        *(f"paths.data={untrained}", f"hydra.run.dir={untrained}/run"),
        *("trainer.max_steps=200", "trainer.checkpoint_every=20"),
    ]
    until_checkpoint(command, untrained, signal.SIGKILL)
    checkpoint = next((untrained / "stages").glob("tsrnet-*/last.ckpt"))
    before = checkpoint.read_bytes()

    def small_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2,) * 2)

    full = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=small_disk)
    assert full.returncode == 2
    assert full.stderr.strip().splitlines()[-1].startswith(f"error: {checkpoint.parent}: cannot be written")
    assert checkpoint.read_bytes() == before
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_unreadable_video_is_named_and_the_others_are_kept(
    train, first: Path, data: Path, tmp_path: Path
) -> None:
    shutil.copytree(data / "demo", tmp_path / "demo")
    shutil.copytree(data / "stages", tmp_path / "stages")
    broken = tmp_path / "demo" / "0" / "untrimmed" / "demo_test_002.mp4"
    broken.write_bytes(broken.read_bytes()[:2000])
    result = train(f"paths.data={tmp_path}", f"hydra.run.dir={tmp_path}/run")
    assert result.returncode == 2
    assert result.stderr.strip().splitlines()[-1].startswith("error: 1 videos have no features")
    assert str(broken) in result.stderr
    store = tmp_path / "features" / "demo_0" / "resnet10_stand_in" / "rgb"
    assert len(list(store.glob("*.npy"))) == 11
    broken.unlink()  # what the message says to do
    result = train(f"paths.data={tmp_path}", f"hydra.run.dir={tmp_path}/run")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "run" / "metrics.json").read_text() == (first / "metrics.json").read_text()


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("loss.alpa=1", ("loss.alpa", "loss.alpha")),
        ("stream=depth", ("stream/depth", "rgb", "two_stream")),
        ("loss.alpha=-1", ("loss.alpha", "-1", ">= 0")),
        ("loss.alpha=much", ("loss.alpha", "much", "number")),
        ("localization.theta=1.5", ("localization.theta", "1.5", "[0, 1]")),
        ("localization.threshold=0", ("localization.threshold", "0", "(0, 1)")),
        ("localization.threshold=1", ("localization.threshold", "1", "(0, 1)")),
        ("model=stpn transfer=fc1", ("model=stpn", "transfer=none")),
        ("holdout=1", ("holdout", "1", "(0, 1)")),
        ("seed=-3", ("seed", "-3", ">= 0")),
        ("trainer.max_steps=0", ("trainer.max_steps", "0", "at least 1")),
        ("trainer.precision=64-true", ("trainer.precision", "64-true", "bf16-mixed")),
        ("hydra.run.dir=/proc/nowhere/run", ("/proc/nowhere", "write")),
    ],
)
def test_mistake_is_one_line_before_anything_is_computed(
    train, tmp_path: Path, override: str, words: tuple[str, ...]
) -> None:
    arguments = [*override.split(), f"paths.data={tmp_path}/data"]
    if not override.startswith("hydra"):
        arguments.append(f"hydra.run.dir={tmp_path}/run")
    result = train(*arguments, timeout=60)
    assert result.returncode == 2
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert all(word in lines[0] for word in words), lines[0]
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("arguments", [("--help",), ("--cfg", "job")])
def test_help_and_configuration_need_no_torch(arguments: tuple[str, ...]) -> None:
    code = (
        "import sys, runpy\n"
        f"sys.argv = ['train', *{arguments!r}]\n"
        "try: runpy.run_module('tsrnet.train', run_name='__main__')\n"
        "except SystemExit as end: assert not end.code\n"
        "assert 'torch' not in sys.modules and 'cv2' not in sys.modules\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "loss" in result.stdout


def test_a_run_is_kept_for_wandb_where_nobody_is_logged_in(train, data: Path, first: Path) -> None:
    folder = data / "dashboard"
    result = train(f"paths.data={data}", f"hydra.run.dir={folder}", "logger=wandb", "logger.mode=offline")
    assert result.returncode == 0, result.stderr
    assert "W&B: offline; wandb sync" in result.stdout
    run = next((folder / "wandb").glob("offline-run-*"))
    assert next(run.glob("*.wandb")).stat().st_size > 1000
    tables = [path.name for path in (run / "files" / "media" / "table" / "test").iterdir()]
    assert sorted(name.split("_")[0] for name in tables) == ["confusion", "detections"]
    assert len(list((run / "files" / "media" / "images").rglob("*.png"))) == 1
    assert json.loads((folder / "metrics.json").read_text()) == json.loads(
        (first / "metrics.json").read_text()
    )
