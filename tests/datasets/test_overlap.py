"""Lists of classes that show the same action in two datasets."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tsrnet.core.errors import UserError
from tsrnet.datasets.activitynet import read_activitynet
from tsrnet.datasets.overlap import read_overlap, shipped_overlap
from tsrnet.datasets.thumos14 import CLASSES
from tsrnet.datasets.ucf101 import read_ucf101

REAL = Path(__file__).parents[2].parent / "shared" / "data" / "annotations"
UNTRIMMED, TRIMMED = ("Mooping floor", "Tai chi", "Rafting"), ("MoppingFloor", "TaiChi")


def read(folder: Path, text: str) -> dict[str, str]:
    path = folder / "overlap.csv"
    path.write_text(text)
    return read_overlap(path, classes=UNTRIMMED, trimmed_classes=TRIMMED)


@pytest.mark.parametrize(
    "text",
    [
        "untrimmed,trimmed\nTai chi,TaiChi\nMooping floor,MoppingFloor\n",
        'rank,activitynet_label,ucf101_label,reason\n1,Tai chi,TaiChi,"a, b"\n2,Mooping floor,MoppingFloor,c',
    ],
)
def test_pairs_are_read_from_either_header(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == {"Tai chi": "TaiChi", "Mooping floor": "MoppingFloor"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("untrimmed,trimmed\nMopping floor,MoppingFloor\n", "'Mopping floor', .*mean 'Mooping floor'"),
        ("untrimmed,trimmed\nTai chi,Taichi\n", "label 'Taichi', .*mean 'TaiChi'"),
        ("untrimmed,trimmed\nTai chi,TaiChi\nTai chi,TaiChi\n", "'Tai chi' is listed twice.*remove"),
        ("untrimmed,trimmed\n", "contains no pairs; need"),
        ("untrimmed,trimmed\nTai chi,\n", "line 2: a value is missing"),
        ("untrimmed\nTai chi\n", "need each of trimmed once"),
        ("", "need each of untrimmed, trimmed once"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=rf"overlap\.csv.*{message}"):
        read(tmp_path, text)


def test_the_shipped_lists_hold_30_and_20_pairs() -> None:
    for name, count in (("activitynet", 30), ("thumos14", 20)):
        path = shipped_overlap(name)
        assert path is not None
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        pairs = {row["untrimmed"]: row["trimmed"] for row in rows}
        assert len(rows) == len(pairs) == len(set(pairs.values())) == count
    assert tuple(sorted(pairs)) == CLASSES
    assert shipped_overlap("my_pairs.csv") is None


@pytest.mark.skipif(not REAL.is_dir(), reason="the annotations are not here")
def test_the_shipped_labels_are_those_of_the_real_files() -> None:
    trimmed = read_ucf101(REAL / "ucf101", Path("videos"))
    untrimmed = {"activitynet": read_activitynet(REAL / "activitynet", Path("videos")).classes}
    for name, classes in {**untrimmed, "thumos14": CLASSES}.items():
        path = shipped_overlap(name)
        assert path is not None
        pairs = read_overlap(path, classes=classes, trimmed_classes=trimmed.classes)
        shared = read_ucf101(REAL / "ucf101", Path("videos"), classes=tuple(pairs.values()))
        assert set(shared.classes) == set(pairs.values())
    user = read_overlap(
        REAL / "overlap30.csv", classes=untrimmed["activitynet"], trimmed_classes=trimmed.classes
    )
    assert len(user) == 30
