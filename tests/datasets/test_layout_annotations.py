"""The annotation files of other projects as our records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tsrnet.core.errors import UserError
from tsrnet.datasets.activitynet import read_activitynet
from tsrnet.datasets.layouts.annotations import detection_records
from tsrnet.datasets.records import Segment
from tsrnet.datasets.thumos14 import CLASSES, read_thumos14

SHARED = Path(__file__).parents[3] / "shared/data"


def objects(*values: Any) -> np.ndarray:
    array = np.empty(len(values), object)
    for index, value in enumerate(values):
        array[index] = value
    return array


@pytest.fixture
def wtalc(tmp_path: Path) -> Path:
    files = {
        "videoname": np.array([b"video_1", b"video_2", b"video_3", b"video_4"]),
        "subset": np.array([b"validation", b"validation", b"test", b"test"]),
        "duration": np.array([[10.5], [20.0], [30.0], [40.0]]),
        "extracted_fps": np.array([10, 10, 10, 10]),
        "classlist": np.array([b"Billiards", b"Diving"]),
        "labels_all": objects(["Billiards"], ["Diving", "Billiards"], [], ["Diving"]),
        "labels": objects(["Billiards", "Diving"], ["Diving"], ["Diving"], ["Diving"]),
        "segments": objects([[0.5, 2.0], [3.0, 4.5]], [[1.0, 2.0]], [[5.0, 6.0]], [[7.0, 8.0]]),
    }
    for name, array in files.items():
        np.save(tmp_path / f"{name}.npy", array, allow_pickle=True)
    return tmp_path


def test_wtalc_trains_on_validation_with_the_labels_of_videos(wtalc: Path) -> None:
    dataset = read_thumos14(wtalc, wtalc / "videos")
    assert dataset.classes == CLASSES
    assert [(r.id, r.duration_s, r.labels) for r in dataset.train] == [
        ("video_1", 10.5, ("Billiards",)),
        ("video_2", 20.0, ("Billiards", "Diving")),
    ]
    assert dataset.train[0].segments == (Segment(0.5, 2.0, "Billiards"), Segment(3.0, 4.5, "Diving"))
    assert [(r.id, r.labels) for r in dataset.test] == [("video_3", ()), ("video_4", ("Diving",))]
    remarks = "\n".join(dataset.remarks)
    assert "video 'video_1': its labels lack 'Diving' of its segments." in remarks
    assert "video 'video_2': no segment of its label 'Billiards'." in remarks
    assert "video 'video_3': has no label and is still tested." in remarks
    assert "'validation' trains (2 videos), 'test' tests (2 videos)" in dataset.understood


def test_files_of_activitynet_begin_with_v_and_its_ids_do_not(wtalc: Path) -> None:
    np.save(wtalc / "videoname.npy", np.array(["v_-a", "v_v_b", "v_c", "v_d"]))
    np.save(wtalc / "subset.npy", np.array(["training", "validation", "validation", "validation"]))
    dataset = read_activitynet(wtalc, wtalc / "videos")
    assert [r.id for r in dataset.train] == ["-a"]
    assert [r.id for r in dataset.test] == ["v_b", "c", "d"]


@pytest.mark.parametrize(
    ("name", "array", "said"),
    [
        ("duration", np.ones(2), "got 4, 4, 2, 4, 4, 4 videos in videoname, subset, duration"),
        ("labels", objects(*[["Diving"]] * 4), "'video_1': got 1 labels for 2 segments"),
        (
            "labels",
            objects([1, 2], [3], [4], [5]),
            r"labels\.npy: is not in W-TALC's layout \(got 1 for a name\)",
        ),
        ("segments", objects([1.0, 2.0], [], [], []), r"segments\.npy: is not in W-TALC's layout"),
        ("segments", objects([[2.0, 1.0], [1, 2]], *[[[1, 2]]] * 3), "got segment 2 to 1 s"),
        ("labels_all", objects(["Dive"], [], [], []), "got label 'Dive', need one of the 20 classes"),
        ("videoname", np.array(["a", "a", "b", "c"]), "'a': is listed twice"),
        ("subset", np.array(["a", "b", "c", "d"]), "got no video with labels to train on"),
    ],
)
def test_a_wrong_file_of_wtalc_is_one_line(wtalc: Path, name: str, array: np.ndarray, said: str) -> None:
    np.save(wtalc / f"{name}.npy", array, allow_pickle=True)
    with pytest.raises(UserError, match=said) as caught:
        read_thumos14(wtalc, wtalc / "videos")
    assert str(wtalc) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_of_wtalc_is_named(wtalc: Path) -> None:
    (wtalc / "labels_all.npy").unlink()
    with pytest.raises(UserError, match=r"labels_all\.npy: there is no such file"):
        read_thumos14(wtalc, wtalc / "videos")


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real annotations are not here")
def test_the_real_annotations_of_wtalc_are_those_of_thumos14() -> None:
    theirs = read_thumos14(SHARED / "wtalc_annotations", Path("videos"), test_list="213")
    ours = read_thumos14(SHARED / "annotations/thumos14", Path("videos"), test_list="213")
    assert theirs.classes == CLASSES
    assert (len(theirs.train), len(theirs.test)) == (200, 212)
    segments = {r.id: {(s.label, s.start_s, s.end_s) for s in r.segments} for r in (*ours.train, *ours.test)}
    for record in (*theirs.train, *theirs.test):
        assert {(s.label, s.start_s, s.end_s) for s in record.segments} == segments[record.id]
    assert {r.id for r in ours.test} - {r.id for r in theirs.test} == {"video_test_0001292"}


def entry(subset: str, *labels: str, **more: Any) -> dict[str, Any]:
    annotations = [{"label": label, "segment": [1.0, 2.0], "label_id": 3} for label in labels]
    return {"subset": subset, "duration": 20.0, "annotations": annotations, **more}


@pytest.fixture
def basnet(tmp_path: Path) -> Path:
    database = {
        "a": entry("Validation", "Diving"),
        "b": entry("Test", "Diving", "Ambiguous"),
        "c": entry("Test", "Billiards"),
    }
    (tmp_path / "gt.json").write_text(json.dumps({"database": database}))
    (tmp_path / "split_train.txt").write_text("a\n")
    (tmp_path / "split_test.txt").write_text("b\r\n\n")
    return tmp_path


def test_the_lists_of_basnet_say_what_trains_and_what_tests(basnet: Path) -> None:
    dataset = read_thumos14(basnet, basnet / "videos")
    assert [r.id for r in dataset.train] == ["a"]
    assert [r.id for r in dataset.test] == ["b"]
    assert dataset.test[0].labels == ("Diving",)
    assert [s.label for s in dataset.test[0].ambiguous] == ["Ambiguous"]
    assert "the subset 'on neither list' is left out (1 video)." in dataset.remarks


def test_a_listed_video_that_gt_json_lacks_is_named(basnet: Path) -> None:
    (basnet / "split_test.txt").write_text("b\nx\ny\n")
    with pytest.raises(UserError, match=r"split_test\.txt: .*'x', 'y' are missing in .*gt\.json"):
        read_thumos14(basnet, basnet / "videos")


def test_opentad_and_actionformer_are_read_as_thumos14(tmp_path: Path) -> None:
    """OpenTAD calls the subsets training and validation, and tests on 211 videos."""
    names = {
        "video_validation_0000051": ("training", "Validation"),
        "video_test_0000004": ("validation", "Test"),
        "video_test_0000270": ("validation", "Test"),
        "video_test_0001292": ("validation", "Test"),
    }
    for number, project in enumerate(("opentad", "actionformer")):
        database = {name: entry(subsets[number], "Diving", frame=600) for name, subsets in names.items()}
        path = tmp_path / f"{project}.json"
        path.write_text(json.dumps({"database": database}))
        dataset = read_thumos14(path, tmp_path, test_list="211")
        assert [r.id for r in dataset.train] == ["video_validation_0000051"]
        assert [r.id for r in dataset.test] == ["video_test_0000004"]
        assert sum("is left out" in remark for remark in dataset.remarks) == 2


def test_frames_by_duration_are_the_frame_rate(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    database = {
        "a": entry("training", frame=599),
        "b": entry("training", frame=599, fps=25),
        "c": entry("training"),
    }
    path.write_text(json.dumps({"database": database}))
    assert [record.fps for record in detection_records(path)] == [599 / 20, 25.0, None]
    path.write_text(json.dumps({"database": {"a": entry("training", frame="many")}}))
    with pytest.raises(UserError, match="video 'a': frame: got 'many', need a number > 0"):
        list(detection_records(path))
