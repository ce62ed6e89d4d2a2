"""Every table of the paper, shrunk, by the command that makes it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tsrnet.core.cli import conf_folder
from tsrnet.reporting.reproduction import Experiment, Method, Reproduction, percent

FILES = sorted((conf_folder() / "experiment").glob("*.yaml"))


def command(root: Path, tiny: tuple[str, ...], *more: str) -> subprocess.CompletedProcess[str]:
    passed_on = [f"+train.{text}" for text in tiny if not text.startswith("logger")]
    arguments = [*passed_on, f"+train.paths.data={root}/data", f"output={root}/out", *more]
    return subprocess.run(
        [sys.executable, "-m", "tsrnet.reproduce", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reproduce")


def small_activitynet(root: Path) -> tuple[str, ...]:
    """Annotations of eight videos of two classes, one of which UCF101 has, and simulated features."""
    segments = {label: [{"label": label, "segment": [5.0, 20.0]}] for label in ("Archery", "Mooping floor")}
    database = {
        f"v{i}{subset[0]}": {
            "duration": 40.0,
            "subset": subset,
            "annotations": segments[("Archery", "Mooping floor")[i % 2]],
        }
        for i in range(4)
        for subset in ("training", "validation")
    }
    (root / "anet.json").write_text(json.dumps({"version": "VERSION 1.3", "database": database}))
    (root / "overlap.csv").write_text("untrimmed,trimmed\nArchery,Archery\n")
    keys = {
        "dataset.annotations": root / "anet.json",
        "dataset.overlap": root / "overlap.csv",
        "features.num_features": 16,
        "pretrain.max_steps": 3,
    }
    return ("features=simulated", *(f"+train.{key}={value}" for key, value in keys.items()))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_table_comes_out_of_one_command(file: Path, root: Path, tiny: tuple[str, ...]) -> None:
    content = yaml.safe_load(file.read_text())
    dataset = "demo" if "demo" in content["datasets"] else content["datasets"][0]
    drawn = {"dataset", "features", "trimmed"}
    if dataset == "activitynet":
        tiny = tuple(text for text in tiny if text.split(".")[0] not in drawn)
        more = small_activitynet(root)
    else:
        more = ()
    table = file.stem.removeprefix("table")
    arguments = (f"table={table}", f"dataset={dataset}", "seeds=1", *more)
    result = command(root, tiny, *arguments)
    assert result.returncode == 0, result.stderr
    folder = root / "out" / f"{file.stem}_{dataset}{'_simulated' if more else ''}"
    text = (folder / "table.md").read_text()
    assert (folder / "table.png").read_bytes().startswith(b"\x89PNG")
    assert ("SIMULATED" in text) == bool(more)
    rows = [line.split(" | ") for line in text.splitlines() if "| ours" in line]
    assert [row[0].removeprefix("| ") for row in rows] == list(content["methods"])
    for row, metrics in zip(rows, map(read, folders(folder, content)), strict=True):
        wanted = [f"{percent(metrics, place):.1f}" for place in content["columns"].values()]
        assert [cell.rstrip(" |") for cell in row[2:]] == wanted
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("metrics.json")}
    again = command(root, tiny, *arguments)
    assert again.returncode == 0
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("metrics.json")} == before


def folders(folder: Path, content: dict[str, Any]) -> list[Path]:
    slugs = [
        "".join(c if c.isalnum() else "_" for c in name.replace("+", " plus ")).strip("_").lower()
        for name in content["methods"]
    ]
    assert len(set(slugs)) == len(slugs)
    return [folder / slug / "0" for slug in slugs]


def read(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "metrics.json").read_text()))


def test_half_finished_seeds_are_said(root: Path, tiny: tuple[str, ...]) -> None:
    """Table 3 has run with one seed above; two are asked for, nothing is run."""
    result = command(root, tiny, "table=3", "dataset=demo", "seeds=2", "only_report=true")
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("(**1 of 2 seeds**)") == 2


def test_a_method_that_fails_is_named_and_the_others_go_on(root: Path, tiny: tuple[str, ...]) -> None:
    result = command(root, tiny, "table=figure3", "dataset=demo", "seeds=1", "+train.transfer.bandwidth=-1")
    assert result.returncode == 1
    assert "4 of 4 runs failed" in result.stderr
    assert result.stdout.count("(**0 of 1 seeds**)") == 4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ("table: got None", "figure3", "rivals")),
        (("table=9",), ("table: got 9", "1, 2, 3, 4")),
        (("table=2", "dataset=thumos14"), ("dataset: got thumos14", "activitynet, demo")),
        (("table=3", "seeds=0"), ("seeds: got 0",)),
    ],
)
def test_a_mistake_is_one_line(root: Path, arguments: tuple[str, ...], words: tuple[str, ...]) -> None:
    result = command(root, (), *arguments)
    assert result.returncode == 2
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert all(word in lines[0] for word in words), lines[0]


def test_figures_are_means_over_seeds_with_their_deviation() -> None:
    def run(value: float) -> dict[str, Any]:
        means = {"0.10": value, "0.50": value + 0.2, "0.70": value + 0.1, "0.80": 0.0}
        return {
            **{"simulated": False, "protocol": "demo", "videos": 6, "missing": 0},
            "detection": {"mAP": means},
        }

    assert percent(run(0.3), "detection/mAP/0.50") == pytest.approx(50)
    assert percent(run(0.3), "detection/mAP/0.10:0.70") == pytest.approx(40)
    experiment = Experiment(
        "T",
        ("thumos14", "demo"),
        {"a": "detection/mAP/0.10"},
        {"M": Method((), paper=(12.5,)), "N": Method(())},
    )
    runs = {"M": {0: run(0.1), 1: run(0.3)}, "N": {0: run(0.2), 1: None}}
    table = Reproduction(experiment, "demo", runs).markdown().splitlines()
    assert table[4:] == [
        "| M | paper, thumos14 | 12.5 |",
        "| M | ours, demo | 20.0 ± 14.1 |",
        "| N | ours, demo (**1 of 2 seeds**) | 20.0 |",
    ]
    with pytest.raises(ValueError, match="got 2 figures, need 1"):
        Experiment("T", ("demo",), {"a": "x"}, {"M": Method((), paper=(1.0, 2.0))})
