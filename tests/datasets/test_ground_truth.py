"""What predictions are scored against: subsets by any name, lists of videos, and where other videos are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from tsrnet.core.errors import UserError
from tsrnet.datasets.ground_truth import read_ground_truth
from tsrnet.datasets.records import AMBIGUOUS
from tsrnet.datasets.thumos14 import CLASSES
from tsrnet.metrics.predictions import read_predictions
from tsrnet.metrics.protocols import PROTOCOLS

REAL = Path(__file__).parents[2].parent / "shared" / "data" / "annotations"
needs_real_files = pytest.mark.skipif(not REAL.is_dir(), reason="the annotations are not here")
ACTIVITYNET = PROTOCOLS["activitynet"]


def write(folder: Path, *subsets: str, unlabelled: Sequence[str] = ()) -> Path:
    """One video called after each subset."""
    database = {
        f"video_{name}": {
            "subset": name,
            "annotations": [] if name in unlabelled else [{"label": "Diving", "segment": [1, 2]}],
        }
        for name in subsets
    }
    path = folder / "truth.json"
    path.write_text(json.dumps({"database": database}))
    return path


@pytest.mark.parametrize(
    ("subsets", "protocol", "given", "scored"),
    [
        (("training", "validation", "testing"), "activitynet", None, "validation"),
        (("validation",), "activitynet", None, "validation"),
        (("val",), "activitynet", None, "val"),
        (("train", "val", "test"), "activitynet", None, "test"),
        (("train", "val", "test"), "activitynet", "validation", "val"),
        (("validation", "test"), "thumos14-210", None, "test"),
        (("Validation", "Test"), "thumos14-210", "test", "Test"),
        (("training", "validation"), "thumos14-211", None, "validation"),
        (("training", "testing"), "demo", None, "testing"),
        (("training", "validation"), "activitynet", "train", "training"),
    ],
)
def test_the_subset_is_found_by_its_meaning(
    tmp_path: Path, subsets: tuple[str, ...], protocol: str, given: str | None, scored: str
) -> None:
    truth = read_ground_truth(
        write(tmp_path, *subsets, unlabelled=["testing"] * ("validation" in subsets)),
        PROTOCOLS[protocol],
        given,
    )
    assert (truth.subset, truth.videos) == (scored, (f"video_{scored}",))
    assert truth.elsewhere == {f"video_{name}": name for name in subsets if name != scored}


def test_predictions_for_another_subset_say_which(tmp_path: Path) -> None:
    path = write(tmp_path, "training", "validation", "testing", unlabelled=["testing"])
    truth = read_ground_truth(path, ACTIVITYNET)
    one = {"label": "Diving", "segment": [1, 2], "score": 0.5}
    results = {"v_video_training": [one, one], "video_testing": [one], "elsewhere": [one]}
    predictions = tmp_path / "predictions.json"
    predictions.write_text(json.dumps({"results": results}))
    reason = "not 'validation': false positives; give subset={} to score them"
    assert read_predictions(predictions, truth, classify=False, swap=False).warnings == {
        "videos are called v_<id>: read as <id>": 1,
        f"predictions for videos of the subset 'training', {reason.format('training')}": 2,
        f"predictions for videos of the subset 'testing', {reason.format('testing')}": 1,
        "predictions for videos without ground truth: false positives": 1,
    }


@pytest.mark.parametrize("text", ["a\r\n\r\nv_b\n", '["a", "b"]', "\ufeffa\nb"])
def test_a_list_of_videos_is_lines_or_json(tmp_path: Path, text: str) -> None:
    database = {
        name: {"subset": "validation", "annotations": [{"label": "Run", "segment": [0, 1]}]} for name in "abc"
    }
    (tmp_path / "truth.json").write_text(json.dumps({"database": database}))
    (tmp_path / "ids").write_bytes(text.encode())
    truth = read_ground_truth(tmp_path / "truth.json", ACTIVITYNET, videos=tmp_path / "ids")
    assert truth.videos == ("a", "b")
    assert truth.ignored == {"c": f"{tmp_path}/ids does not list the video"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not a list of ids; need one id per line"),
        ("[]", "is not a list of ids"),
        ("[1]", "is not a list of ids"),
        ('{"a": 1}', "is not a list of ids"),
        ("[a", "is not a JSON file"),
        ("video\nvideo_validation", "got 1 of 2 ids that the scored subset lacks, such as 'video'"),
    ],
)
def test_a_list_that_does_not_fit_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "ids").write_text(text)
    with pytest.raises(UserError, match=rf"ids: {message}"):
        read_ground_truth(write(tmp_path, "validation"), ACTIVITYNET, videos=tmp_path / "ids")


def test_class_files_of_the_subsets_that_are_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no class files of THUMOS14; need BaseballPitch_test\.txt"):
        read_ground_truth(tmp_path, PROTOCOLS["thumos14-213"])
    for name in (*CLASSES, AMBIGUOUS):
        (tmp_path / f"{name}_test.txt").write_text("video_test_0000270 1 2\n" * (name == "Diving"))
        (tmp_path / f"{name}_val.txt").write_text("video_validation_0000007 1 2\n" * (name == "Diving"))
    truth = read_ground_truth(tmp_path, PROTOCOLS["thumos14-213"])
    assert truth.videos == ("video_test_0000270",)
    assert truth.elsewhere == {"video_validation_0000007": "validation"}
    with pytest.raises(UserError, match="got no video of test that is on the list of thumos14-211"):
        read_ground_truth(tmp_path, PROTOCOLS["thumos14-211"])
    with pytest.raises(UserError, match=r"no video of the subset 'testing2', it has: test, validation"):
        read_ground_truth(tmp_path, PROTOCOLS["thumos14-213"], "testing2")


@needs_real_files
@pytest.mark.parametrize("number", [210, 211, 212, 213])
def test_the_test_lists_of_thumos14_by_either_form(number: int) -> None:
    protocol = PROTOCOLS[f"thumos14-{number}"]
    texts = read_ground_truth(REAL / "thumos14", protocol)
    layout = read_ground_truth(REAL / "thumos14" / "thumos14.activitynet_format.json", protocol)
    assert len(texts.videos) == number
    assert set(texts.videos) == set(layout.videos)
    assert len(texts.segments) == len(layout.segments)
    assert len(layout.elsewhere) == 200


@needs_real_files
def test_4728_of_the_validation_videos_by_the_ids_of_a_file(tmp_path: Path) -> None:
    rows = (REAL / "activitynet" / "video_info_new.csv").read_text().splitlines()
    ids = [row.split(",")[0] for row in rows if ",validation," in row]
    (tmp_path / "ids.txt").write_text("\n".join(ids))
    path = REAL / "activitynet" / "activity_net.v1-3.rebuilt.min.json"
    truth = read_ground_truth(path, PROTOCOLS["activitynet-4728"], videos=tmp_path / "ids.txt")
    assert (len(truth.videos), len(truth.ignored), len(truth.classes)) == (4728, 198, 200)
    with pytest.raises(UserError, match="videos: got 4,926 videos, activitynet-4728 has 4,728"):
        read_ground_truth(path, PROTOCOLS["activitynet-4728"])
