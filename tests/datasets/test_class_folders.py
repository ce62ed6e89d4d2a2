"""Trimmed clips in one folder a class, and classes of the same name."""

from __future__ import annotations

from pathlib import Path

import pytest

from tsrnet.core.errors import UserError
from tsrnet.datasets.class_folders import match_classes, match_remarks, read_class_folders

REAL = Path(__file__).parents[2].parent / "shared" / "data" / "real" / "trimmed"


def make(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_clips_have_the_class_of_their_folder_and_an_id_of_both_names(tmp_path: Path) -> None:
    folder = make(tmp_path, "Hop/1.mp4", "Hop/2.AVI", "push up/1.webm", "push up/notes.txt", "Hop/._1.mp4")
    dataset = read_class_folders(folder)
    assert {record.id: record.labels for record in dataset.train} == {
        "Hop_1": ("Hop",),
        "Hop_2": ("Hop",),
        "push up_1": ("push up",),
    }
    assert (dataset.classes, dataset.test, dataset.remarks) == (("Hop", "push up"), (), ())
    assert dataset.path("push up_1") == folder / "push up/1.webm"
    assert dataset.understood == "3 clips of 2 classes"


def test_what_is_left_out_is_listed(tmp_path: Path) -> None:
    folder = make(tmp_path, "Hop/1.mp4", "Run/1.mp4", "Swim/readme.txt", "stray.mp4", ".hidden/1.mp4")
    assert read_class_folders(folder).remarks == (
        "1 folder without clips left out: 'Swim'.",
        "1 video outside of a class folder left out: 'stray.mp4'.",
    )


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "0 clips of 0 classes, need at least two"),
        (("a.mp4", "b.mp4"), "0 clips of 0 classes"),
        (("Hop/1.mp4", "Hop/2.mp4"), "2 clips of 1 classes"),
        (
            ("Hop/1.mp4", "Hop/1.avi", "Run/1.mp4"),
            "'Hop/1.avi', 'Hop/1.mp4', which would both have the id 'Hop_1'",
        ),
        (("a/b_c.mp4", "a_b/c.mp4"), "both have the id 'a_b_c'; rename"),
    ],
)
def test_folders_that_cannot_be_used_are_named(tmp_path: Path, names: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_class_folders(make(tmp_path, *names))


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere: there is no such folder of clips"):
        read_class_folders(tmp_path / "nowhere")


def test_classes_are_matched_but_for_case_spaces_underscores_and_hyphens() -> None:
    untrimmed, trimmed = ("Push up", "tai-chi", "Run", "Surfing"), ("PushUp", "Tai_Chi", "Run", "Knitting")
    pairs = match_classes(untrimmed, trimmed)
    assert pairs == {"Push up": "PushUp", "tai-chi": "Tai_Chi", "Run": "Run"}
    assert match_remarks(pairs, untrimmed, trimmed) == (
        "2 classes matched by a different spelling: 'Push up = PushUp', 'tai-chi = Tai_Chi'.",
        "1 class without trimmed clips, so without transfer: 'Surfing'.",
        "1 class of the trimmed clips that no untrimmed video has: 'Knitting'.",
    )
    assert match_remarks({"Run": "Run"}, ("Run",), ("Run",)) == ()


@pytest.mark.parametrize(
    ("untrimmed", "trimmed", "message"),
    [
        (("Push up",), ("PushUp", "push_up"), "'PushUp', 'push_up' could be 'Push up'; rename"),
        (("Push up", "push-up"), ("PushUp",), "'PushUp' could be 'Push up', 'push-up'"),
        (("Run",), ("Hop",), "got 'Hop', need some of 'Run'"),
    ],
)
def test_matches_that_cannot_be_decided_are_a_mistake(
    untrimmed: tuple[str, ...], trimmed: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        match_classes(untrimmed, trimmed)


def test_two_spellings_on_one_side_alone_are_two_classes() -> None:
    assert match_classes(("Run", "Hop", "hop"), ("run",)) == {"Run": "run"}


@pytest.mark.skipif(not REAL.is_dir(), reason="the real clips are not here")
def test_the_real_clips() -> None:
    dataset = read_class_folders(REAL)
    assert (len(dataset.train), len(dataset.classes), dataset.remarks) == (157, 12, ())
    assert all(dataset.path(record.id).is_file() for record in dataset.train)
