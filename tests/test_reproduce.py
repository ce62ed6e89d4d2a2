"""A table of the paper by the command that makes it, shrunk; all rows of all tables compose."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
import pytest
import yaml

from tsrnet.core.cli import conf_folder
from tsrnet.pipeline.config import RunConfig
from tsrnet.reporting.reproduction import Experiment, Method, Reproduction, percent
from tsrnet.reproduce import _slug
from tsrnet.training.callbacks import training_seconds

Command = Callable[..., Any]
FILES = sorted((conf_folder() / "reproduce" / "tables").glob("*.yaml"))
FOLDERS = ("tsrnet_without_l_fc2", "tsrnet")
"""Of the two methods of table 3."""


@pytest.fixture(scope="module")
def reproduce(command: Command, data: Path, tiny: tuple[str, ...]) -> Command:
    """The command on the prepared demo, with `output` beside it."""
    passed_on = [f"+train.{text}" for text in (*tiny, f"paths.data={data}") if text != "logger=csv"]
    return lambda *arguments: command("reproduce", *passed_on, f"output={data.parent}/out", *arguments)


@pytest.fixture(scope="module")
def table3(reproduce: Command, data: Path) -> Path:
    result = reproduce("table=3", "dataset=demo", "seeds=1")
    assert result.code == 0, result.err
    return data.parent / "out" / "table3_demo"


def test_a_table_comes_out_of_one_command(table3: Path) -> None:
    content = yaml.safe_load((conf_folder() / "reproduce" / "tables" / "table3.yaml").read_text())
    text = (table3 / "table.md").read_text()
    assert (table3 / "table.png").read_bytes().startswith(b"\x89PNG")
    assert "SIMULATED" not in text
    rows = [line.split(" | ") for line in text.splitlines() if "| ours" in line]
    assert [row[0].removeprefix("| ") for row in rows] == list(content["methods"])
    for row, folder in zip(rows, FOLDERS, strict=True):
        metrics = json.loads((table3 / folder / "0" / "metrics.json").read_text())
        wanted = [f"{percent(metrics, place):.1f}" for place in content["columns"].values()]
        assert [cell.rstrip(" |") for cell in row[2:-1]] == wanted
        assert int(row[-1].rstrip(" |")) >= 0  # seconds


def test_what_has_run_is_not_run_again(reproduce: Command, table3: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in table3.rglob("metrics.json")}
    assert len(before) == 2
    assert reproduce("table=3", "dataset=demo", "seeds=1").code == 0
    assert {path: path.stat().st_mtime_ns for path in table3.rglob("metrics.json")} == before


def test_missing_seeds_are_listed(reproduce: Command, table3: Path) -> None:
    """Two are asked for, one has run, and nothing is run."""
    result = reproduce("table=3", "dataset=demo", "seeds=2", "only_report=true")
    assert result.code == 0, result.err
    assert result.out.count("(**1 of 2 seeds**)") == 2


def rows() -> list[tuple[str, str, str, bool]]:
    """Table, method, dataset, whether its features are simulated."""
    found = []
    for file in FILES:
        content = yaml.safe_load(file.read_text())
        for dataset in content["datasets"]:
            for method in content["methods"]:
                found += [(file.stem, method, dataset, simulated) for simulated in (False, True)]
    return [row for row in found if row[2:] != ("demo", True)]


@pytest.mark.parametrize(("table", "method", "dataset", "simulated"), rows())
def test_every_row_composes(table: str, method: str, dataset: str, simulated: bool) -> None:
    row = yaml.safe_load((conf_folder() / "reproduce" / "tables" / f"{table}.yaml").read_text())
    row = row["methods"][method]
    more = ["features=simulated", "features.num_features=128"] if simulated else []
    more += row.get("besides", {}).get("simulated" if simulated else dataset, ())
    with hydra.initialize_config_dir(str(conf_folder()), version_base="1.3"):
        config = hydra.compose("train", [f"dataset={dataset}", *row["overrides"], *more])
    assert RunConfig.from_config(config).simulated == simulated


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_methods_have_folders_of_their_own(file: Path) -> None:
    methods = yaml.safe_load(file.read_text())["methods"]
    assert len({_slug(name) for name in methods}) == len(methods)


def test_a_method_that_fails_is_named_and_the_others_go_on(reproduce: Command) -> None:
    result = reproduce("table=figure3", "dataset=demo", "seeds=1", "+train.transfer.bandwidth=-1")
    assert result.code == 1
    assert "4 of 4 runs failed" in result.err
    assert result.out.count("(**0 of 1 seeds**)") == 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("", "table: got None, need one of ablation, figure3, rivals, rules, 1, 2, 3, 4"),
        ("table=9", "table: got 9, need one of ablation, figure3, rivals, rules, 1"),
        ("table=2 dataset=thumos14", "dataset: got thumos14, table2 exists for activitynet, demo"),
        ("table=3 seeds=0", "seeds: got 0, need a whole number above 0"),
    ],
)
def test_a_mistake_is_one_line(command: Command, arguments: str, said: str) -> None:
    assert said in command("reproduce", *arguments.split()).mistake


def test_figures_are_means_over_seeds_with_their_deviation() -> None:
    def run(value: float) -> dict[str, Any]:
        means = {"0.10": value, "0.50": value + 0.2, "0.70": value + 0.1, "0.80": 0.0}
        return {
            **{"simulated": False, "protocol": "demo", "videos": 6, "missing": 0},
            "detection": {"mAP": means},
            "training_s": 100 * value,
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
        "| M | paper, thumos14 | 12.5 | - |",
        "| M | ours, demo | 20.0 ± 14.1 | 20 |",
        "| N | ours, demo (**1 of 2 seeds**) | 20.0 | 20 |",
    ]
    with pytest.raises(ValueError, match="got 2 figures, need 1"):
        Experiment("T", ("demo",), {"a": "x"}, {"M": Method((), paper=(1.0, 2.0))})


def test_the_time_of_a_training_comes_from_its_log(tmp_path: Path) -> None:
    log = tmp_path / "metrics.csv"
    assert training_seconds(log) is None
    log.write_text("loss/total,step,steps_per_s\n")
    assert training_seconds(log) is None
    log.write_text("loss/total,step,steps_per_s\n0.5,9,\n,10,2.0\n0.4,19,\n,20,4.0\n")
    assert training_seconds(log) == pytest.approx(10 / 2 + 10 / 4)


@pytest.mark.parametrize("plot", ["lines", "bars", "ranking"])
def test_every_kind_of_picture_is_drawn(plot: Any, tmp_path: Path) -> None:
    run = {"protocol": "demo", "videos": 6, "missing": 0, "detection": {"mAP": {"0.10": 0.3}}}
    methods = {"M": Method((), paper=(12.5,)), "N": Method(()), "no run": Method(())}
    runs = {"M": {0: run, 1: run}, "N": {0: run, 1: None}, "no run": {0: None, 1: None}}
    experiment = Experiment("T", ("thumos14", "demo"), {"a": "detection/mAP/0.10"}, methods, plot)
    Reproduction(experiment, "demo", runs).draw(tmp_path / "table.png")
    assert (tmp_path / "table.png").read_bytes().startswith(b"\x89PNG")


def test_a_damaged_log_of_a_training_is_one_line(reproduce: Command, table3: Path, data: Path) -> None:
    metrics = json.loads((table3 / "tsrnet" / "0" / "metrics.json").read_text())
    log = data / "stages" / metrics["stages"][-1] / "logs" / "metrics.csv"
    before = log.read_text()
    log.write_text("step,steps_per_s\nten,fast\n")
    result = reproduce("table=3", "dataset=demo", "seeds=1", "only_report=true")
    log.write_text(before)
    assert result.code == 1
    assert f"{log}: " in result.err
    assert "remove it" in result.err
