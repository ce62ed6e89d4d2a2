"""The evaluate command on small runs: other constants, two streams fused, sweeps, mistakes."""

from __future__ import annotations

import csv
import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

Command = Callable[..., Any]


@pytest.fixture(scope="module")
def root(data: Path, train: Command) -> Path:
    """Runs of one stream each, which share the stages of one data folder, and one of both."""
    for stream in ("rgb", "flow", "two_stream"):
        result = train(f"stream={stream}", f"hydra.run.dir={data.parent}/{stream}")
        assert result.code == 0, result.err
    return data.parent


@pytest.fixture
def evaluate(command: Command, root: Path) -> Command:
    return lambda *overrides: command("evaluate", *overrides, folder=root)


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_the_same_constants_give_the_same_figures_without_the_networks(evaluate: Command, root: Path) -> None:
    """The weights are hidden: what the networks said is kept."""
    result = evaluate("run=two_stream", "hydra.run.dir=again")
    assert result.code == 0, result.err
    assert "testing" not in result.err
    for name in ("metrics.json", "detections.json"):
        assert read(root / "again" / name) == read(root / "two_stream" / name)


def test_the_errors_are_analysed(evaluate: Command, root: Path) -> None:
    result = evaluate("run=two_stream", "diagnose=true", "hydra.run.dir=errors")
    assert result.code == 0, result.err
    folder = root / "errors"
    found, metrics = read(folder / "diagnosis.json"), read(folder / "metrics.json")
    assert metrics == read(root / "two_stream" / "metrics.json")
    assert found["mean_average_precision"] == pytest.approx(metrics["detection"]["mAP"]["0.50"])
    assert sum(found["kinds"].values()) == pytest.approx(1)
    with (folder / "diagnosis.csv").open() as file:
        rows = list(csv.DictReader(file))
    shares = {row["name"]: float(row["share"]) for row in rows if row["of"] == "detections"}
    assert shares == pytest.approx(found["kinds"])
    assert f"{100 * shares['background']:.1f}" in result.out
    assert (folder / "diagnosis.png").read_bytes().startswith(b"\x89PNG")
    assert "diagnose: got maybe, need true or false" in evaluate("run=rgb", "diagnose=maybe").mistake


def test_another_rule_keeps_the_forms_of_the_run(evaluate: Command, root: Path) -> None:
    """They belong to the dataset: its recipe chose them."""
    result = evaluate("run=rgb", "localization=refined", "hydra.run.dir=refined")
    assert result.code == 0, result.err
    ours, theirs = (yaml.safe_load((root / name / "config.yaml").read_text()) for name in ("refined", "rgb"))
    assert ours["localization"]["score"] != theirs["localization"]["score"]
    for form in ("attention", "activation"):
        assert ours["localization"][form] == theirs["localization"][form]


def test_two_runs_of_one_stream_fuse(evaluate: Command, root: Path) -> None:
    result = evaluate("run=[rgb,flow]", "hydra.run.dir=fused", "localization.theta=0.5")
    assert result.code == 0, result.err
    assert read(root / "fused" / "detections.json") == read(root / "two_stream" / "detections.json")
    assert list(read(root / "fused" / "metrics.json")["recognition"]) == ["rgb", "flow", "fusion"]
    result = evaluate("run=[rgb,rgb]")
    assert result.code == 2
    assert "two runs with the same stream" in result.err


def test_a_sweep_ends_with_a_table_a_picture_and_the_names_of_jobs_that_failed(
    evaluate: Command, root: Path
) -> None:
    result = evaluate("-m", "run=two_stream", "localization.theta=0,0.5,1,7", "hydra.sweep.dir=sweep")
    assert result.code == 1
    assert "localization.theta: got 7, need" in result.err
    assert "failed: sweep/3" in result.out
    assert (root / "sweep" / "sweep.png").read_bytes().startswith(b"\x89PNG")
    with (root / "sweep" / "sweep.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["localization.theta"] for row in rows] == ["0", "0.5", "1"]
    for number, row in enumerate(rows):
        metrics = read(root / "sweep" / str(number) / "metrics.json")
        assert float(row["average mAP"]) == metrics["detection"]["average_mAP"]
    for number, stream in ((0, "flow"), (2, "rgb")):
        fused = read(root / "sweep" / str(number) / "metrics.json")
        assert fused["recognition"][stream] == read(root / stream / "metrics.json")["recognition"][stream]


def test_weights_of_another_file(evaluate: Command, root: Path) -> None:
    stages = [name for name in read(root / "rgb" / "metrics.json")["stages"] if name.startswith("tsrnet-rgb")]
    weights = root / "data" / "stages" / stages[0] / "weights.pt"
    shutil.copy(weights, root / "mine.pt")
    result = evaluate("run=rgb", "checkpoint=mine.pt", "hydra.run.dir=mine")
    assert result.code == 0, result.err
    mine, trained = (read(root / name / "metrics.json") for name in ("mine", "rgb"))
    assert mine["detection"] == trained["detection"]
    assert mine["stages"][0].startswith("sha256 ")


def test_weights_of_another_stream_or_of_other_classes_are_refused(
    evaluate: Command, root: Path, tmp_path: Path
) -> None:
    """Of the same sizes, so that they would load."""
    stages = {name.split("-")[1]: name for name in read(root / "two_stream" / "metrics.json")["stages"]}
    folder = root / "data" / "stages"
    result = evaluate("run=rgb", f"checkpoint={folder / stages['flow']}/weights.pt")
    assert result.code == 2
    assert "is of stream=flow, the run has stream=rgb" in result.err
    shutil.copytree(folder / stages["rgb"], tmp_path / "stage")
    said = read(tmp_path / "stage" / "identity.json")
    said["classes"][2] = "Juggling"
    (tmp_path / "stage" / "identity.json").write_text(json.dumps(said))
    result = evaluate("run=rgb", f"checkpoint={tmp_path}/stage/weights.pt")
    assert result.code == 2
    assert "other classes than the run" in result.err
    assert "Juggling" in result.err


def test_a_run_folder_of_a_stranger_executes_nothing(evaluate: Command, root: Path, tmp_path: Path) -> None:
    """Neither by a tag of YAML nor by a `_target_`, nor by a pickle for weights."""
    mark = tmp_path / "executed"
    for name in ("tag", "target", "pickle"):
        shutil.copytree(root / "rgb", tmp_path / name)
    config = (root / "rgb" / "config.yaml").read_text()
    (tmp_path / "tag" / "config.yaml").write_text(f"a: !!python/object/apply:os.mkdir ['{mark}']\n{config}")
    hostile = f"model:\n  _target_: os.mkdir\n  path: {mark}\n"
    (tmp_path / "target" / "config.yaml").write_text(config.replace("model:\n", hostile))
    (tmp_path / "weights.pt").write_bytes(pickle.dumps(Evil(str(mark))))
    results = [
        evaluate(f"run={tmp_path}/tag"),
        evaluate(f"run={tmp_path}/target", f"hydra.run.dir={tmp_path}/out"),
        evaluate(f"run={tmp_path}/pickle", f"checkpoint={tmp_path}/weights.pt"),
    ]
    assert not mark.exists()
    assert [result.code for result in results] == [2, 0, 2]
    assert "tag/config.yaml: is not a YAML file" in results[0].err
    assert "is not a file with the weights of this network" in results[2].err


class Evil:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, (self.path,))


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ("", "run: got nothing"),
        ("run=nowhere", "run: got nowhere, which has no config.yaml"),
        ("run=rgb paths.stages=elsewhere", "is missing or not finished"),
        ("run=rgb localization.threshold=[0.1,0.2]", "localization.nms: got null"),
        ("run=rgb +loss.alpha=3", "loss.alpha: belongs to the run"),
        (
            "run=rgb checkpoint=rgb/metrics.json",
            "rgb/metrics.json: is not a file with the weights of this network",
        ),
        ("run=two_stream checkpoint=mine.pt", "checkpoint: has one stream"),
    ],
)
def test_a_mistake_is_one_line(evaluate: Command, overrides: str, said: str) -> None:
    assert said in evaluate(*overrides.split()).mistake
