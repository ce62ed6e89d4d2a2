"""What a command leaves in the folder where it runs: what docs/files.md says, and nothing else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tsrnet.__main__ import VERBS
from tsrnet.reporting.page import Page, write_page

Command = Callable[..., Any]
RIGHT = {
    "train": "{tiny} paths.data={data} stream=rgb",
    "detect": "run={run} video={video}",
    "evaluate": "run={run}",
    "extract": "{demo} paths.data={data}",
    "check": "{demo} paths.data={data}",
    "import_features": "layout=folder source={features} dataset=mine features.name=i3d rate_hz=6",
    "compose": "clips={clips} classes=[A,B] num_train=2 num_test=2 width=64 height=48 output=composed",
    "review": "folder={pages} corrected={pages} output=corrected.json",
    "score": "predictions={run}/detections.json ground_truth={truth} subset=testing output=scores.json",
    "export": "run={run} format=csv output=detections.csv",
    "import_annotations": "format=csv source={table} output=annotations.json",
    "publish": "run={run} output=shared",
    "reproduce": "table=3 dataset=demo only_report=true",
    "report": "sweep={sweep}",
    "stages": "paths.data={data}",
}
"""Of dashboard there is none without W&B's server."""
WRONG = {
    "train": "loss.alpha=-1",
    "detect": "run={run} video=nowhere.mp4",
    "evaluate": "run=nowhere",
    "extract": "features=simulated",
    "check": "features=simulated",
    "import_features": "layout=folder source=nowhere",
    "compose": "clips=nowhere output=composed",
    "review": "folder=nowhere",
    "score": "predictions=nowhere.json ground_truth={truth} output=scores.json",
    "export": "run=nowhere format=csv output=detections.csv",
    "import_annotations": "format=csv source=nowhere.csv output=annotations.json",
    "publish": "run=nowhere repo=a/b",
    "reproduce": "table=9",
    "report": "sweep=nowhere",
    "stages": "remove=[teacher-0]",
    "dashboard": "",
}
LEFT = {
    "detect": {"detections"},
    "import_features": {"data"},
    "compose": {"composed"},
    "review": {"corrected.json"},
    "score": {"scores.json"},
    "export": {"detections.csv"},
    "import_annotations": {"annotations.json"},
    "publish": {"shared"},
    "reproduce": {"runs"},
}
"""By a right call of a command without a run folder."""
RUN = {"metrics.json", "detections.json", "config.yaml", "timelines", "model"}
RUN_FOLDER = {
    "train": RUN,
    "evaluate": RUN - {"timelines", "model"},
    "extract": set(),
    "check": {"manifest_demo_0_64.json", "manifest_demo_0_64_trimmed.json"},
}
"""In the run folder of a right call, beside the log and `.hydra`."""


@pytest.fixture(scope="module")
def inputs(
    data: Path,
    prepared: Path,
    tiny: tuple[str, ...],
    moving_square: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, str]:
    """What the calls above name: far from the folder in which they run."""
    root = tmp_path_factory.mktemp("inputs")
    for name in "ABC":
        (root / "clips" / name).mkdir(parents=True)
        for number in range(3):
            shutil.copy(moving_square, root / "clips" / name / f"v_{name}_g{number:02d}_c01.mp4")
    (root / "table.csv").write_text("video,label,start_s,end_s,duration_s\na.mp4,A,1,2,9\n")
    write_page(root / "pages" / "a.html", Page("a", 9.0, 2.0, [], {}, {}, [], None))
    entry = {"duration": 9.0, "subset": "validation", "annotations": []}
    (root / "pages" / "a.corrected.json").write_text(json.dumps({"database": {"a": entry}}))
    job = root / "sweep" / "0"
    (job / ".hydra").mkdir(parents=True)
    (job / ".hydra" / "overrides.yaml").write_text("- seed=0\n")
    shutil.copy(prepared / "run" / "metrics.json", job)
    demo = (text for text in tiny if text.split(".")[0] in ("dataset", "trimmed", "features"))
    return {
        "tiny": " ".join(tiny),
        "demo": " ".join(demo),
        "data": f"{data}",
        "run": f"{prepared}/run",
        "video": f"{data}/demo/0/trimmed/Wave_000.mp4",
        "truth": f"{data}/demo/0/untrimmed.json",
        "features": f"{data}/features/demo_0_64_trimmed/resnet10_stand_in",
        "clips": f"{root}/clips",
        "table": f"{root}/table.csv",
        "sweep": f"{root}/sweep",
        "pages": f"{root}/pages",
    }


def run_folder(here: Path, verb: str) -> set[str]:
    """The names in the one folder in `runs`, but for the log and `.hydra`, which are there."""
    (folder,) = (here / "runs").iterdir()
    names = {path.name for path in folder.iterdir()}
    assert {".hydra", f"{verb}.log"} <= names
    return names - {".hydra", f"{verb}.log"}


@pytest.mark.parametrize("verb", VERBS)
def test_a_wrong_call_leaves_nothing(
    command: Command, inputs: dict[str, str], tmp_path: Path, verb: str
) -> None:
    result = command(verb, *WRONG[verb].format_map(inputs).split(), folder=tmp_path)
    assert result.mistake
    assert not list(tmp_path.iterdir())


def test_missing_data_leaves_nothing_with_wandb(command: Command, tmp_path: Path) -> None:
    """Its run starts when there is something to log."""
    result = command("train", "dataset=activitynet", "logger=wandb", "logger.mode=offline", folder=tmp_path)
    assert "there are no annotations of activitynet" in result.mistake
    assert not list(tmp_path.iterdir())


def test_a_wrong_call_leaves_what_was_there(command: Command, tmp_path: Path) -> None:
    """Also where it is told to write."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    for place in ("run", "."):
        assert command("train", "loss.alpha=-1", f"hydra.run.dir={place}", folder=tmp_path).mistake
        assert (tmp_path / "run" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("verb", RIGHT)
def test_a_right_call_leaves_what_the_pages_say(
    command: Command, inputs: dict[str, str], tmp_path: Path, verb: str
) -> None:
    result = command(verb, *RIGHT[verb].format_map(inputs).split(), folder=tmp_path)
    assert result.code == 0, result.err
    left = {path.name for path in tmp_path.iterdir()}
    assert left == ({"runs"} if verb in RUN_FOLDER else LEFT.get(verb, set()))
    if verb in RUN_FOLDER:
        assert run_folder(tmp_path, verb) == RUN_FOLDER[verb]


def test_the_configuration_is_printed_and_nothing_is_left(command: Command, tmp_path: Path) -> None:
    for verb in VERBS:  # --help: tests/test_main.py
        assert command(verb, "--cfg", "job", folder=tmp_path).code == 0
    assert not list(tmp_path.iterdir())
