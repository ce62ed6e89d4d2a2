"""THUMOS14: official text files or JSON, test lists, Ambiguous segments, labels of the meta files."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from tsrnet.core.errors import UserError
from tsrnet.datasets.records import Segment
from tsrnet.datasets.thumos14 import CLASSES, read_thumos14

REAL = Path(__file__).parents[2].parent / "shared" / "data" / "annotations" / "thumos14"
needs_real_files = pytest.mark.skipif(not REAL.is_dir(), reason="the annotations of THUMOS14 are not here")

# label, seconds; 60 s at 25 fps each
VIDEOS: dict[str, list[tuple[str, float, float]]] = {
    "video_validation_0000007": [("Diving", 1.5, 4), ("CliffDiving", 1.5, 4), ("Ambiguous", 9, 10)],
    "video_validation_0000008": [("Ambiguous", 0, 2)],
    "video_test_0000004": [("GolfSwing", 3, 5)],
    "video_test_0000270": [("HammerThrow", 700, 713)],
    "video_test_0001292": [("Ambiguous", 3, 5)],
    "video_test_0001496": [("CricketShot", 3, 5)],
}


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    for subset, ending, table in (("validation", "val", "valid"), ("test", "test", "test")):
        folder = tmp_path / f"TH14_Temporal_annotations_{subset}" / "annotation"
        folder.mkdir(parents=True)
        names = [name for name in VIDEOS if subset in name]
        for label in (*CLASSES, "Ambiguous"):
            (folder / f"{label}_{ending}.txt").write_text(
                "".join(
                    f"{name}  {start_s} {end_s}\n"
                    for name in names
                    for found, start_s, end_s in VIDEOS[name]
                    if found == label
                )
            )
        lines = [f"{name}.mp4,60.0,25,1500" for name in names]
        header = "filename,video-duration,fps,video-frames"
        (tmp_path / f"thumos14_{table}_metadata.csv").write_text("\n".join([header, *lines]) + "\n")
    return tmp_path


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    database = {
        name: {
            "duration": 60.0,
            "fps": 25.0,
            "subset": name.split("_")[1],
            "annotations": [{"label": label, "segment": times} for label, *times in VIDEOS[name]],
        }
        for name in VIDEOS
    }
    path = tmp_path / "thumos14.json"
    path.write_text(json.dumps({"database": database}))
    return path


def test_ambiguous_segments_stay_apart_and_are_no_labels(texts: Path) -> None:
    dataset = read_thumos14(texts, Path("videos"))
    assert (dataset.name, dataset.classes) == ("thumos14", CLASSES)
    (record,) = dataset.train
    assert (record.id, record.duration_s, record.fps) == ("video_validation_0000007", 60.0, 25.0)
    assert record.labels == ("CliffDiving", "Diving")
    assert set(record.segments) == {Segment(1.5, 4, "Diving"), Segment(1.5, 4, "CliffDiving")}
    assert record.ambiguous == (Segment(9, 10, "Ambiguous"),)
    assert "video 'video_validation_0000008': has no label and is left out of training." in dataset.remarks


def test_the_json_form_says_the_same(texts: Path, layout: Path) -> None:
    ours, theirs = read_thumos14(texts, Path()), read_thumos14(layout, Path())
    assert ours.test == theirs.test
    assert ours.train[0].ambiguous == theirs.train[0].ambiguous
    assert set(ours.train[0].segments) == set(theirs.train[0].segments)
    assert set(ours.remarks) == set(theirs.remarks)


@pytest.mark.parametrize(
    ("test_list", "left_out"),
    [
        ("213", set()),
        ("212", {"0001292"}),
        ("211", {"0000270", "0001292"}),
        ("210", {"0000270", "0001292", "0001496"}),
    ],
)
def test_a_test_list_leaves_out_its_videos_and_says_why(
    layout: Path, test_list: str, left_out: set[str]
) -> None:
    dataset = read_thumos14(layout, Path(), test_list=test_list)
    kept = {record.id.removeprefix("video_test_") for record in dataset.test}
    assert kept == {"0000004", "0000270", "0001292", "0001496"} - left_out
    for number in left_out:
        assert any(f"video_test_{number}': is left out, " in remark for remark in dataset.remarks)
    assert f"{len(kept)} of the {test_list} videos of the test list are annotated." in dataset.remarks
    untold = [remark for remark in dataset.remarks if "still tested" in remark]
    assert len(untold) == (test_list == "213"), "1292 has no class"


def test_settings_that_do_not_exist_are_named(layout: Path) -> None:
    with pytest.raises(UserError, match=r"test_list: got '200', need one of 213, 212, 211, 210"):
        read_thumos14(layout, Path(), test_list="200")
    with pytest.raises(UserError, match=r"weak_labels: got 'video', need temporal or meta"):
        read_thumos14(layout, Path(), weak_labels="video")


@pytest.mark.parametrize(
    "name",
    [
        "thumos14_valid_metadata.csv",
        "thumos14_test_metadata.csv",
        "TH14_Temporal_annotations_validation/annotation/Diving_val.txt",
        "TH14_Temporal_annotations_test/annotation/Ambiguous_test.txt",
    ],
)
def test_a_missing_file_is_named(texts: Path, name: str) -> None:
    (texts / name).unlink()
    with pytest.raises(UserError, match=f"{name}: there is no such.*put it there"):
        read_thumos14(texts, Path())


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("annotation/Diving_val.txt", "video_validation_0000007 5 4\n", "0000007'.*5 to 4 s.*start <= end"),
        ("annotation/Diving_val.txt", "video_validation_0000007 nan 4\n", "0000007'.*nan.*finite"),
        ("annotation/Diving_val.txt", "\nvideo_validation_0000007 5\n", "line 2: .*need: video start end"),
        ("annotation/Diving_val.txt", "video_validation_0000007 a b\n", "line 1: .*need: video start end"),
        ("annotation/Divin_val.txt", "", r"Divin_val\.txt: got label 'Divin'.*did you mean 'Diving'"),
        ("annotation/Diving_val.txt", "video_validation_0000009 1 4\n", "0000009': its duration.*add a line"),
    ],
)
def test_a_malformed_text_file_is_named(texts: Path, name: str, text: str, message: str) -> None:
    (texts / "TH14_Temporal_annotations_validation" / name).write_text(text)
    with pytest.raises(UserError, match=message):
        read_thumos14(texts, Path())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("60.0", "long", "0000007': could not convert.*need filename, video-duration, fps"),
        ("60.0", "0", "0000007': got duration 0"),
        ("0000008", "0000007", "0000007': is listed twice"),
        ("video-duration", "seconds", r"need each of video-duration once"),
    ],
)
def test_a_malformed_table_is_named(texts: Path, old: str, new: str, message: str) -> None:
    path = texts / "thumos14_valid_metadata.csv"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(UserError, match=message):
        read_thumos14(texts, Path())


def test_a_json_with_other_labels_or_one_subset_is_named(layout: Path) -> None:
    text = layout.read_text()
    layout.write_text(text.replace("GolfSwing", "Golf swing"))
    with pytest.raises(UserError, match=r"0000004': got label 'Golf swing'.*did you mean 'GolfSwing'"):
        read_thumos14(layout, Path())
    layout.write_text(text.replace('"subset": "test"', '"subset": "background"'))
    with pytest.raises(
        UserError, match=r"got 1 video to train on and none to test on.*'background' is left out"
    ):
        read_thumos14(layout, Path())


@pytest.mark.parametrize(
    "names", [("training", "validation"), ("Validation", "Test"), ("val", "test"), ("train", "val")]
)
def test_subsets_may_have_the_names_of_other_projects(layout: Path, names: tuple[str, str]) -> None:
    ours = read_thumos14(layout, Path())
    content = json.loads(layout.read_text())
    for entry in content["database"].values():
        entry["subset"] = names[entry["subset"] == "test"]
    layout.write_text(json.dumps(content))
    theirs = read_thumos14(layout, Path())
    for side in ("train", "test"):
        assert [r.id for r in getattr(theirs, side)] == [r.id for r in getattr(ours, side)]
    assert theirs.understood == f"subsets: {names[0]!r} trains (1 video), {names[1]!r} tests (1 video)"


def test_labels_without_segments_train_and_ambiguous_is_no_label(layout: Path) -> None:
    content = json.loads(layout.read_text())
    for entry in content["database"].values():
        for annotation in entry["annotations"]:
            del annotation["segment"]
    layout.write_text(json.dumps(content))
    dataset = read_thumos14(layout, Path())
    assert [(r.labels, r.segments) for r in dataset.train] == [(("CliffDiving", "Diving"), ())]
    assert [(r.id, r.labels) for r in dataset.test] == [("video_test_0000004", ("GolfSwing",))]


def write_meta(folder: Path) -> None:
    io = pytest.importorskip("scipy.io")
    fields = [("video_name", object), ("primary_action", object), ("secondary_actions", object)]
    several, none = np.array(["Haircut", "Diving"], object), np.array([])
    for name, variable, rows in (
        (
            "validation_set.mat",
            "validation_videos",
            [
                ("video_validation_0000007", "CliffDiving", several),
                ("video_validation_0000008", "Punch", none),
            ],
        ),
        (
            "test_set_meta.mat",
            "test_videos",
            [
                ("video_test_0000004", "GolfSwing", "FrisbeeCatch"),
                ("video_test_0000270", "Haircut", none),
                ("video_test_0001292", "GolfSwing", none),
                ("video_test_0001496", "FrisbeeCatch", none),
            ],
        ),
    ):
        io.savemat(folder / name, {variable: np.array(rows, dtype=fields)})


def test_meta_labels_are_those_of_the_20_classes_and_differences_are_remarked(texts: Path) -> None:
    write_meta(texts)
    dataset = read_thumos14(texts, Path(), weak_labels="meta", test_list="213")
    assert [record.labels for record in dataset.train] == [("CliffDiving", "Diving")]
    labels = {record.id[-4:]: record.labels for record in dataset.test}
    assert labels == {
        "0004": ("FrisbeeCatch", "GolfSwing"),
        "0270": (),
        "1292": ("GolfSwing",),
        "1496": ("FrisbeeCatch",),
    }
    remarks = [remark for remark in dataset.remarks if "test_set_meta.mat says" in remark]
    assert len(remarks) == 4
    assert "video 'video_test_0001292': test_set_meta.mat says GolfSwing, its segments no class." in remarks
    assert "video 'video_test_0000270': has no label and is still tested." in dataset.remarks


def test_meta_files_that_lack_or_are_wrong_are_named(texts: Path) -> None:
    write_meta(texts)
    meta = texts / "validation_set.mat"
    io = pytest.importorskip("scipy.io")
    io.savemat(meta, {"validation_videos": np.zeros(3)})
    with pytest.raises(UserError, match=r"validation_set\.mat: is not THUMOS14's file.*get it again"):
        read_thumos14(texts, Path(), weak_labels="meta")
    meta.write_bytes(b"no matrix")
    with pytest.raises(UserError, match=r"validation_set\.mat: is not THUMOS14's file.*get it again"):
        read_thumos14(texts, Path(), weak_labels="meta")
    meta.unlink()
    with pytest.raises(UserError, match=r"validation_set\.mat: there is no such file.*weak_labels=temporal"):
        read_thumos14(texts, Path(), weak_labels="meta")


def test_scipy_is_asked_for_only_with_meta_labels(texts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    assert read_thumos14(texts, Path()).train
    with pytest.raises(UserError, match=r"validation_set\.mat: .*pip install 'tsrnet\[thumos\]"):
        read_thumos14(texts, Path(), weak_labels="meta")


@needs_real_files
@pytest.mark.parametrize("test_list", ["213", "212", "211", "210"])
def test_the_real_files_agree_with_the_real_json(test_list: str) -> None:
    texts = read_thumos14(REAL, Path(), test_list=test_list)
    layout = read_thumos14(REAL / "thumos14.activitynet_format.json", Path(), test_list=test_list)
    assert (len(texts.train), len(texts.test)) == (200, int(test_list))
    by_id = {record.id: record for record in (*layout.train, *layout.test)}
    assert len(by_id) == 200 + int(test_list)
    for ours in (*texts.train, *texts.test):
        theirs = by_id[ours.id]
        assert ours.labels == theirs.labels
        assert sorted(map(repr, ours.segments)) == sorted(map(repr, theirs.segments))
        assert sorted(map(repr, ours.ambiguous)) == sorted(map(repr, theirs.ambiguous))


@needs_real_files
def test_the_real_files_hold_3007_and_3358_segments() -> None:
    dataset = read_thumos14(REAL, Path(), test_list="213")
    for records, segments, ambiguous in ((dataset.train, 3007, 89), (dataset.test, 3358, 99)):
        assert sum(len(record.segments) for record in records) == segments
        assert sum(len(record.ambiguous) for record in records) == ambiguous
    assert sum("after the video's" in remark for remark in dataset.remarks) == 30


@needs_real_files
def test_only_the_real_json_tells_the_frame_rates_apart() -> None:
    def rates(path: Path) -> set[float]:
        dataset = read_thumos14(path, Path())
        return {round(record.fps or 0, 2) for record in (*dataset.train, *dataset.test)}

    assert rates(REAL / "thumos14.activitynet_format.json") == {24, 25, 29.97, 30}
    assert rates(REAL) == {30}, "the tables tell the rate of copies at 30 fps"


@needs_real_files
def test_the_real_meta_files_differ_in_29_videos() -> None:
    pytest.importorskip("scipy.io")
    dataset = read_thumos14(REAL, Path(), test_list="213", weak_labels="meta")
    assert sum(".mat says" in remark for remark in dataset.remarks) == 29
    assert all(record.labels for record in dataset.train)
    assert [record.id for record in dataset.test if not record.labels] == ["video_test_0000270"]
