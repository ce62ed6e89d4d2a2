"""tsrnet.review: the index of a folder, and exported corrections that train and score."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tsrnet.datasets.activitynet import read_activitynet
from tsrnet.reporting.page import Page, write_page
from tsrnet.reporting.timeline import Detection

Command = Callable[..., Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The output of tsrnet.detect for two videos, with an exported correction of each."""
    results: dict[str, Any] = {}
    for name in ("a.mp4", "b.mp4"):
        found = [
            Detection("run", 1.0, 2.0, 0.5),
            Detection("jump", 4.0, 6.0, 0.25 if name == "a.mp4" else 0.2),
        ]
        page = Page(name, 9.0, 2.0, found, {}, {"run": 0.5, "jump": 0.25}, [], None, id=name)
        write_page(tmp_path / "detections" / f"{name}.html", page)
        rows = [
            {"label": one.label, "segment": [one.start_s, one.end_s], "score": one.score} for one in found
        ]
        results[name] = rows
        export(tmp_path / "exported" / f"{name}.corrected.json", name, rows)
    (tmp_path / "detections" / "detections.json").write_text(json.dumps({"results": results}))
    return tmp_path


def export(path: Path, video: str, rows: list[dict[str, Any]]) -> None:
    """A file as a page exports it."""
    entry = {"duration": 9.0, "subset": "validation", "annotations": rows}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"version": "VERSION 1.3", "taxonomy": [], "database": {video: entry}}))


def test_corrections_are_combined_and_scored(command: Command, folder: Path) -> None:
    export(folder / "exported" / "b.mp4.corrected (1).json", "b.mp4", [{"label": "run", "segment": [1, 2]}])
    os.utime(folder / "exported" / "b.mp4.corrected.json", (0, 0))
    result = command("review", "folder=detections", "corrected=exported", folder=folder)
    assert result.code == 0, result.err
    assert (
        "the newest file counts: 'b.mp4'" in result.out.replace("b.mp4.", "'b.mp4'.") or "b.mp4" in result.out
    )
    truth = folder / "detections" / "annotations.json"
    database = json.loads(truth.read_text())["database"]
    assert [len(database[name]["annotations"]) for name in ("a.mp4", "b.mp4")] == [2, 1]
    scored = command(
        "score",
        "predictions=detections/detections.json",
        "ground_truth=detections/annotations.json",
        "protocol=tenths",
        "output=scores.json",
        folder=folder,
    )
    assert scored.code == 0, scored.err
    assert "left out" not in scored.out
    metrics = json.loads((folder / "scores.json").read_text())
    assert (metrics["videos"], metrics["ground_truth_segments"], metrics["predictions"]) == (2, 3, 4)
    assert metrics["average_mAP"] == pytest.approx(1.0)  # b.mp4's jump is wrong, and last


def test_videos_that_nobody_corrected_are_not_scored(command: Command, folder: Path) -> None:
    command(
        "review",
        "folder=detections",
        "corrected=exported/a.mp4.corrected.json",
        "output=a.json",
        folder=folder,
    )
    given = (
        "predictions=detections/detections.json",
        "ground_truth=a.json",
        "protocol=tenths",
        "output=s.json",
    )
    for videos, false_positives in (("a.json", False), ("null", True)):
        scored = command("score", *given, f"videos={videos}", folder=folder)
        assert scored.code == 0, scored.err
        assert ("without ground truth: false positives" in scored.out) == false_positives
        metrics = json.loads((folder / "s.json").read_text())
        assert (metrics["videos"], metrics["predictions"]) == (1, 4 if false_positives else 2)


def test_a_class_that_no_corrected_video_shows_is_left_out(command: Command, folder: Path) -> None:
    export(folder / "a.corrected.json", "a.mp4", [{"label": "run", "segment": [1, 2]}])
    command("review", "folder=detections", "corrected=a.corrected.json", "output=a.json", folder=folder)
    given = ("predictions=detections/detections.json", "ground_truth=a.json", "protocol=tenths")
    scored = command("score", *given, "videos=a.json", "output=s.json", folder=folder)
    assert scored.code == 0, scored.err
    assert "2 predictions left out, no video of a.json shows their class" in scored.out
    assert json.loads((folder / "s.json").read_text())["average_mAP"] == 1.0
    assert "got label 'jump'" in command("score", *given, folder=folder).mistake


def test_corrections_take_the_place_of_annotations(command: Command, folder: Path) -> None:
    before = {
        "a.mp4": {"duration": 9.5, "subset": "training", "annotations": [], "url": "x"},
        "b.mp4": {"duration": 9.5},
        "c.mp4": {
            "duration": 3.0,
            "subset": "validation",
            "annotations": [{"label": "run", "segment": [0, 1]}],
        },
    }
    (folder / "before.json").write_text(json.dumps({"version": "mine", "database": before}))
    result = command(
        "review",
        "folder=detections",
        "corrected='exported/*.json'",
        "annotations=before.json",
        "output=after.json",
        folder=folder,
    )
    assert result.code == 0, result.err
    content = json.loads((folder / "after.json").read_text())
    assert content["version"] == "mine"
    assert {
        name: (entry["subset"], len(entry["annotations"])) for name, entry in content["database"].items()
    } == {
        "a.mp4": ("training", 2),
        "b.mp4": ("validation", 2),
        "c.mp4": ("validation", 1),
    }
    assert content["database"]["a.mp4"]["url"] == "x"
    dataset = read_activitynet(folder / "after.json", folder)
    assert dataset.classes == ("jump", "run")
    read = {record.id: len(record.segments) for record in (*dataset.train, *dataset.test)}
    assert read == {"a.mp4": 2, "b.mp4": 2, "c.mp4": 1}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["folder=nowhere"], "folder: got nowhere, need a folder that tsrnet.detect or tsrnet.train wrote"),
        (["folder=exported"], "folder: got exported, which has no pages"),
        (["folder=detections", "corrected=nowhere"], "corrected: got nowhere, need a file"),
        (["folder=detections", "corrected=detections"], "corrected: got detections, need a file"),
        (
            ["folder=detections", "corrected=detections/detections.json"],
            "detections.json: is not in ActivityNet's layout",
        ),
        (["folder=detections", "corrected=exported", "annotations=nowhere"], "annotations: got nowhere"),
    ],
)
def test_a_mistake_is_one_line(command: Command, folder: Path, arguments: list[str], message: str) -> None:
    result = command("review", *arguments, folder=folder)
    assert message in result.mistake
    assert not (folder / "detections" / "index.html").exists()


def test_a_page_of_an_older_version_is_named(command: Command, folder: Path) -> None:
    (folder / "detections" / "old.html").write_text("<html></html>")
    result = command("review", "folder=detections", folder=folder)
    assert "old.html: is not a page of this version" in result.mistake
