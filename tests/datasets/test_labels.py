"""Labels only: tables as people write them, videos as they lie on disk, and every mistake in one line."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from tsrnet.core.errors import UserError
from tsrnet.datasets.labels import read_labels
from tsrnet.datasets.records import Segment, VideoDataset, classes_of

REAL = Path(__file__).parents[2].parent / "shared" / "data" / "real"
needs_real_files = pytest.mark.skipif(not REAL.is_dir(), reason="the real videos are not here")

FILES = ("a.mp4", "b.MKV", "c.avi", "d.mp4", "sub/e.webm", "sub/f.mov")
ROWS = ("a,Run", "b.MKV,Run", "c.mp4,Run", "d,Hop", "e,Hop", "sub/f.mov,Hop")
LABELS = {"a": "Run", "b": "Run", "c": "Run", "d": "Hop", "e": "Hop", "sub_f": "Hop"}


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    for name in FILES:
        path = tmp_path / "videos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "videos"


def read(videos: Path, text: str, *, suffix: str = ".csv", holdout: float = 0.34) -> VideoDataset:
    path = videos.parent / f"table{suffix}"
    path.write_bytes(text.encode())
    return read_labels(path, videos, holdout=holdout)


def labels_in(dataset: VideoDataset) -> dict[str, str]:
    return {record.id: "|".join(record.labels) for record in (*dataset.train, *dataset.test)}


@pytest.mark.parametrize(
    "header", [(), ("video,label",), ("\ufeffVideo,Label",)], ids=["none", "plain", "BOM"]
)
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["unix", "windows"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"], ids=["comma", "semicolon", "tab"])
def test_tables_of_any_spreadsheet_say_the_same(
    videos: Path, header: tuple[str, ...], end: str, delimiter: str
) -> None:
    text = end.join((*header, *ROWS, "")).replace(",", delimiter)
    dataset = read(videos, text)
    assert labels_in(dataset) == LABELS
    assert dataset.classes == ("Hop", "Run")
    assert dataset.remarks == ()
    assert [dataset.path(name) for name in LABELS] == [videos / name for name in FILES]


def test_a_share_of_each_class_is_held_out_whatever_the_order_of_the_rows(videos: Path) -> None:
    dataset = read(videos, "\n".join(ROWS))
    assert Counter(record.labels for record in dataset.test) == {("Hop",): 1, ("Run",): 1}
    assert read(videos, "\n".join(reversed(ROWS))).test == tuple(reversed(dataset.test))
    assert dataset.understood == "6 videos, no subsets; 2 are held out to test (holdout=0.34); 2 classes"
    with pytest.raises(
        UserError, match=r"holdout: got 0 of 6 training videos, which leaves none to train or"
    ):
        read(videos, "\n".join(ROWS), holdout=0)


def test_several_labels_are_more_rows_or_a_bar_and_commas_are_quoted(videos: Path) -> None:
    rows = ('a,"Run, fast"', "a.mp4,Hop", "b,Run | Hop", "sub/e.webm, Hop", "e,Run", *ROWS[2:4])
    labels = labels_in(read(videos, "\n".join(rows)))
    assert labels == {"a": "Hop|Run, fast", "b": "Hop|Run", "sub_e": "Hop|Run", "c": "Run", "d": "Hop"}


def test_a_column_of_subsets_and_a_header_in_another_order(videos: Path) -> None:
    rows = ["1,training,Run,a", "2,test,Run,b", "3,test,Hop,d", "4,training,Hop,e"]
    dataset = read(videos, "\n".join(["no,Split,Class,File", *rows]), suffix=".tsv")
    assert [record.id for record in dataset.train] == ["a", "e"]
    assert [record.id for record in dataset.test] == ["b", "d"]
    assert dataset.remarks[0] == "columns that are not read: 'no'."
    assert dataset.understood == "subsets: 'training' trains (2 videos), 'test' tests (2 videos); 2 classes"
    assert read(videos, "a,Run,train\nb,Run,val\nd,Hop,train\ne,Hop,val").test[0].id == "b"


def test_what_does_not_fit_together_is_counted_and_listed(videos: Path) -> None:
    rows = ("video,label", *ROWS[:5], "missing,run", "f,", "also missing.avi,Run")
    dataset = read(videos, "\n".join(rows))
    assert dataset.remarks == (
        "1 video without a label left out: 'f'.",
        f"2 videos with a label not in {videos}: 'missing', 'also missing'.",
        "labels that differ in spelling only are different classes: 'Run', 'run'.",
        "no video to test on for the classes 'Hop', 'run'.",
    )
    assert "missing" in labels_in(dataset), "there may be features of it"
    remarks = read(videos, "\n".join(ROWS[:5])).remarks
    assert remarks[0] == f"1 video without a label in {videos} left out: 'sub/f.mov'."


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("", "no row with two columns; need video,label"),
        ("a\nb\nc", "no row with two columns; need video,label"),
        ("video,label", "no rows below the header 'video', 'label'"),
        ("clip name,label\na,Run\nd,Hop", "line 1: got the header 'clip name', 'label'; need video,label"),
        (
            "Name of it,What\na,Run\nb,Run\nd,Hop",
            r"line 1: got 'Name of it', which is not a video.*is a header",
        ),
        (
            "a,Run\nb,Run,test,4\nd,Hop",
            r"line 2: got 'b', 'Run', 'test', '4'; need .*quote names with commas",
        ),
        ("video,label\na,Run\nb,Run,fast\nd,Hop", "line 3: got 'b', 'Run', 'fast'; need"),
        ("a,Run\n,Run\nd,Hop", "line 2: got no video in '', 'Run'"),
        ("a,Run|\nd,Hop", r"line 1: got label 'Run\|', need labels separated by \|"),
        ('"a,Run\nd,Hop', "line 1: unexpected end of data; close the quotes"),
        ("a,Run,train\nd,Hop,tset", "line 2: got subset 'tset', need one of train, training"),
        ("a,Run,train\nd,Hop", "line 2: got subset ''"),
        ("a,Run,train\nd,Hop,test\na.mp4,Hop,test", "video 'a': is in the subsets 'test', 'train', need one"),
        ("a,Run,test\nd,Hop,test", "no video with labels to train on"),
        ("a,Run\nb,Run", "got only the class 'Run', need at least two"),
        ("a,\nb,\nc,Run\n", "got only the class 'Run'"),
        ("a,Run|Hop|Jump", "got 1 video of 3 classes.*swapped"),
        ("Run,a\nHop,d\nRun,b\nHop,e\nHop,c", "got 2 videos of 5 classes.*columns video and label swapped"),
        ("../a,Run\nd,Hop", r"got the video '\.\./a', need an id, a file name or a path inside the folder"),
        ("/tmp/a.mp4,Run\nd,Hop", "got the video '/tmp/a.mp4', need an id"),
        (".a,Run\nd,Hop", "got the video '.a', need an id"),
        (
            "x,Run\ny,Hop\nz,Hop",
            r"videos: got 'a\.mp4', 'b\.MKV', 'c\.avi' and 3 more, need the labelled.*'x'",
        ),
        ("sub_f,Run\nsub/f.mov,Run\nd,Hop", "'sub_f' and '.*f.mov', which would both have the id 'sub_f'"),
    ],
)
def test_mistakes_are_one_line(videos: Path, rows: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        read(videos, rows)
    assert "\n" not in str(caught.value)


def test_files_of_one_stem_are_told_apart_by_their_suffix(videos: Path) -> None:
    (videos / "a.avi").touch()
    with pytest.raises(UserError, match=r"got 'a\.avi', 'a\.mp4' for the video 'a', need one file"):
        read(videos, "\n".join(ROWS))
    dataset = read(videos, "\n".join(("a.mp4,Run", *ROWS[1:])))
    assert dataset.path("a") == videos / "a.mp4"
    assert dataset.remarks == (f"1 video without a label in {videos} left out: 'a.avi'.",)
    with pytest.raises(UserError, match=r"a\.mp4' and '.*a\.avi', which would both have the id 'a'"):
        read(videos, "\n".join(("a.mp4,Run", "a.avi,Hop", *ROWS[1:])))


def test_names_may_begin_with_the_folder_and_have_backslashes(videos: Path) -> None:
    rows = (f"{videos}/a.mp4,Run", r"sub\e.webm,Hop", "./b.mkv,Run", *ROWS[2:4])
    assert labels_in(read(videos, "\n".join(rows))) == {
        "a": "Run",
        "sub_e": "Hop",
        "b": "Run",
        "c": "Run",
        "d": "Hop",
    }


def test_an_empty_folder_is_said_and_none_is_allowed(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("\n".join(ROWS))
    nowhere = read_labels(path, tmp_path / "nowhere")
    assert (
        nowhere.remarks[0]
        == f"{tmp_path}/nowhere: there is no such folder; only videos with features can be used."
    )
    assert nowhere.path("a") == tmp_path / "nowhere" / "a.mp4"
    assert read_labels(path, None).remarks == nowhere.remarks[1:]


def test_bytes_that_are_no_text_ask_for_utf8(videos: Path) -> None:
    path = videos.parent / "table.csv"
    path.write_bytes("a,Läufe\n".encode("cp1252"))
    with pytest.raises(UserError, match=r"table\.csv: is not readable text.*save it as CSV UTF-8"):
        read_labels(path, videos)


def write_json(videos: Path, **entries: dict[str, object]) -> Path:
    path = videos.parent / "labels.json"
    path.write_text(json.dumps({"database": entries}))
    return path


def test_json_without_subsets_durations_and_segments(videos: Path) -> None:
    names = {"a": "Run", "b": "Run", "c": "Run", "d": "Hop", "e": "Hop", "sub/f.mov": "Hop"}
    path = write_json(videos, **{name: {"annotations": [{"label": label}]} for name, label in names.items()})
    table = read(videos, "\n".join(ROWS))
    assert read_labels(path, videos, holdout=0.34) == table


def test_json_keeps_segments_of_test_videos(videos: Path) -> None:
    def entry(subset: str, label: str) -> dict[str, object]:
        return {"subset": subset, "annotations": [{"label": label, "segment": [1, 2]}]}

    path = write_json(videos, a=entry("train", "Run"), d=entry("train", "Hop"), b=entry("val", "Run"))
    (test,) = read_labels(path, videos).test
    assert test.segments == (Segment(1, 2, "Run"),)
    alone = write_json(videos, **{name: entry("training", label) for name, label in LABELS.items()})
    held_out = read_labels(alone, videos, holdout=0.34).test
    assert [len(record.segments) for record in held_out] == [1, 1]
    with pytest.raises(UserError, match=r"labels\.json: video 'b': subset: got nothing"):
        read_labels(write_json(videos, a=entry("train", "Run"), b={"annotations": []}), videos)


@needs_real_files
def test_the_real_table_and_its_videos() -> None:
    dataset = read_labels(REAL / "labels.csv", REAL / "untrimmed")
    assert (len(dataset.train), len(dataset.test), len(dataset.classes)) == (54, 18, 12)
    assert classes_of(dataset.train) == dataset.classes
    assert all(dataset.path(record.id).is_file() for record in (*dataset.train, *dataset.test))
    (remark,) = dataset.remarks
    assert remark.startswith("60 videos without a label in ")


@needs_real_files
def test_the_real_annotations_without_their_segments(tmp_path: Path) -> None:
    content = json.loads((REAL / "annotations.json").read_text())
    for entry in content["database"].values():
        del entry["duration"]
        for annotation in entry["annotations"]:
            del annotation["segment"]
    (tmp_path / "labels.json").write_text(json.dumps(content))
    bare = read_labels(tmp_path / "labels.json", REAL / "untrimmed")
    whole = read_labels(REAL / "annotations.json", REAL / "untrimmed")
    assert bare.understood == whole.understood
    assert "'training' trains (72 videos), 'validation' tests (60 videos)" in bare.understood
    for ours, theirs in zip((*bare.train, *bare.test), (*whole.train, *whole.test), strict=True):
        assert (ours.id, ours.labels, ours.segments) == (theirs.id, theirs.labels, ())
    assert all(record.segments for record in whole.test)
