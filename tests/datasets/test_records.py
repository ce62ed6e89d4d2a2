"""Annotation records: ActivityNet's layout, what is refused and what is only remarked, held-out videos."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tsrnet.core.errors import UserError
from tsrnet.datasets.activitynet_layout import read_activitynet_json
from tsrnet.datasets.records import Segment, VideoDataset, VideoRecord, classes_of


def entry(*segments: tuple[float, float], **changes: Any) -> dict[str, Any]:
    annotations = [{"label": "Squat", "segment": list(segment)} for segment in segments]
    return {"duration": 12.5, "subset": "training", "annotations": annotations, **changes}


def write(folder: Path, database: object) -> Path:
    path = folder / "annotations.json"
    path.write_text(json.dumps({"database": database}))
    return path


def test_records_hold_segments_in_seconds_and_labels_once(tmp_path: Path) -> None:
    annotations = [
        {"label": "Squat", "segment": [1, 2.5]},
        {"label": "Jump", "segment": [3, 4]},
        {"label": "Squat", "segment": [6, 7]},
    ]
    path = write(tmp_path, {"-x_1": entry(annotations=annotations, fps=29.97)})
    read = read_activitynet_json(path, classes=("Jump", "Squat"))
    (record,) = read.records
    assert (record.id, record.duration_s, record.fps) == ("-x_1", 12.5, 29.97)
    assert record.labels == ("Jump", "Squat")
    assert [segment.label for segment in record.segments] == ["Squat", "Jump", "Squat"]
    assert record.segments[0] == Segment(1.0, 2.5, "Squat")
    assert classes_of(read.records) == ("Jump", "Squat")
    assert read.remarks == ()


def test_ids_are_kept_as_they_are_and_testing_videos_need_no_annotations(tmp_path: Path) -> None:
    hidden = {"duration": 3, "subset": "testing"}
    records = read_activitynet_json(write(tmp_path, {"v_a": entry((0, 1)), "-b": hidden})).records
    assert [record.id for record in records] == ["v_a", "-b"]
    assert (records[1].labels, records[1].segments, records[1].fps) == ((), (), None)


def test_odd_segments_are_kept_and_remarked(tmp_path: Path) -> None:
    segments = ((1, 1), (2, 3), (2, 3), (2, 3), (12, 12.6), (13, 14), (0, 12.5))
    read = read_activitynet_json(write(tmp_path, {"odd": entry(*segments), "fine": entry((0, 1))}))
    assert [(s.start_s, s.end_s) for s in read.records[0].segments] == list(segments)
    assert read.remarks == (
        "video 'odd': segment 1 to 1 s of 'Squat' is empty.",
        "video 'odd': segment 2 to 3 s of 'Squat' is there 3 times.",
        "video 'odd': segment 12 to 12.6 s of 'Squat' ends after the video's 12.5 s.",
        "video 'odd': segment 13 to 14 s of 'Squat' begins after the video's 12.5 s.",
    )


@pytest.mark.parametrize(
    ("database", "message"),
    [
        ({"../a": entry()}, r"'\.\./a'.*without / .*rename"),
        ({"a\\b": entry()}, "without /"),
        ({".a": entry()}, "leading dot"),
        ({"": entry()}, "video id ''"),
        ({"a": entry((3, 2))}, "'a'.*segment 3 to 2 s.*start <= end"),
        ({"a": entry((-1, 2))}, "'a'.*segment -1 to 2 s.*0 <= start"),
        ({"a": entry((1, float("nan")))}, "'a'.*nan.*finite"),
        ({"a": entry((1, float("inf")))}, "'a'.*inf.*finite"),
        ({"a": entry(duration=0)}, "'a'.*duration 0.*above 0"),
        ({"a": entry(duration=float("inf"))}, "'a'.*duration inf.*above 0"),
        ({"a": entry(duration=float("nan"))}, "'a'.*duration nan.*above 0"),
        ({"a": entry(duration="long")}, "'a': duration: got 'long', need a number"),
        ({"a": entry(fps=0)}, "'a'.*fps 0.*above 0"),
        ({"a": {"duration": 1, "annotations": []}}, "'a': subset: got nothing"),
        ({"a": {"subset": "training", "duration": 1}}, "'a': annotations: got nothing"),
        ({"a": entry(annotations=[{"segment": [0, 1]}])}, "'a': annotations.0.label: got nothing"),
        (
            {"a": entry(annotations=[{"label": "Squat", "segment": None}])},
            "segment: got null, need a list of 2 numbers",
        ),
        (
            {"a": entry(annotations=[{"label": "Squat", "segment": "12"}])},
            "segment: got '12', need a list of 2 numbers",
        ),
        (
            {"a": entry(annotations=[{"label": None, "segment": [0, 1]}])},
            "label: got null, need a name in one line",
        ),
        ({"a": entry((1, 2, 3))}, r"got \[1, 2, 3\], need a list of 2"),  # type: ignore[arg-type]
        ({"a": []}, r"'a': got \[\], need a mapping"),
        ({"a": entry((1, 10**400))}, "a number of 401 digits"),
        ({"a": entry((1, True))}, "got True, need a"),
        ({"a": entry((1, "1_0"))}, "got '1_0', need a"),  # float() takes it for 10
        ({"a": entry(annotations=[{"label": "\ud800"}])}, "is not a JSON file.*surrogates"),
        ({"a": entry(annotations=[{"label": "a\nb"}])}, "label: got 'a\\\\nb', need a name in one line"),
        ({"a" * 251: entry()}, "video id 'aaa.*got 251 bytes, need at most 250"),
        ([], "need database"),
    ],
)
def test_what_is_wrong_with_a_video_is_named(tmp_path: Path, database: object, message: str) -> None:
    path = write(tmp_path, database)
    with pytest.raises(UserError, match=message) as caught:
        read_activitynet_json(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "\ufffe", "[" * 100_000])
def test_a_file_that_is_no_json_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"bad\.json: is not a JSON.*get it again"):
        read_activitynet_json(path)


@pytest.mark.parametrize("text", ["[]", "{}", "3", '{"database": 1}'])
def test_a_file_of_another_layout_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"bad\.json: is not in ActivityNet's layout; need database"):
        read_activitynet_json(path)


def test_missing_files_folders_and_bytes_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"missing\.json: there is no such.*put it there"):
        read_activitynet_json(tmp_path / "missing.json")
    with pytest.raises(UserError, match=r"cannot be read \(Is a directory"):
        read_activitynet_json(tmp_path)
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"bytes\.json: is not readable text"):
        read_activitynet_json(tmp_path / "bytes.json")


def test_an_id_that_is_listed_twice_is_named(tmp_path: Path) -> None:
    path = tmp_path / "twice.json"
    one = json.dumps(entry((0, 1)))
    path.write_text(f'{{"database": {{"a": {one}, "-b": {one}, "-b": {one}}}}}')
    with pytest.raises(UserError, match=r"twice\.json: '-b' is listed twice.*remove one"):
        read_activitynet_json(path)


def test_an_unknown_label_is_named_with_the_nearest_class(tmp_path: Path) -> None:
    path = write(tmp_path, {"a": entry((0, 1))})
    with pytest.raises(UserError, match=r"'a': got label 'Squat'.*2 classes; did you mean 'Squats'"):
        read_activitynet_json(path, classes=("Jump", "Squats"))


def test_files_are_where_they_were_found_or_mp4_in_the_folder() -> None:
    record = VideoRecord("c", "training", None, ("Run",), ())
    dataset = VideoDataset("x", ("Run",), (record,), (), Path("videos"), {"c": Path("clips/Run/c.avi")})
    assert dataset.path("c") == Path("clips/Run/c.avi")
    assert dataset.path("-d") == Path("videos/-d.mp4")
    with pytest.raises(UserError, match="without /"):
        dataset.path("../c")


def test_labels_without_segments_are_labels(tmp_path: Path) -> None:
    hop, run = {"label": "Hop"}, {"label": "Run", "segment": [1, 2]}
    database = {
        "bare": {"subset": "training", "annotations": [hop, {"label": "Hop"}, {"label": "Crawl"}]},
        "mixed": {"subset": "training", "duration": None, "annotations": [hop, run]},
    }
    read = read_activitynet_json(write(tmp_path, database))
    bare, mixed = read.records
    assert (bare.labels, bare.segments, bare.duration_s) == (("Crawl", "Hop"), (), None)
    assert (mixed.labels, mixed.segments) == (("Hop", "Run"), (Segment(1, 2, "Run"),))
    assert read.remarks == ("video 'mixed': no segment of its label 'Hop'.",)


def test_no_class_loses_its_last_training_video_and_segments_stay_where_wanted() -> None:
    segment = Segment(0, 1, "Run")
    runs = [VideoRecord(f"r{i}", "training", None, ("Run",), (segment,)) for i in range(8)]
    once = VideoRecord("h", "training", None, ("Hop", "Run"), ())
    whole = VideoDataset("x", ("Hop", "Run"), (once, *runs), (), Path())
    split = whole.held_out(0.99, segments=True)
    assert classes_of(split.train) == ("Hop", "Run")
    assert once in split.train
    assert {record.segments for record in split.test} == {(segment,)}
    assert {record.segments for record in whole.held_out(0.99).test} == {()}
    with pytest.raises(UserError, match=r"holdout: got 0.01 of 9 training videos.*each class keeps one"):
        whole.held_out(0.01)
