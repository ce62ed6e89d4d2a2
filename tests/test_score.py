"""The score command on small files: figures, formats, and every mistake in one line."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import hydra
import pytest

import tsrnet.score
from tsrnet.core.cli import conf_folder
from tsrnet.core.errors import UserError
from tsrnet.datasets.records import AMBIGUOUS
from tsrnet.datasets.thumos14 import CLASSES

TRUTH = {
    "a": ("validation", [("Jump", 0, 10), ("Run", 20, 30)]),
    "b": ("validation", [("Jump", 5, 9)]),
    "v_c": ("validation", [("Run", 1, 2)]),
    "d": ("training", [("Run", 1, 2)]),
}


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    database = {
        video: {
            "duration": 40.0,
            "subset": subset,
            "annotations": [{"label": label, "segment": [s, e]} for label, s, e in segments],
        }
        for video, (subset, segments) in TRUTH.items()
    }
    path = tmp_path / "truth.json"
    path.write_text(json.dumps({"database": database}))
    return path


def row(label: str, start: Any, end: Any, score: Any = 0.5) -> dict[str, Any]:
    return {"label": label, "segment": [start, end], "score": score}


PERFECT = {
    video: [row(*segment) for segment in segments]
    for video, (subset, segments) in TRUTH.items()
    if subset == "validation"
}


def score(*overrides: str) -> subprocess.CompletedProcess[str]:
    """As the command does it, in this process."""
    with hydra.initialize_config_dir(str(conf_folder()), version_base="1.3"):
        config = hydra.compose("score", list(overrides))
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        try:
            tsrnet.score.score(config)
        except UserError as error:
            return subprocess.CompletedProcess(overrides, error.exit_code, output.getvalue(), str(error))
    return subprocess.CompletedProcess(overrides, 0, output.getvalue(), "")


def score_json(truth: Path, results: Any, *overrides: str) -> tuple[subprocess.CompletedProcess[str], Any]:
    path, output = truth.with_name("predictions.json"), truth.with_name("output.json")
    path.write_text(results if isinstance(results, str) else json.dumps({"results": results}))
    result = score(f"predictions={path}", f"ground_truth={truth}", f"output={output}", *overrides)
    return result, json.loads(output.read_text()) if output.exists() else None


def test_perfect_detections_and_what_is_written(truth: Path) -> None:
    result, figures = score_json(truth, PERFECT, "per_class=true")
    assert result.returncode == 0, result.stderr
    assert figures["average_mAP"] == 1.0
    assert figures["AP"]["Jump"]["0.95"] == 1.0
    counts = {
        key: figures[key] for key in ("protocol", "subset", "videos", "ground_truth_segments", "predictions")
    }
    assert counts == {
        "protocol": "activitynet",
        "subset": "validation",
        "videos": 3,
        "ground_truth_segments": 4,
        "predictions": 4,
    }
    assert figures["warnings"] == {}
    for words in ("Jump", "Run", "mAP", "3 videos"):
        assert words in result.stdout


def test_odd_predictions_are_counted(truth: Path) -> None:
    results = {
        "v_a": [*PERFECT["a"], row("Jump", -2, 1, 0.1)],
        "b": PERFECT["b"],
        "v_c": PERFECT["v_c"],
        "d": [row("Run", 1, 2, 0.9)],
    }
    _, figures = score_json(truth, results)
    assert {reason.split(":")[0]: count for reason, count in figures["warnings"].items()} == {
        "videos are called v_<id>": 1,
        "segments that start before 0 s": 1,
        "predictions for videos of the subset 'training', not 'validation'": 1,
    }
    assert figures["AP"]["Jump"]["0.50"] == 1.0
    assert figures["AP"]["Run"]["0.50"] == pytest.approx(2 / 3)  # behind the false one in d
    result, figures = score_json(truth, {})
    assert result.returncode == 0
    assert figures["average_mAP"] == 0.0
    assert list(figures["warnings"]) == ["the file has no predictions: every ground truth is missed"]


@pytest.mark.parametrize(
    ("results", "words"),
    [
        ('{"results": {"a": [}}', ("not a JSON file", "line 1")),
        ('{"version": "1"}', ('lacks "results"',)),
        ('{"results": {"a": [], "a": []}}', ("'a' is listed twice",)),
        ({"a": {"label": "Jump"}}, ("'a'", "need a list")),
        ({"a": [row("Jump", 0, 1), row("Jump", 0, 1, "high")]}, ("'a', prediction 2", "'high'", "numbers")),
        ({"a": [row("Jump", 0, 1, True)]}, ("prediction 1", "True")),
        ({"a": [{"label": "Jump", "segment": [3], "score": 0.5}]}, ("prediction 1", "[start, end]")),
        ({"a": [row("Jump", 0, 1, float("nan"))]}, ("'a'", "score nan", "finite")),
        ({"a": [row("Jump", 0, float("inf"))]}, ("'a'", "inf", "finite")),
        ({"a": [row("Jump", 5, 1)]}, ("'a'", "[5, 1]", "start <= end")),
        ({"a": [row("Jumpp", 0, 1)]}, ("'Jumpp'", "nearest: 'Jump'")),
        ({"a": [], "v_a": []}, ("'a' and 'v_a' are the same video",)),
    ],
)
def test_what_cannot_be_scored_is_one_line(truth: Path, results: Any, words: tuple[str, ...]) -> None:
    result, figures = score_json(truth, results)
    assert result.returncode == 2
    assert figures is None
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert all(word in lines[0] for word in words), lines[0]


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("subset=testing", ("no video of the subset 'testing'", "training, validation")),
        ("protocol=thumos", ("protocol: got thumos", "thumos14-210")),
        ("task=both", ("task: got 'both'", "detection, classification")),
        ("predictions=nowhere.json", ("nowhere.json", "no such file")),
        ("videos=nowhere.txt", ("nowhere.txt", "no such file")),
        ("protocol=activitynet-4728", ("got 3 videos", "has 4,728", "videos=FILE")),
    ],
)
def test_wrong_settings_are_one_line(truth: Path, override: str, words: tuple[str, ...]) -> None:
    result, _ = score_json(truth, PERFECT, override)
    assert result.returncode == 2
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert all(word in result.stderr for word in words), result.stderr


def test_labels_of_videos(truth: Path) -> None:
    results = {
        "a": [{"label": "Jump", "score": 0.9}, {"label": "Run", "score": 0.8}],
        "b": [{"label": "Run", "score": 0.7}, {"label": "Jump", "score": 0.6}],
    }
    _, figures = score_json(truth, results, "task=classification")
    assert figures["AP"] == pytest.approx({"Jump": 1.0, "Run": 0.5})
    assert figures["hit@1"] == pytest.approx(1 / 3)
    assert figures["avg_hit@1"] == pytest.approx(1 / 6)
    assert figures["hit@3"] == pytest.approx(2 / 3)


def test_only_the_videos_of_a_list_count(truth: Path) -> None:
    chosen = truth.with_name("ids.txt")
    chosen.write_text("a\nv_b\n")
    results = {**PERFECT, "v_c": [row("Jump", 0, 9, 0.9)]}
    _, figures = score_json(truth, results, f"videos={chosen}")
    assert figures["average_mAP"] == 1.0
    assert figures["videos"] == 2
    assert figures["warnings"] == {f"predictions left out, {chosen} does not list the video": 1}


def test_labels_without_segments_are_scored_as_labels_only(truth: Path) -> None:
    content = json.loads(truth.read_text())
    for entry in content["database"].values():
        del entry["duration"]
        for annotation in entry["annotations"]:
            del annotation["segment"]
    truth.write_text(json.dumps(content))
    results = {"a": [{"label": "Jump", "score": 0.9}], "b": [{"label": "Jump", "score": 0.7}]}
    _, figures = score_json(truth, results, "task=classification")
    assert figures["AP"] == pytest.approx({"Jump": 1.0, "Run": 0.0})
    assert figures["ground_truth_segments"] == 4
    truth.with_name("output.json").unlink()
    result, _ = score_json(truth, PERFECT)
    assert result.returncode == 2
    assert "labels and no segments in the subset 'validation'; give task=classification" in result.stderr


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    folder = tmp_path / "TH14_Temporal_annotations_test" / "annotation"
    folder.mkdir(parents=True)
    for name in (*CLASSES, AMBIGUOUS):
        (folder / f"{name}_test.txt").write_text("")
    (folder / "Diving_test.txt").write_text("video_test_0000001  10.0 20.0\nvideo_test_0000270  1.0 2.0\n")
    (folder / f"{AMBIGUOUS}_test.txt").write_text("video_test_0000001  30.0 40.0\n")
    return tmp_path


def test_thumos14_text_files_and_its_three_protocols(lists: Path) -> None:
    """A false detection on an ambiguous segment, an inverted one, and one in a video left out."""
    path = lists / "detections.txt"
    path.write_text(
        "video_test_0000001 31 32 26 0.9\n"
        "video_test_0000001 20 10 Diving 0.8\n"
        "video_test_0000270.mp4 1 2 26 0.7\n"
    )
    output = lists / "output.json"

    def run(protocol: str) -> tuple[subprocess.CompletedProcess[str], Any]:
        command = (f"predictions={path}", f"ground_truth={lists}", f"protocol={protocol}", f"output={output}")
        return score(*command), json.loads(output.read_text()) if output.exists() else None

    result, _ = run("thumos14-210")
    assert result.returncode == 2
    assert "need start <= end" in result.stderr
    for protocol in ("thumos14-2015", "thumos14-2014"):
        result, figures = run(protocol)
        assert result.returncode == 0, result.stderr
        assert figures["mAP"]["0.50"] == 1.0  # the one on the ambiguous segment is dropped
        assert figures["videos"] == 2
        assert figures["warnings"] == {"segments with start after end: start and end were swapped": 1}
    path.write_text(path.read_text().replace("20 10", "10 20"))
    result, figures = run("thumos14-210")
    assert figures["mAP"]["0.50"] == 0.5  # it is a false positive here
    assert figures["videos"] == 1
    assert [reason.split(":")[0] for reason in figures["warnings"]] == [
        "predictions left out, video_test_0000270"
    ]


def test_the_command_prints_one_line_for_a_mistake_and_writes_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tsrnet.score", "predictions=nowhere.json"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "error: ground_truth: got null, need a file or folder\n"
    assert not list(tmp_path.iterdir())


def test_it_starts_without_torch() -> None:
    code = (
        "import sys, tsrnet.score, tsrnet.datasets.ground_truth, tsrnet.metrics.recognition,"
        " tsrnet.reporting.tables; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_videos_by_the_names_of_their_files_are_found(truth: Path) -> None:
    """As tsrnet.detect calls them."""
    named = {f"{video}.mp4": rows for video, rows in PERFECT.items()}
    result, figures = score_json(truth, named)
    assert (result.returncode, figures["average_mAP"]) == (0, 1.0)
    assert figures["warnings"] == {"videos are called <id>.mp4: read as <id>": 3}


def test_videos_without_labels_cannot_be_classified(truth: Path) -> None:
    content = json.loads(truth.read_text())
    for entry in content["database"].values():
        entry["annotations"] = []
    truth.write_text(json.dumps(content))
    result, _ = score_json(truth, {}, "task=classification")
    assert "got no labels in the subset 'validation', need some" in result.stderr
