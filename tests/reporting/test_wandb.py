"""Offline W&B runs, read back from what was written."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import wandb
from google.protobuf.message import DecodeError
from PIL import Image
from pytorch_lightning.callbacks import LearningRateMonitor
from torch.utils.data import DataLoader
from wandb.proto import wandb_internal_pb2

from tsrnet.core.errors import UserError
from tsrnet.core.settings import settings_of
from tsrnet.reporting.wandb import WandbRun, WandbSettings, _mode, open_wandb

SETTINGS = WandbSettings(group="sweep_1", tags=("mine",), mode="offline")
Metrics = dict[str, Any]


def chunks(data: bytes) -> Iterator[bytes]:
    """Records of a file in LevelDB's log format, after W&B's header of 7 bytes."""
    position, whole = 7, b""
    while position + 7 <= len(data):
        if 32768 - position % 32768 < 7:  # the rest of a block is padding
            position += 32768 - position % 32768
            continue
        length, kind = struct.unpack_from("<HB", data, position + 4)
        whole += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # full, or the last part
            yield whole
            whole = b""


def records(folder: Path) -> list[Any]:
    """All records of the run that was written last: W&B's own process may still write when a run ends."""
    path = sorted((folder / "wandb").glob("offline-run-*/*.wandb"))[-1]
    for _ in range(600):
        found = []
        with suppress(DecodeError):
            for data in chunks(path.read_bytes()):
                found.append(wandb_internal_pb2.Record.FromString(data))
        if any(record.WhichOneof("record_type") == "exit" for record in found):
            return found
        time.sleep(0.05)
    raise AssertionError(f"{path}: has no end")


def run_of(folder: Path) -> Any:
    return next(record.run for record in records(folder) if record.WhichOneof("record_type") == "run")


def content(items: Any) -> Metrics:
    """Key -> value; "key/part" for the parts of tables and pictures."""
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


def history(folder: Path) -> list[Metrics]:
    return [content(r.history.item) for r in records(folder) if r.WhichOneof("record_type") == "history"]


def open_run(
    folder: Path, memory: Path, config: Metrics, settings: WandbSettings = SETTINGS
) -> AbstractContextManager[WandbRun]:
    folder.mkdir(exist_ok=True)
    tags = ["demo", "SIMULATED"]
    return open_wandb(settings, config, folder=folder, name="loss.alpha=3", tags=tags, memory=memory)


def exit_code(folder: Path) -> int:
    return int(next(r.exit.exit_code for r in records(folder) if r.WhichOneof("record_type") == "exit"))


def summary(folder: Path) -> Metrics:
    found = [r.summary for r in records(folder) if r.WhichOneof("record_type") == "summary"]
    return {key: value for one in found for key, value in content(one.update).items()}


class Line(pl.LightningModule):
    """Logs as TSRNetModule does."""

    def __init__(self) -> None:
        super().__init__()
        self.line = torch.nn.Linear(2, 1)

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        loss: torch.Tensor = self.line(batch).square().mean()
        self.log_dict({"loss/class": loss, "loss/total": 2 * loss})
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.125)


def fit(run: WandbRun, stage: str, folder: Path) -> None:
    """Four steps, each logged."""
    trainer = pl.Trainer(
        accelerator="cpu",
        max_steps=4,
        logger=run.logger(stage),
        log_every_n_steps=1,
        callbacks=[LearningRateMonitor("step")],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    trainer.fit(Line(), DataLoader(torch.ones(8, 2), batch_size=2))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two stages and the test."""
    folder = tmp_path_factory.mktemp("run")
    pictures = []
    for number, height in enumerate((20, 30)):
        pictures.append(folder / f"video{number}.png")
        Image.fromarray(np.full((height, 40, 3), 200, np.uint8)).save(pictures[-1])
    detections = {
        "v0": [{"label": "run", "segment": [1.0, 2.5], "score": 0.25}],
        "v1": [{"label": "jump", "segment": [0.0, 1.0], "score": 0.75}],
        "v2": [],
    }
    config = {"seed": 3, "loss": {"alpha": 30.0}}
    settings = WandbSettings(group="sweep_1", tags=("mine",), mode="offline", checkpoints=True)
    torch.save({"a": torch.zeros(2)}, folder / "weights.pt")
    with open_run(folder, folder / "memory", config, settings) as run:
        for stage in ("teacher-rgb", "tsrnet-rgb"):
            fit(run, stage, folder)
        run.log_results(
            {"rgb/accuracy": 0.5, "mAP/0.50": 0.25},
            {"simulated": True, "protocol": "demo"},
            detections,
            pictures,
            (["jump", "run"], ["run", "jump", "run"], ["run", "run", "run"]),
        )
        run.log_weights({"tsrnet-rgb-0123": folder / "weights.pt"})
    return folder


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_one_run_holds_the_losses_of_every_stage_by_its_own_step(whole: Path) -> None:
    rows = history(whole)
    assert len(list((whole / "wandb").glob("offline-run-*"))) == 1
    for stage in ("teacher-rgb", "tsrnet-rgb"):
        of_stage = [row for row in rows if f"{stage}/step" in row]
        losses = [row for row in of_stage if f"{stage}/loss/total" in row]
        assert [row[f"{stage}/step"] for row in losses] == [0, 1, 2, 3]
        for row in losses:
            assert row[f"{stage}/loss/total"] == pytest.approx(2 * row[f"{stage}/loss/class"])
        assert {row[f"{stage}/lr-SGD"] for row in of_stage if f"{stage}/lr-SGD" in row} == {0.125}
    metrics = [record.metric for record in records(whole) if record.WhichOneof("record_type") == "metric"]
    assert {(metric.glob_name, metric.step_metric) for metric in metrics if metric.glob_name} == {
        ("teacher-rgb/*", "teacher-rgb/step"),
        ("tsrnet-rgb/*", "tsrnet-rgb/step"),
    }


def test_the_run_has_the_configuration_its_group_name_and_tags(whole: Path) -> None:
    run = run_of(whole)
    config = {item.key: json.loads(item.value_json) for item in run.config.update if item.key}
    assert config["seed"] == 3
    assert config["loss"] == {"alpha": 30.0}
    assert (run.run_group, run.display_name, list(run.tags), run.project) == (
        "sweep_1",
        "loss.alpha=3",
        ["demo", "SIMULATED", "mine"],
        "tsrnet",
    )
    assert exit_code(whole) == 0


def test_the_run_has_metrics_detections_pictures_and_confusion(whole: Path) -> None:
    row = history(whole)[-1]
    assert (row["test/rgb/accuracy"], row["test/mAP/0.50"]) == (0.5, 0.25)
    assert summary(whole).items() >= {"simulated": True, "protocol": "demo", "test/rgb/accuracy": 0.5}.items()
    (files,) = (whole / "wandb").glob("offline-run-*/files")
    table = json.loads((files / row["test/detections/path"]).read_text())
    assert table["columns"] == ["video", "label", "start_s", "end_s", "score"]
    assert table["data"] == [["v1", "jump", 0.0, 1.0, 0.75], ["v0", "run", 1.0, 2.5, 0.25]]
    assert row["test/timelines/captions"] == ["video0", "video1"]
    for name in row["test/timelines/filenames"]:
        with Image.open(files / name) as picture:
            assert picture.size == (40, 30), "of one height: W&B shows all in the first's"
    (confusion,) = (name for name in row if name.startswith("test/confusion") and name.endswith("/path"))
    counted = json.loads((files / row[confusion]).read_text())["data"]
    assert {(true, found): count for true, found, count in counted if count} == {
        ("run", "run"): 2,
        ("jump", "run"): 1,
    }


def test_weights_are_an_artefact_where_asked_for(whole: Path, tmp_path: Path) -> None:
    def artefacts(folder: Path) -> list[Any]:
        return [r.artifact for r in records(folder) if r.WhichOneof("record_type") == "artifact"]

    (found,) = (one for one in artefacts(whole) if one.type == "model")
    assert [entry.path for entry in found.manifest.contents] == ["tsrnet-rgb-0123.pt"]
    torch.save({"a": torch.zeros(2)}, tmp_path / "weights.pt")
    with open_run(tmp_path, tmp_path / "memory", {"a": 1}) as run:
        run.log_weights({"tsrnet-rgb-0123": tmp_path / "weights.pt"})
    assert artefacts(tmp_path) == []


def test_a_run_that_was_cut_off_is_continued_and_no_two_runs_merge(tmp_path: Path) -> None:
    memory, ids = tmp_path / "memory", []
    for number, (config, fails) in enumerate(
        (({"a": 1}, True), ({"a": 1}, False), ({"a": 1}, False), ({"a": 2}, False))
    ):
        folder = tmp_path / str(number)
        with suppress(KeyError), open_run(folder, memory, config) as run:
            run.logger("tsrnet-rgb").log_metrics({"loss/total": 0.25}, 20)
            if fails:
                raise KeyError("cut off")
        ids.append(run_of(folder).run_id)
        assert exit_code(folder) == fails
        assert history(folder)[0]["tsrnet-rgb/loss/total"] == 0.25
        assert history(folder)[0]["tsrnet-rgb/step"] == 20
    assert ids[0] == ids[1]
    assert len({ids[1], ids[2], ids[3]}) == 3
    assert list(memory.iterdir()) == []


def test_a_server_that_cannot_be_reached_does_not_end_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody answers where the user is logged in; W&B gives up after a second, not after 30."""
    original = wandb.Settings
    monkeypatch.setattr(wandb, "Settings", lambda **options: original(**{**options, "init_timeout": 1}))
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{taken.getsockname()[1]}")
        with open_run(tmp_path, tmp_path / "memory", {"a": 1}, WandbSettings()) as run:
            run.logger("tsrnet-rgb").log_metrics({"loss/total": 0.25}, 20)
    assert history(tmp_path)[0]["tsrnet-rgb/loss/total"] == 0.25
    shown = capsys.readouterr()
    assert "W&B: offline, because it cannot be reached" in shown.err
    assert "W&B: offline; to upload: wandb sync" in shown.out


def test_the_mode_follows_from_whether_the_user_is_logged_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert _mode("auto") == "offline"
    (tmp_path / ".netrc").write_text("machine api.wandb.ai\n login user\n password key\n")
    (tmp_path / ".netrc").chmod(0o600)
    assert _mode("auto") == "online"
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    assert _mode("auto") == "offline", "logged in elsewhere"
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert _mode("auto") == "online"
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert _mode("auto") == "offline"
    assert _mode("online") == "online"


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(UserError, match=r"logger\.mode: got 'sometimes', need one of auto, online, offline"):
        settings_of(WandbSettings, {"mode": "sometimes"}, where="logger")


def test_clips_and_features_are_logged(tmp_path: Path, moving_square: Path) -> None:
    (tmp_path / "features.json").write_text("{}")
    with open_run(tmp_path / "run", tmp_path / "memory", {"a": 1}) as run:
        run.log_clips({moving_square: "run, 0.90"})
        run.log_features("demo 0/rgb", [tmp_path / "features.json"])
    row = next(row for row in history(tmp_path / "run") if "test/clips/captions" in row)
    assert row["test/clips/captions"] == ["run, 0.90"]
    (found,) = [
        r.artifact
        for r in records(tmp_path / "run")
        if r.WhichOneof("record_type") == "artifact" and r.artifact.type == "features"
    ]
    assert found.name == "features-demo-0-rgb"
    assert [entry.path for entry in found.manifest.contents] == ["features.json"]


def test_the_agent_of_a_sweep_gives_the_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep1")
    monkeypatch.setenv("WANDB_RUN_ID", "given123")
    wandb.teardown()  # it reads the environment once in a process
    with open_run(tmp_path / "run", tmp_path / "memory", {"a": 1}):
        pass
    wandb.teardown()
    assert run_of(tmp_path / "run").run_id == "given123"
