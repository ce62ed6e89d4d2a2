"""UCF101: classes come from the folders, splits from the official lists."""

from __future__ import annotations

from pathlib import Path

import pytest

from tsrnet.core.errors import UserError
from tsrnet.datasets.ucf101 import read_ucf101

REAL = Path(__file__).parents[2].parent / "shared" / "data" / "annotations" / "ucf101"
FILES = {
    "classInd.txt": ["1 Archery", "2 HandstandPushups", "3 YoYo"],
    "trainlist01.txt": [
        "Archery/v_Archery_g08_c01.avi 1",
        "HandstandPushups/v_HandStandPushups_g08_c01.avi 2",
        "YoYo/v_YoYo_g08_c01.avi 3",
    ],
    "testlist01.txt": [
        "Archery/v_Archery_g01_c01.avi",
        "HandstandPushups/v_HandStandPushups_g01_c01.avi",
        "YoYo/v_YoYo_g01_c01.avi",
    ],
}


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    for name, lines in FILES.items():
        (tmp_path / name).write_bytes("".join(f"{line}\r\n" for line in lines).encode())
    return tmp_path


def test_clips_have_the_class_of_their_folder(lists: Path) -> None:
    dataset = read_ucf101(lists, Path("videos"))
    assert (dataset.name, dataset.classes) == ("ucf101", ("Archery", "HandstandPushups", "YoYo"))
    clip = dataset.train[1]
    assert (clip.id, clip.labels) == ("v_HandStandPushups_g08_c01", ("HandstandPushups",))
    assert (clip.duration_s, clip.segments) == (None, ())
    assert [record.id for record in dataset.test] == [
        "v_Archery_g01_c01",
        "v_HandStandPushups_g01_c01",
        "v_YoYo_g01_c01",
    ]
    assert dataset.path(clip.id) == Path("videos/HandstandPushups/v_HandStandPushups_g08_c01.avi")
    assert dataset.remarks == ()


def test_a_clip_is_found_whatever_its_suffix_and_that_of_the_list(lists: Path) -> None:
    videos = lists / "videos"
    for clip in ("Archery/v_Archery_g08_c01.mp4", "YoYo/v_YoYo_g08_c01.avi", "YoYo/v_YoYo_g01_c01.MKV"):
        (videos / clip).parent.mkdir(parents=True, exist_ok=True)
        (videos / clip).touch()
    path = lists / "trainlist01.txt"
    path.write_text(path.read_text().replace("v_YoYo_g08_c01.avi", "v_YoYo_g08_c01.mp4"))
    dataset = read_ucf101(lists, videos)
    assert dataset.path("v_Archery_g08_c01") == videos / "Archery/v_Archery_g08_c01.mp4"
    assert dataset.path("v_YoYo_g08_c01") == videos / "YoYo/v_YoYo_g08_c01.avi"
    assert dataset.path("v_YoYo_g01_c01") == videos / "YoYo/v_YoYo_g01_c01.MKV"
    assert dataset.path("v_Archery_g01_c01") == videos / "Archery/v_Archery_g01_c01.avi", "not there"


def test_only_the_chosen_classes_are_kept(lists: Path) -> None:
    dataset = read_ucf101(lists, Path("videos"), classes=["YoYo", "Archery"])
    assert dataset.classes == ("Archery", "YoYo")
    assert {record.labels[0] for record in (*dataset.train, *dataset.test)} == {"Archery", "YoYo"}
    assert dataset.remarks == ("2 clips of 1 other classes are left out.",)
    with pytest.raises(UserError, match=r"classInd\.txt: got label 'Yoyo'.*3 classes; did you mean 'YoYo'"):
        read_ucf101(lists, Path("videos"), classes=["Yoyo"])


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(lists: Path, name: str) -> None:
    (lists / name).unlink()
    with pytest.raises(UserError, match=f"{name}: there is no such.*put it there"):
        read_ucf101(lists, lists)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("classInd.txt", "2 ", "7 ", r"classInd\.txt, line 2: got '7 HandstandPushups', need '2 <class>'"),
        ("classInd.txt", "YoYo", "Archery", r"line 3.*each once"),
        ("classInd.txt", "YoYo", "..", r"line 3"),
        ("classInd.txt", "YoYo", "Yo\0Yo", r"line 3"),
        ("trainlist01.txt", "YoYo/", "Yoyo/", r"trainlist01\.txt, line 3: got label 'Yoyo'.*mean 'YoYo'"),
        ("trainlist01.txt", "YoYo/", "", r"line 3: got 'v_YoYo.*need <class>/<clip>\.avi"),
        ("testlist01.txt", "c01.avi", "c01.txt", r"testlist01\.txt, line 1.*need <class>/<clip>\.avi"),
        ("testlist01.txt", "YoYo_g01", "YoYo_g08", "'v_YoYo_g08_c01': is listed twice.*remove"),
    ],
)
def test_a_malformed_line_is_named(lists: Path, name: str, old: str, new: str, message: str) -> None:
    path = lists / name
    path.write_bytes(path.read_bytes().replace(old.encode(), new.encode()))
    with pytest.raises(UserError, match=message):
        read_ucf101(lists, lists)


def test_an_empty_list_and_a_split_that_is_not_there_are_named(lists: Path) -> None:
    (lists / "testlist01.txt").write_text("\n")
    with pytest.raises(UserError, match="3 training and 0 test clips in split 1"):
        read_ucf101(lists, lists)
    with pytest.raises(UserError, match="got 4, need 1, 2 or 3"):
        read_ucf101(lists, lists, split=4)


@pytest.mark.skipif(not REAL.is_dir(), reason="the lists of UCF101 are not here")
@pytest.mark.parametrize(("split", "train", "test"), [(1, 9537, 3783), (2, 9586, 3734), (3, 9624, 3696)])
def test_the_real_lists_hold_13320_clips_of_101_classes(split: int, train: int, test: int) -> None:
    dataset = read_ucf101(REAL, Path("videos"), split=split)
    assert (len(dataset.train), len(dataset.test), len(dataset.classes)) == (train, test, 101)
