"""The notebooks, run for real and small on the prepared demo; and stripped in git."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
SWEEP = "loss.alpha=30,300 loss.beta=0,0.1 localization.theta=0,0.5,1"


@pytest.fixture
def folder(prepared: Path, linked: Callable[..., Path], tmp_path: Path) -> Path:
    """Where a notebook runs; the demo and its stages are there."""
    linked(prepared / "data", tmp_path / "runs/notebooks/data")
    return tmp_path


def execute(number: int, folder: Path, **environment: str) -> dict[str, Any]:
    """Run a notebook; its outputs by the id of the cell. A cell that fails is an error that shows it."""
    notebook = nbformat.read(NOTEBOOKS[number - 1], as_version=4)
    client = NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(f"TSRNET_NOTEBOOK_{name}", value)
        client.execute()
    return {cell.id: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}


def printed(outputs: list[Any]) -> str:
    return "".join(output.text for output in outputs if output.output_type == "stream")


def has_picture(outputs: list[Any]) -> bool:
    return any("image/png" in output.get("data", {}) for output in outputs)


def test_quickstart_finds_in_a_file_what_the_test_found(folder: Path, tiny: tuple[str, ...]) -> None:
    for stage in (folder / "runs/notebooks/data/stages").glob("tsrnet-flow-*"):
        shutil.rmtree(stage)
    quickstart = execute(1, folder, OVERRIDES=" ".join(tiny))
    run, shown = folder / "runs/notebooks/demo", folder / "runs/notebooks/quickstart"
    assert "training tsrnet-flow" in printed(quickstart["train"])
    ((video, found),) = json.loads((shown / "detections.json").read_text())["results"].items()
    reported = json.loads((run / "detections.json").read_text())["results"][Path(video).stem]
    assert len(found) == len(reported) > 0
    for ours, theirs in zip(found, reported, strict=True):
        assert ours["label"] == theirs["label"]
        assert [*ours["segment"], ours["score"]] == pytest.approx([*theirs["segment"], theirs["score"]])
    assert has_picture(quickstart["timeline"])
    assert has_picture(quickstart["plot"])
    assert "<video" in (shown / "page.html").read_text()
    accuracy = json.loads((run / "metrics.json").read_text())["recognition"]["fusion"]["accuracy"]
    table = quickstart["recognition"][-1].data["text/plain"]
    assert re.search(rf"fusion +{100 * accuracy:.1f} ", table)


@pytest.mark.process
def test_attention_and_localisation_draws_and_changes_segments(folder: Path, tiny: tuple[str, ...]) -> None:
    outputs = execute(2, folder, OVERRIDES=" ".join(tiny))
    assert "training" not in printed(outputs["train"]), "the stages are there"
    pictures = sorted(path.name for path in (folder / "runs/notebooks/figure4").iterdir())
    assert pictures == ["constants.png", *(f"demo_test_00{number}.png" for number in range(3))]
    annotations = folder / "runs/notebooks/data/demo/0/untrimmed.json"
    truth = json.loads(annotations.read_text())["database"]["demo_test_000"]["annotations"]
    listed = outputs["videos"][-1].data["text/plain"].splitlines()
    assert sum("demo_test_000" in line for line in listed) == len(truth)
    lines = outputs["constants"][-1].data["text/plain"].splitlines()[1:]
    counts = {line.rsplit(maxsplit=3)[0]: line.split()[2:] for line in lines}
    assert len(counts) == 10
    assert counts["threshold 0.2"] == counts["theta 0.5"], "the constants of the run"
    assert len({tuple(count) for name, count in counts.items() if "threshold" in name}) > 1


@pytest.mark.process
def test_sweeps_read_as_many_rows_as_jobs(folder: Path, tiny: tuple[str, ...]) -> None:
    outputs = execute(3, folder, OVERRIDES=" ".join(tiny), SWEEP=SWEEP)
    sweep = folder / "runs/notebooks/sweep"
    with (sweep / "sweep.csv").open() as file:
        rows = list(csv.DictReader(file))
    jobs = sorted(sweep.glob("*/metrics.json"))
    assert len(rows) == len(jobs) == 12
    settings = {(row["loss.alpha"], row["loss.beta"], row["localization.theta"]) for row in rows}
    assert len(settings) == 12
    stages = [path.name for path in (folder / "runs/notebooks/data/stages").glob("*-rgb-*")]
    counts = Counter(name.split("-")[0] for name in stages)
    assert (counts["teacher"], counts["tsrnet"]) == (1, 4), "the defaults were trained before"
    for name in ("lines", "map"):
        assert has_picture(outputs[name])
    assert {path.name for path in sweep.glob("*.png")} == {"theta.png", "alpha_beta.png"}
    assert "12 settings" in printed(outputs["report"])


@pytest.mark.process
def test_own_videos_with_labels_only_end_in_pages(folder: Path, tiny: tuple[str, ...]) -> None:
    fitting = (text for text in tiny if text.startswith(("features.", "trainer.", "teacher.", "report.")))
    outputs = execute(4, folder, OVERRIDES=" ".join(("features=demo", *fitting)), VIDEOS="12")
    root = folder / "runs/notebooks/own"
    metrics = json.loads((root / "run/metrics.json").read_text())
    assert (metrics["protocol"], metrics["videos"], metrics["detection"]) == ("tenths", 3, None)
    pages = sorted(path.stem for path in (root / "run/pages").glob("*.html"))
    assert pages == sorted(json.loads((root / "run/detections.json").read_text())["results"])
    assert "transfer: off, there are no trimmed clips" in printed(outputs["train"])
    assert has_picture(outputs["pages"])
    assert (root / "detections" / "demo_test_000.html").is_file()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_nothing_but_text_and_code_is_in_git(path: Path) -> None:
    """No outputs, counts or metadata of a machine; cells that fit on a screen."""
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        assert not cell.metadata
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None)
            assert len(cell.source.splitlines()) <= 22


def test_there_are_four() -> None:
    assert [path.name[0] for path in NOTEBOOKS] == ["1", "2", "3", "4"]
