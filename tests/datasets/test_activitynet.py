"""ActivityNet 1.3: subsets, both forms of its annotations, and the real files where they lie."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from tsrnet.core.errors import UserError
from tsrnet.datasets.activitynet import read_activitynet

REAL = Path(__file__).parents[2].parent / "shared" / "data" / "annotations" / "activitynet"
needs_real_files = pytest.mark.skipif(not REAL.is_dir(), reason="the annotations of ActivityNet are not here")

DATABASE: dict[str, tuple[str, list[dict[str, object]]]] = {
    "-a": ("training", [{"label": "Mooping floor", "segment": [1, 5]}]),
    "v_b": ("validation", [{"label": "Archery", "segment": [0, 2]}]),
    "c": ("testing", []),
    "d": ("training", []),
    "e": ("validation", []),
}


def write_official(path: Path) -> Path:
    database = {
        video_id: {"duration": 9.5, "subset": subset, "annotations": annotations, "url": ""}
        for video_id, (subset, annotations) in DATABASE.items()
    }
    path.write_text(json.dumps({"version": "VERSION 1.3", "taxonomy": [], "database": database}))
    return path


def write_bsn(folder: Path) -> Path:
    entries: dict[str, Any] = {
        f"v_{video_id}": {"duration_second": 9.5, "duration_frame": 285, "annotations": annotations}
        for video_id, (_, annotations) in DATABASE.items()
    }
    (folder / "anet_anno_action.json").write_text(json.dumps(entries))
    with (folder / "video_info_new.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["video", "numFrame", "seconds", "fps", "rfps", "subset", "featureFrame"])
        writer.writerows([f"v_{i}", 285, 9.5, 30.0, 29.9, subset, 280] for i, (subset, _) in DATABASE.items())
    return folder


def test_training_and_validation_subsets_train_and_test(tmp_path: Path) -> None:
    dataset = read_activitynet(write_official(tmp_path / "any.json"), Path("videos"))
    assert dataset.name == "activitynet"
    assert dataset.classes == ("Archery", "Mooping floor")
    assert [record.id for record in dataset.train] == ["-a"]
    assert [record.id for record in dataset.test] == ["v_b", "e"]
    assert dataset.path("-a") == Path("videos/-a.mp4")
    assert dataset.remarks == (
        "video 'd': has no label and is left out of training.",
        "video 'e': has no label and is still tested.",
        "the subset 'testing' is left out (1 video).",
    )
    assert dataset.understood == (
        "subsets: 'training' trains (1 video), 'validation' tests (2 videos), 'testing' is left out (1 video)"
    )


def test_a_folder_may_hold_either_form_and_both_say_the_same(tmp_path: Path) -> None:
    bsn = read_activitynet(write_bsn(tmp_path), tmp_path)
    assert {record.fps for record in (*bsn.train, *bsn.test)} == {30.0}
    other = write_official(tmp_path / "activity_net.v1-3.rebuilt.min.json")
    official = read_activitynet(tmp_path, tmp_path)
    assert official.train[0].fps is None, "the JSON file comes first, and it holds no fps"
    for ours, theirs in zip((*bsn.train, *bsn.test), (*official.train, *official.test), strict=True):
        assert (ours.id, ours.labels, ours.segments) == (theirs.id, theirs.labels, theirs.segments)
        assert (ours.subset, ours.duration_s) == (theirs.subset, theirs.duration_s)
    write_official(tmp_path / "activity_net.v1-3.copy.json")
    with pytest.raises(UserError, match=rf"copy\.json, {other.name}, need one"):
        read_activitynet(tmp_path, tmp_path)
    write_official(tmp_path / "activity_net.v1-3.min.json")
    assert read_activitynet(tmp_path, tmp_path) == official


def test_what_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"need activity_net\.v1-3\.min\.json, or anet_anno_action\.json"):
        read_activitynet(tmp_path, tmp_path)
    with pytest.raises(UserError, match=r"no\.json: there is no such"):
        read_activitynet(tmp_path / "no.json", tmp_path)
    (tmp_path / "few.json").write_text('{"database": {}}')
    with pytest.raises(UserError, match=r"few\.json: got no video with labels to train on \(subsets: none\)"):
        read_activitynet(tmp_path / "few.json", tmp_path)
    write_bsn(tmp_path)
    (tmp_path / "video_info_new.csv").unlink()
    with pytest.raises(UserError, match=r"video_info_new\.csv: there is no such"):
        read_activitynet(tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("v_c,285,9.5,30.0,29.9,testing,280\r\n", "", r"video_info_new\.csv: 'v_c' is missing \(1 ids"),
        ("v_c,", "v_x,", r"video_info_new\.csv: 'v_c' is missing \(2 ids.*same release"),
        ("v_c,", "v_e,", r"video 'v_e': is listed twice; remove"),
        ("fps", "rate", "columns.*need each of fps once"),
        (",testing,", ",,", r"video_info_new\.csv, line 4: a value is missing"),
        ("30.0", "0", "'-a': got fps 0"),
    ],
)
def test_the_table_of_the_bsn_form_is_checked(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = write_bsn(tmp_path) / "video_info_new.csv"
    path.write_bytes(path.read_bytes().replace(old.encode(), new.encode()))
    with pytest.raises(UserError, match=message):
        read_activitynet(tmp_path, tmp_path)


@pytest.mark.parametrize(("text", "message"), [("[]", "got list"), ("{", "is not a JSON")])
def test_the_file_of_the_bsn_form_is_checked(tmp_path: Path, text: str, message: str) -> None:
    (write_bsn(tmp_path) / "anet_anno_action.json").write_text(text)
    with pytest.raises(UserError, match=message):
        read_activitynet(tmp_path, tmp_path)
    write_bsn(tmp_path)
    path = tmp_path / "anet_anno_action.json"
    path.write_text(path.read_text().replace('"label"', '"name"'))
    with pytest.raises(UserError, match=r"anet_anno_action\.json: video '-a'.*label"):
        read_activitynet(tmp_path, tmp_path)


def test_labels_only_are_enough_and_files_may_have_any_suffix(tmp_path: Path) -> None:
    path = write_official(tmp_path / "any.json")
    content = json.loads(path.read_text())
    for entry in content["database"].values():
        del entry["duration"]
        for annotation in entry["annotations"]:
            del annotation["segment"]
    path.write_text(json.dumps(content))
    for name in ("-a.webm", "v_b.mp4", "v_b.mkv", "v_e.mp4"):
        (tmp_path / name).touch()
    dataset = read_activitynet(path, tmp_path)
    assert [(r.id, r.labels, r.segments) for r in dataset.train] == [("-a", ("Mooping floor",), ())]
    assert dataset.classes == ("Archery", "Mooping floor")
    assert dataset.path("-a") == tmp_path / "-a.webm"
    assert dataset.path("v_b") == tmp_path / "v_b.mp4"
    assert dataset.path("e") == tmp_path / "v_e.mp4"


def test_a_training_part_alone_is_refused_with_the_way_out(tmp_path: Path) -> None:
    path = write_official(tmp_path / "any.json")
    path.write_text(path.read_text().replace("validation", "training"))
    with pytest.raises(
        UserError,
        match=r"got 2 videos to train on and none.*holdout.*dataset=labels dataset\.labels=.*any\.json",
    ):
        read_activitynet(path, tmp_path)


@needs_real_files
def test_the_real_files_hold_10024_and_4926_videos_of_200_classes() -> None:
    dataset = read_activitynet(REAL, Path("videos"))
    assert (len(dataset.train), len(dataset.test), len(dataset.classes)) == (10024, 4926, 200)
    assert sum(len(record.segments) for record in dataset.train) == 15410
    assert sum(len(record.segments) for record in dataset.test) == 7654
    ids = [record.id for record in (*dataset.train, *dataset.test)]
    assert sum(name.startswith("v_") for name in ids) <= 2
    for kind, count in (("is empty.", 12), (" times.", 24), ("after the video's", 231)):
        assert sum(kind in remark for remark in dataset.remarks) == count, kind
    assert dataset.remarks[-1] == "the subset 'testing' is left out (5,044 videos)."


@needs_real_files
def test_the_bsn_form_is_the_real_file_less_573_lost_videos(tmp_path: Path) -> None:
    for name in ("anet_anno_action.json", "video_info_new.csv"):
        (tmp_path / name).symlink_to(REAL / name)
    bsn, official = read_activitynet(tmp_path, tmp_path), read_activitynet(REAL, tmp_path)
    assert (len(bsn.train), len(bsn.test)) == (9649, 4728)
    assert bsn.classes == official.classes
    records = {record.id: record for record in (*official.train, *official.test)}
    assert len(records) - len(bsn.train) - len(bsn.test) == 573
    for ours in (*bsn.train, *bsn.test):
        theirs = records[ours.id]
        assert (ours.subset, ours.labels, ours.duration_s) == (
            theirs.subset,
            theirs.labels,
            theirs.duration_s,
        )
        assert ours.segments == theirs.segments
