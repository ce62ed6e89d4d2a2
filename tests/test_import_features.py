"""The command that imports features: what it writes, what a second run does, mistakes in one line."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import pytest

from tsrnet.core.cli import conf_folder
from tsrnet.core.errors import FailedError, UserError
from tsrnet.features.store import FeatureStore
from tsrnet.import_features import import_features

LENGTHS = {"video_1": 30, "video_2": 41, "video_3": 17}


def objects(*values: object) -> np.ndarray:
    array = np.empty(len(values), object)
    for index, value in enumerate(values):
        array[index] = value
    return array


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with features and annotations of three videos in W-TALC's layout, where commands run."""
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=(n, 2048)).astype(np.float32) for n in LENGTHS.values()]
    np.save(tmp_path / "joint.npy", objects(*arrays), allow_pickle=True)
    files = {
        "videoname": np.array([name.encode() for name in LENGTHS]),
        "subset": np.array([b"validation", b"validation", b"test"]),
        "duration": np.array([[n * 0.64] for n in LENGTHS.values()]),
        "labels_all": objects(*[["Diving"]] * 3),
        "labels": objects(*[["Diving"]] * 3),
        "segments": objects(*[[[1.0, 2.0]]] * 3),
    }
    (tmp_path / "annotations").mkdir()
    for name, array in files.items():
        np.save(tmp_path / "annotations" / f"{name}.npy", array, allow_pickle=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


WTALC = (
    "layout=wtalc",
    "source=joint.npy",
    "annotations=annotations",
    "dataset=thumos14",
    "features.name=i3d",
)


def run(*overrides: str) -> None:
    with hydra.initialize_config_dir(str(conf_folder() / "import_features"), version_base="1.3"):
        config = hydra.compose("import_features", list(overrides))
    import_features(config)


def state(folder: Path) -> dict[str, tuple[int, int]]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): ((s := path.stat()).st_ino, s.st_mtime_ns) for path in files}


def test_the_store_says_where_features_come_from_and_when_snippets_are(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(*WTALC)
    store = folder / "data" / "features" / "thumos14" / "i3d"
    said = json.loads((store / "features.json").read_text())
    assert (said["layout"], said["source"], said["streams"]) == (
        "wtalc",
        "joint.npy",
        {"flow": 1024, "rgb": 1024},
    )
    assert said["sha256"] == hashlib.sha256((folder / "joint.npy").read_bytes()).hexdigest()
    assert (said["rate_hz"], said["offset_s"], said["width_s"]) == (25 / 16, 0.32, 0.64)
    assert sorted(path.name for path in store.iterdir()) == ["features.json", "flow", "rgb"]
    assert sorted(path.name for path in (store / "rgb").iterdir()) == [f"{name}.npy" for name in LENGTHS]
    assert "3 videos are in data/features/thumos14/i3d, 3 of them new" in capsys.readouterr().out


def test_a_second_run_goes_on_and_changes_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(*WTALC)
    store = folder / "data" / "features" / "thumos14" / "i3d"
    complete = {path: path.read_bytes() for path in store.rglob("*.npy")}
    before = state(store)
    run(*WTALC)
    assert state(store) == before
    capsys.readouterr()
    (store / "flow" / "video_2.npy").unlink()  # as if it had been stopped
    run(*WTALC)
    assert ", 1 of them new" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in store.rglob("*.npy")} == complete
    after = state(store)
    assert {name for name in before if after[name] != before[name]} == {str(store / "flow" / "video_2.npy")}


def test_one_stream_says_how_to_train_on_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(*WTALC, "split=null", "stream=features")
    assert capsys.readouterr().out.endswith("features of 2048 columns; train with stream=features\n")


def test_a_stop_in_the_middle_leaves_whole_files_only(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    write = FeatureStore.write

    def stop(self: FeatureStore, stream: str, video_id: str, features: np.ndarray) -> None:
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append((stream, video_id))
        write(self, stream, video_id, features)

    with monkeypatch.context() as patch:
        patch.setattr(FeatureStore, "write", stop)
        with pytest.raises(KeyboardInterrupt):
            run(*WTALC)
    store = FeatureStore(folder / "data" / "features" / "thumos14" / "i3d")
    assert sorted(path.name for path in store.folder.rglob("*.npy")) == ["video_1.npy"] * 2 + ["video_2.npy"]
    run(*WTALC)
    joint = np.load(folder / "joint.npy", allow_pickle=True)
    for name, features in zip(LENGTHS, joint, strict=True):
        np.testing.assert_array_equal(store.read("joint", name), features)


@pytest.mark.parametrize("change", ["content", "order", "split"])
def test_another_source_for_the_same_store_is_refused(folder: Path, change: str) -> None:
    run(*WTALC)
    before = state(folder / "data")
    more = ()
    if change == "content":
        np.save(
            "joint.npy",
            objects(*[np.ones((n, 2048), np.float32) for n in LENGTHS.values()]),
            allow_pickle=True,
        )
    elif change == "order":
        np.save("annotations/videoname.npy", np.array(["video_2", "video_1", "video_3"]))
    else:
        more = ("split=1000",)
    with pytest.raises(
        UserError, match=r"contains features made with other settings .* give another features\.name"
    ) as e:
        run(*WTALC, *more)
    assert "\n" not in str(e.value)
    assert state(folder / "data") == before


def test_another_folder_of_the_same_names_is_refused(folder: Path) -> None:
    (folder / "source" / "rgb").mkdir(parents=True)
    np.save(folder / "source" / "rgb" / "a.npy", np.ones((5, 4), np.float32))
    arguments = ("layout=folder", "source=source", "dataset=mine", "features.name=x", "rate_hz=2")
    run(*arguments)
    store = folder / "data" / "features" / "mine" / "x"
    assert json.loads((store / "features.json").read_text())["sha256_of"] == "names, sizes and times of files"
    run(*arguments)
    os.utime(folder / "source" / "rgb" / "a.npy", (1, 1))
    with pytest.raises(UserError, match=r"sha256: found .*, now .*"):
        run(*arguments)


def test_what_is_left_out_and_what_is_odd_is_printed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    joint = np.load(folder / "joint.npy", allow_pickle=True)
    joint[1][3, 5] = np.nan
    np.save(folder / "joint.npy", joint, allow_pickle=True)
    np.save(folder / "annotations" / "duration.npy", np.array([30 * 0.64, 41 * 0.64, 99.0]))
    run(*WTALC)
    out = capsys.readouterr().out
    assert "2 videos are in" in out
    assert "warning: 1 of 2 videos are not as long as rate and duration say (video_3 has 17 snippets" in out
    assert "1 video failed" in out
    assert "rgb holds NaN or infinite values" in out


def test_a_hostile_file_is_one_line(folder: Path) -> None:
    class Evil:
        def __reduce__(self) -> object:
            return os.system, ("touch mark",)

    np.save(folder / "joint.npy", objects(Evil()), allow_pickle=True)
    with pytest.raises(UserError, match=r"joint\.npy: holds the name posix\.system, .* is not executed"):
        run(*WTALC)
    assert not (folder / "mark").exists()
    assert not (folder / "data").exists()


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("layout=null",), "layout: got null, need one of wtalc, basnet"),
        (("layout=wtalk",), "layout: got 'wtalk', need one of"),
        (("source=null",), "source: got null, need a file or folder"),
        (("dataset=null",), "dataset: got None, need a name"),
        (("source=elsewhere.npy",), "source: got elsewhere.npy, need a file or folder that is there"),
        (("dataset=a/b",), "dataset: got a/b, need a name"),
        (("annotations=elsewhere",), "elsewhere: there is no such"),
        (("split=0",), "split: got 0, need"),
        (("rate_hz=-1",), "rate_hz: got -1, need a number > 0"),
        (("time_axis=2",), "time_axis: got 2, need one of 0, 1"),
        (("source=annotations",), "annotations: cannot be read \\(Is a directory"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_key(
    folder: Path, overrides: tuple[str, ...], said: str
) -> None:
    with pytest.raises(UserError, match=said) as caught:
        run(*WTALC, *overrides)
    assert "\n" not in str(caught.value)
    assert not (folder / "data").exists()


def test_nothing_that_can_be_used_is_a_failure(folder: Path) -> None:
    (folder / "source").mkdir()
    np.save(folder / "source" / "a.npy", np.ones((5, 4, 3), np.float32))
    with pytest.raises(FailedError, match="none of 1 video can be used; a: "):
        run("layout=actionformer", "source=source", "dataset=mine")


def test_the_command_leaves_nothing_but_features(folder: Path, command: Callable[..., Any]) -> None:
    before = set(os.listdir(folder))
    result = command("import_features", *WTALC, "source=elsewhere.npy")
    assert "source: got elsewhere.npy" in result.mistake
    assert set(os.listdir(folder)) == before
    result = command("import_features", *WTALC)
    assert (result.code, "3 videos are in" in result.out) == (0, True), result.err
    assert set(os.listdir(folder)) - before == {"data"}
    assert os.listdir(folder / "data") == ["features"]
