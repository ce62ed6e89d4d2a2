"""What subsets are called: which part trains, which tests, in words that a command prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from tsrnet.core.errors import UserError
from tsrnet.datasets.records import Segment, VideoRecord
from tsrnet.datasets.subsets import Parts, split_subsets

A_SECOND = (Segment(0, 1, "Run"),)


def parts_of(*subsets: str, unlabelled: str = "") -> Parts:
    return split_subsets(
        VideoRecord(str(i), name, None, () if name == unlabelled else ("Run",), A_SECOND)
        for i, name in enumerate(subsets)
    )


@pytest.mark.parametrize(
    ("subsets", "unlabelled", "trains", "tests", "left_out"),
    [
        (("training", "validation", "testing"), "testing", {"training"}, {"validation"}, {"testing"}),
        (("training", "validation"), "", {"training"}, {"validation"}, set()),
        (("validation", "test"), "", {"validation"}, {"test"}, set()),
        (("Validation", "Test"), "", {"Validation"}, {"Test"}, set()),
        (("train", "val", "test"), "", {"train"}, {"test"}, {"val"}),
        (("train", "training", "TEST"), "", {"train", "training"}, {"TEST"}, set()),
        (("validation", "testing"), "testing", {"validation"}, set(), {"testing"}),
        (("train", "other"), "", {"train"}, set(), {"other"}),
        (("test",), "", set(), {"test"}, set()),
    ],
)
def test_the_conventions_of_the_field(
    subsets: tuple[str, ...], unlabelled: str, trains: set[str], tests: set[str], left_out: set[str]
) -> None:
    parts = parts_of(*subsets, unlabelled=unlabelled)
    assert {record.subset for record in parts.train} == trains
    assert {record.subset for record in parts.test} == tests
    assert set(parts.left_out) == left_out


def test_what_was_understood_is_one_line() -> None:
    parts = parts_of("train", "train", "val", "test", "other")
    assert parts.understood == (
        "subsets: 'train' trains (2 videos), 'test' tests (1 video), 'val' is left out (1 video),"
        " 'other' is left out (1 video)"
    )
    assert parts.remarks == [
        "the subset 'val' is left out (1 video).",
        "the subset 'other' is left out (1 video).",
    ]


def test_test_videos_without_the_segments_of_the_others_are_listed() -> None:
    videos = [VideoRecord(name, "test", None, ("Run",), ()) for name in ("a", "b")]
    with_segments = VideoRecord("c", "test", None, ("Run",), A_SECOND)
    assert split_subsets([*videos, with_segments]).remarks == [
        "2 test videos with labels and no segments: 'a', 'b'."
    ]
    assert split_subsets(videos).remarks == [], "labels only, throughout"


def test_a_part_that_is_missing_is_named() -> None:
    with pytest.raises(UserError, match=r"x\.json: got no video with labels to train on .*'test' tests"):
        parts_of("test").check(Path("x.json"))
    alone = parts_of("train")
    with pytest.raises(UserError, match=r"none to test on .*holdout.*dataset=labels dataset\.labels=x\.json"):
        alone.check(Path("x.json"))
    assert alone.check(Path("x.json"), test=False) is alone
