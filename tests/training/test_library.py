"""The library in a script of ten lines, as the README shows it, with half of the features missing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl

from tsrnet import THUMOS14DataModule, TSRNetModule, UCF101DataModule
from tsrnet.datasets.thumos14 import CLASSES

# The lines are those of the README, whatever their length.
# ruff: noqa: E501
SCRIPT = """\
import pytorch_lightning as pl
from tsrnet import THUMOS14DataModule, TSRNetModule, UCF101DataModule

trimmed = UCF101DataModule(annotations="ucf101/lists", features="features/ucf101/i3d", stream="rgb", classes="thumos14")
data = THUMOS14DataModule(annotations="thumos14", features="features/thumos14/i3d", stream="rgb", trimmed=trimmed)
teacher = TSRNetModule(data=trimmed, losses=None); pl.Trainer(max_steps=300).fit(teacher, datamodule=trimmed)
model = TSRNetModule(data=data, teacher=teacher, alpha=30.0); trainer = pl.Trainer(max_steps=500)
trainer.fit(model, datamodule=data); trainer.test(model, datamodule=data)
model = TSRNetModule.load_from_checkpoint(trainer.checkpoint_callback.best_model_path)
"""
ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """THUMOS14's and UCF101's files: a video and two clips of each class, features of half of them."""
    rng = np.random.default_rng(0)
    directions = rng.standard_normal((len(CLASSES), 16))

    def features(folder: str, name: str, label: int, inside: slice) -> None:
        path = tmp_path / "features" / folder / "i3d" / "rgb"
        path.mkdir(parents=True, exist_ok=True)
        rows = 0.3 * rng.standard_normal((24, 16))
        rows[inside] += directions[label]
        np.save(path / f"{name}.npy", rows.astype(np.float32))

    thumos = tmp_path / "thumos14"
    thumos.mkdir()
    for subset, ending, table in (("validation", "val", "valid"), ("test", "test", "test")):
        lines = ["filename,video-duration,fps"]
        for number, name in enumerate((*CLASSES, "Ambiguous")):
            video = f"video_{subset}_{number + 1:07d}"
            text = "" if name == "Ambiguous" else f"{video} 1.0 2.0\n"
            (thumos / f"{name}_{ending}.txt").write_text(text)
            if text:
                lines.append(f"{video}.mp4,4.0,30.0")
                if number % 2 == 0:
                    features("thumos14", video, number, slice(6, 12))
        (thumos / f"thumos14_{table}_metadata.csv").write_text("\n".join(lines))
    lists = tmp_path / "ucf101" / "lists"
    lists.mkdir(parents=True)
    (lists / "classInd.txt").write_text("".join(f"{i} {name}\n" for i, name in enumerate(CLASSES, 1)))
    for split, group in (("trainlist", 1), ("testlist", 2)):
        clips = [f"v_{name}_g0{group}_c0{clip}" for name in CLASSES for clip in (1, 2)]
        lines = [f"{clip.split('_')[1]}/{clip}.avi" for clip in clips]
        (lists / f"{split}01.txt").write_text("\n".join(lines))
        for number, clip in enumerate(clips):
            if number % 2 == 0:
                features("ucf101", clip, number // 2, slice(0, 24))
    return tmp_path


def run(folder: Path, script: str) -> dict[str, float]:
    """The metrics of the test and how the loaded model sees a video, as the script's processes print them."""
    shown = (
        script
        + "import json, torch\nwith torch.inference_mode():\n"
        + "    found = model.eval().cpu()(torch.ones(1, 5, model.hparams.num_features), torch.ones(1, 5).bool())\n"
        + "kept = {k: float(v) for k, v in trainer.callback_metrics.items() if k.startswith('test/')}\n"
        + "kept['probability'] = float(found.probabilities[0, 0])\n"
        + "kept['missing'] = len(data.missing)\n"
        + "print('RESULT', trainer.global_rank, json.dumps(kept), flush=True)\n"
    )
    (folder / "script.py").write_text(shown)
    result = subprocess.run(
        [sys.executable, "script.py"], cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stderr.count("10 of 20 training videos and 10 of 20 test videos have features") >= 1
    lines = [line.split(maxsplit=2) for line in result.stdout.splitlines() if line.startswith("RESULT")]
    metrics = [json.loads(text) for _, _, text in lines]
    for other in metrics[1:]:
        assert other == metrics[0], "all processes know the same metrics"
    return {**metrics[0], "processes": len(lines)}


def test_the_script_fits_tests_saves_and_loads(files: Path) -> None:
    metrics = run(files, SCRIPT)
    assert metrics["missing"] == 20
    assert metrics["test/accuracy"] == 0.5, "the videos without features count as missed"
    assert 0.2 < metrics["test/mAP/0.10"] <= 0.5
    assert metrics["test/attention/ratio"] > 1


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("flags", [{"fast_dev_run": True}, {"overfit_batches": 1, "max_steps": 2}])
def test_the_flags_for_a_first_try_work(files: Path, flags: dict[str, Any]) -> None:
    trimmed = UCF101DataModule(files / "ucf101/lists", files / "features/ucf101/i3d", classes="thumos14")
    data = THUMOS14DataModule(files / "thumos14", files / "features/thumos14/i3d", trimmed=trimmed)
    model = TSRNetModule(data=data, teacher=TSRNetModule(data=trimmed, losses=None))
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = pl.Trainer(accelerator="cpu", enable_model_summary=False, **quiet, **flags)
    trainer.fit(model, datamodule=data)
    assert trainer.global_step == flags.get("max_steps", 1)
    assert float(trainer.callback_metrics["loss/fc1"]) > 0
    assert not data.training_set._kept, "the features are freed with the training"
    assert not trimmed.training_set._kept


@pytest.mark.process
def test_two_processes_test_all_videos_and_know_the_same_metrics(files: Path) -> None:
    script = SCRIPT.replace("pl.Trainer(", "pl.Trainer(accelerator='cpu', devices=DEVICES, ")
    script = script.replace("data=data, teacher=teacher,", "data=data, teacher=teacher, model=MODEL,")
    script = "MODEL = {'name': 'tsrnet', 'dropout': 0.0}\n" + script.replace(
        "TSRNetModule(data=trimmed,", "TSRNetModule(data=trimmed, model=MODEL,"
    )
    one = run(files, "import pytorch_lightning as pl\npl.seed_everything(0)\nDEVICES = 1\n" + script)
    two = run(files, "import pytorch_lightning as pl\npl.seed_everything(0)\nDEVICES = 2\n" + script)
    assert (one.pop("processes"), two.pop("processes")) == (1, 2)
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert two[name] == pytest.approx(value, abs=0.02), name


def test_the_readme_shows_the_script() -> None:
    shown = README.read_text()
    assert all(line in shown for line in SCRIPT.splitlines() if line)


def test_the_script_on_the_demo_runs(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, script, *_ = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs/howto/library.md").read_text(), flags=re.DOTALL
    )
    (tmp_path / "data").symlink_to(prepared / "data")
    monkeypatch.chdir(tmp_path)
    scope: dict[str, Any] = {}
    exec(script.replace("demo_0_112", "demo_0_64").replace("max_steps=100", "max_steps=2"), scope)
    assert len(scope["data"].dataset.test) == 6
    assert not scope["data"].missing
    assert 0 <= scope["trainer"].callback_metrics["test/average_mAP"] <= 1
    assert set(scope["data"].class_map) == set(scope["trimmed"].classes)
