"""Detections go out to other tools and reviewed annotations come in, by the two commands."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
import pytest

from tsrnet.core.cli import conf_folder
from tsrnet.core.errors import UserError
from tsrnet.datasets.ground_truth import read_ground_truth
from tsrnet.export import export
from tsrnet.import_annotations import import_annotations
from tsrnet.metrics.predictions import read_predictions
from tsrnet.metrics.protocols import PROTOCOLS

RESULTS = {
    "square": [
        {"label": "Jump", "segment": [0.25, 1.0], "score": 0.9},
        {"label": "Run", "segment": [0.5, 2.0], "score": 0.4},
        {"label": "Run", "segment": [0.0, 0.1], "score": 0.1},
    ],
    "-gone": [{"label": "Run", "segment": [1.0, 4.5], "score": 0.8}],
    "nothing": [],
}


def call(command: Callable[..., None], *overrides: str) -> str:
    """What a command prints, run in this process with the real configuration."""
    with hydra.initialize_config_dir(str(conf_folder()), version_base="1.3"):
        config = hydra.compose(command.__name__, list(overrides))
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        command(config)
    return output.getvalue()


@pytest.fixture
def run(tmp_path: Path, moving_square: Path) -> Path:
    """A run folder with detections.json; one of its videos, of 2 s, is in `videos`."""
    folder = tmp_path / "my run"
    (folder / "videos").mkdir(parents=True)
    (folder / "videos" / "square.mp4").symlink_to(moving_square)
    content = {"version": "VERSION 1.3", "results": RESULTS, "external_data": {"used": False}}
    (folder / "detections.json").write_text(json.dumps(content))
    return folder


def to(run: Path, form: str, *overrides: str) -> str:
    """Export into run/<form>."""
    return call(export, f"run='{run}'", f"format={form}", f"output='{run / form}'", *overrides)


def database(run: Path, form: str, source: Path, *overrides: str) -> Any:
    output = run / "annotations.json"
    call(import_annotations, f"format={form}", f"source='{source}'", f"output='{output}'", *overrides)
    return json.loads(output.read_text())["database"]


def segments(results: Any) -> list[tuple[str, str, float, float]]:
    """Of detections or annotations: video, label, start, end, sorted."""
    rows = [
        (video, row["label"], *row["segment"])
        for video, entry in results.items()
        for row in (entry["annotations"] if isinstance(entry, dict) else entry)
    ]
    return sorted(rows)


def annotate(run: Path) -> Path:
    """Label Studio's export after somebody accepts every prediction."""
    tasks = json.loads((run / "labelstudio" / "tasks.json").read_text())
    for task in tasks:
        task["annotations"] = [{"result": task.pop("predictions")[0]["result"]}]
    path = run / "reviewed.json"
    path.write_text(json.dumps(tasks))
    return path


def test_csv_there_and_back(run: Path) -> None:
    said = to(run, "csv", f"videos='{run / 'videos'}'")
    assert said.splitlines() == [
        f"no file in {run / 'videos'} for 2 of 3 videos: '-gone', 'nothing'",
        f"{run / 'csv'}: 3 videos, 4 detections, 0 left out",
    ]
    back = database(run, "csv", run / "csv", "subset=training")
    assert segments(back) == segments(RESULTS)
    assert {video: (entry["subset"], entry.get("duration")) for video, entry in back.items()} == {
        "square": ("training", 2.0),
        "-gone": ("training", None),
        "nothing": ("training", None),
    }


def test_label_studio_there_and_back(run: Path) -> None:
    to(run, "labelstudio", f"videos='{run / 'videos'}'", "fps=20", "min_score=0.2")
    assert sorted(path.name for path in (run / "labelstudio").iterdir()) == [
        "labeling_config.xml",
        "tasks.json",
    ]
    tasks = json.loads((run / "labelstudio" / "tasks.json").read_text())
    assert [task["predictions"][0]["model_version"] for task in tasks] == ["tsrnet my run"] * 3
    assert tasks[0]["data"]["video"] == "/data/local-files/?d=videos/square.mp4"
    back = database(run, "labelstudio", annotate(run))
    wanted = segments({**RESULTS, "square": RESULTS["square"][:2]})  # all are whole frames of 20 Hz
    assert [row[:2] for row in segments(back)] == [row[:2] for row in wanted]
    assert [row[2:] for row in segments(back)] == [pytest.approx(row[2:], abs=1e-9) for row in wanted]
    assert back["square"]["duration"] == 2.0


def test_classes_without_a_detection_that_is_left_can_still_be_chosen(run: Path) -> None:
    to(run, "labelstudio", "min_score=0.85")
    assert 'value="Run"' in (run / "labelstudio" / "labeling_config.xml").read_text()


def test_fiftyone_there_and_back(run: Path) -> None:
    videos = f"videos='{run / 'videos'}'"
    said = to(run, "fiftyone", videos)
    assert said.splitlines()[-1] == f"{run / 'fiftyone'}: 1 video, 3 detections, 1 left out"
    (path,) = json.loads((run / "fiftyone" / "data.json").read_text()).values()
    assert Path(path).is_file()
    back = database(run, "fiftyone", run / "fiftyone" / "labels.json", videos)
    assert segments(back) == segments({"square": RESULTS["square"]})
    assert back["square"]["duration"] == 2.0


def test_the_best_in_the_submission_format(run: Path) -> None:
    said = to(run, "activitynet", "min_score=0.2", "per_video=1")
    assert said == f"{run / 'activitynet'}: 3 videos, 2 detections, 2 left out\n"
    content = json.loads((run / "activitynet").read_text())
    assert content["results"] == {"square": RESULTS["square"][:1], "-gone": RESULTS["-gone"], "nothing": []}
    assert content["external_data"] == {"used": False}


def test_a_file_of_subtitles_a_video(run: Path) -> None:
    to(run, "srt")
    assert {path.name: path.read_text().count("-->") for path in (run / "srt").iterdir()} == {
        "square.srt": 3,
        "-gone.srt": 1,
        "nothing.srt": 0,
    }


def test_what_comes_back_scores_the_detections_perfect(run: Path) -> None:
    """detections.json against its own segments as ground truth: every detection is true."""
    to(run, "csv")
    database(run, "csv", run / "csv")
    protocol = PROTOCOLS["activitynet"]
    truth = read_ground_truth(run / "annotations.json", protocol)
    found = read_predictions(run / "detections.json", truth, classify=False, swap=False)
    assert protocol.detection_metrics(found.segments, truth.segments, truth.classes)["average_mAP"] == 1.0


def test_unknown_lengths_and_remarks_are_listed(run: Path) -> None:
    to(run, "labelstudio")
    reviewed = annotate(run)
    tasks = json.loads(reviewed.read_text())
    tasks[1]["annotations"] = []
    reviewed.write_text(json.dumps(tasks))
    output = run / "annotations.json"
    options = (f"source='{reviewed}'", f"output='{output}'")
    assert call(import_annotations, "format=labelstudio", *options).splitlines() == [
        "left out, tasks without an annotation: 1",
        "no duration for 2 of 2 videos: 'square', 'nothing'; videos=FOLDER reads it from their files",
        f"{output}: 2 videos, 3 annotations",
    ]


def test_a_video_that_cannot_be_read_is_listed(run: Path) -> None:
    (run / "videos" / "-gone.mp4").write_bytes(b"")
    said = to(run, "csv", f"videos='{run / 'videos'}'")
    assert "cannot read 1 of 3 videos for their lengths: '-gone'" in said


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("format=null",), "format: got null, need one of activitynet, labelstudio, fiftyone, csv, srt"),
        (("format=xml",), "format: got 'xml', need one of activitynet"),
        (("format=csv", "output=null"), "output: got null, need a file"),
        (("format=fiftyone",), "videos: got nothing, need the folder of the videos"),
        (("format=csv", "videos=nowhere"), "videos: got nowhere, need a folder"),
        (("format=csv", "detections=a.json"), "need exactly one"),
        (("format=csv", "run=null"), "need exactly one"),
        (("format=csv", "run=nowhere"), "nowhere/detections.json: there is no such file"),
        (("format=csv", "run=null", "detections=5"), "5: there is no such file"),
        (("format=csv", "per_video=0"), "per_video: got 0, need a whole number >= 1"),
        (("format=csv", "per_video=1.5"), "per_video: got 1.5"),
        (("format=csv", "min_score=high"), "min_score: got 'high', need a number"),
        (("format=labelstudio", "fps=0"), "fps: got 0, need a number > 0"),
    ],
)
def test_what_cannot_be_exported_is_one_line(run: Path, overrides: tuple[str, ...], said: str) -> None:
    before = sorted(run.rglob("*"))
    with pytest.raises(UserError) as error:
        call(export, f"run='{run}'", f"output='{run / 'out'}'", *overrides)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert sorted(run.rglob("*")) == before


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        (("../a",), "video id '../a'"),
        ((".hidden",), "video id '.hidden'"),
        (("a\x00b",), r"video id 'a\x00b'"),
        (("a.mp4", "a.avi"), "got 2 videos for a.srt"),
    ],
)
def test_an_id_that_is_no_file_name_makes_no_file(run: Path, ids: tuple[str, ...], said: str) -> None:
    (run / "detections.json").write_text(json.dumps({"results": {video: [] for video in ids}}))
    with pytest.raises(UserError) as error:
        to(run, "srt")
    assert said in str(error.value)
    assert not list(run.parent.rglob("*.srt"))


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ((), "format: got null, need one of labelstudio, fiftyone, csv"),
        (("format=srt",), "format: got 'srt', need one of labelstudio, fiftyone, csv"),
        (("format=csv",), "source: got null, need a file"),
        (("format=csv", "source=nowhere.csv"), "output: got null, need a file"),
        (
            ("format=csv", "source=nowhere.csv", "output=a.json"),
            "source: got nowhere.csv, there is no such file",
        ),
    ],
)
def test_what_cannot_be_imported_is_one_line(overrides: tuple[str, ...], said: str) -> None:
    with pytest.raises(UserError) as error:
        call(import_annotations, *overrides)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("form", ["activitynet", "csv", "labelstudio", "srt"])
def test_a_file_without_videos(run: Path, form: str) -> None:
    (run / "detections.json").write_text('{"results": {}}')
    assert to(run, form) == f"{run / form}: 0 videos, 0 detections, 0 left out\n"
