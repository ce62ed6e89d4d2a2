"""Own videos: the command and the three lines of Python, by the folder `model` of a run alone."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from tsrnet import load
from tsrnet.core.errors import UserError
from tsrnet.core.files import check_id
from tsrnet.evaluation.video_detections import VideoDetections
from tsrnet.reporting.timeline import Detection
from tsrnet.video.video_file import named_videos
from tsrnet.video.writer import write_video

Command = Callable[..., Any]

WEIGHTS = "video=elsewhere/rgb.safetensors"


@pytest.fixture(scope="module")
def root(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Only the folder `model` of a run, as on another machine, and no data."""
    root = tmp_path_factory.mktemp("detect")
    shutil.copytree(prepared / "run" / "model", root / "elsewhere")
    return root


@pytest.fixture(scope="module")
def video(prepared: Path) -> Path:
    return sorted((prepared / "data").rglob("demo_test_*.mp4"))[0]


@pytest.fixture
def detect(command: Command, root: Path) -> Command:
    return lambda *overrides: command("detect", *overrides, folder=root)


def listed(path: Path, video_id: str) -> list[dict[str, Any]]:
    return list(json.loads(path.read_text())["results"][video_id])


@pytest.fixture(scope="module")
def found(command: Command, root: Path, video: Path) -> Any:
    """What the command says of a test video; its files are in the folder `found`."""
    arguments = (f"video={video}", "run=elsewhere", "output=found", "subtitles=true")
    return command("detect", *arguments, folder=root)


def test_a_test_video_gives_what_the_run_found_in_it(
    found: Any, root: Path, prepared: Path, video: Path
) -> None:
    assert found.code == 0, found.err
    expected = listed(prepared / "run" / "detections.json", video.stem)
    assert expected
    rows = listed(root / "found" / "detections.json", video.name)
    assert [(f["label"], f["segment"]) for f in rows] == [(e["label"], e["segment"]) for e in expected]
    np.testing.assert_allclose([f["score"] for f in rows], [e["score"] for e in expected], rtol=1e-4)
    assert (root / "found" / f"{video.stem}.png").read_bytes().startswith(b"\x89PNG")
    assert (root / "found" / f"{video.stem}.html").stat().st_size > video.stat().st_size
    assert (root / "found" / f"{video.stem}.srt").read_text().count(" --> ") == len(rows)
    for stage in ("features: ", "networks and localisation: ", "pages and pictures: "):
        assert stage in found.out


def test_the_second_time_features_are_there_and_constants_may_differ(
    found: Any, detect: Command, root: Path, video: Path
) -> None:
    shutil.copytree(root / "found", root / "twice")
    constants = ("localization.threshold=0.9", "localization.theta=1")
    result = detect(f"video={video}", "run=elsewhere", "output=twice", *constants)
    assert result.code == 0, result.err
    assert "snippets" not in result.err
    assert "to extract" not in result.out
    assert "no segment is above the threshold" in " ".join(result.out.split())
    assert listed(root / "twice" / "detections.json", video.name) == []


def test_three_lines_of_python(prepared: Path, video: Path) -> None:
    network = load(prepared / "run", threshold=0.1)
    found = network.detect(video)
    assert found.detections == tuple(sorted(found.detections, key=lambda one: -one.score))
    assert set(found.probabilities) == set(network.classes)
    assert sum(found.probabilities.values()) == pytest.approx(1, abs=1e-4)
    assert list(json.loads(found.to_json())["results"]) == [video.name]
    assert len(found.result.score) == int(found.duration_s * found.result.grid.rate_hz)
    with pytest.raises(
        UserError, match=r"load: got treshold=, need constants of the localisation: .*threshold"
    ):
        load(prepared / "run", treshold=0.1)


def test_what_fails_is_listed_and_the_others_go_on(detect: Command, root: Path, video: Path) -> None:
    folder = root / "mixed"
    folder.mkdir()
    shutil.copy(video, folder / "good one.mp4")
    (folder / "broken.mp4").write_bytes(b"no video")
    write_video(folder / "short.mp4", (np.zeros((48, 64, 3), np.uint8) for _ in range(5)), frame_rate_hz=30)
    result = detect("video=mixed", "run=elsewhere", "output=some")
    assert result.code == 1
    assert "2 of 3 videos could not be read" in result.err
    assert "need 2 snippets" in result.out.replace("\n", " ").replace("│", "").replace("  ", " ")
    assert list(json.loads((root / "some" / "detections.json").read_text())["results"]) == ["good one.mp4"]
    assert (root / "some" / "good one.html").is_file()


def test_a_still_video_and_a_tall_one(root: Path, tmp_path: Path) -> None:
    """Nothing moves; a portrait of full HD, a quarter of a second longer than two snippets."""
    write_video(
        tmp_path / "still.mp4", (np.full((48, 64, 3), 90, np.uint8) for _ in range(60)), frame_rate_hz=30
    )
    rows = np.linspace(0, 255, 1920, dtype=np.uint8)
    tall = np.broadcast_to(rows[:, None, None], (1920, 1080, 3)).copy()
    write_video(tmp_path / "tall.mp4", (tall for _ in range(18)), frame_rate_hz=30)
    network = load(root / "elsewhere")
    for name, length in (("still", 12), ("tall", 3)):
        found = network.detect(tmp_path / f"{name}.mp4")
        assert len(found.result.score) == length
        assert np.isfinite(found.result.score).all()
        found.to_html(tmp_path / f"{name}.html")
        assert (tmp_path / f"{name}.html").stat().st_size > 10_000


def test_a_sound_file_is_one_line(root: Path, tmp_path: Path) -> None:
    with av.open(str(tmp_path / "sound.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(UserError, match=r"no video stream|cannot be opened"):
        load(root / "elsewhere").detect(tmp_path / "sound.wav")


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["video=a.mp4"], "run: got nothing"),
        (["run=elsewhere"], "video: got nothing"),
        (["video=nowhere.mp4", "run=elsewhere"], "video: got nowhere.mp4, there is no such file"),
        (["video=x/*.mp4", "run=elsewhere"], "video: got x/*.mp4, there is no such file"),
        (["video=clip (1).mp4", "run=elsewhere"], "quote a value that contains one of"),
        (["video=elsewhere", "run=elsewhere"], "video: elsewhere holds no file that ends in"),
        ([WEIGHTS, "run=."], "run: got ., which has no model/model.json"),
        ([WEIGHTS, "run=elsewhere", "localization.theta=3"], "localization.theta: got 3"),
        ([WEIGHTS, "run=elsewhere", "features.flow.backend=opencv"], "is not a key"),
    ],
)
def test_a_mistake_is_one_line(detect: Command, overrides: list[str], said: str) -> None:
    assert said in detect(*overrides).mistake


class _Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("executed"),))


@pytest.mark.parametrize("name", ["rgb.safetensors", "backbone_flow.safetensors"])
def test_a_stranger_s_model_executes_nothing(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(root / "elsewhere", "hostile")
    torch.save(_Hostile(), Path("hostile") / name)
    with pytest.raises((UserError, pickle.UnpicklingError)):
        load("hostile")
    assert not Path("executed").exists()


def test_a_model_of_another_version_or_other_weights_is_refused(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "elsewhere", tmp_path / "model")
    described = json.loads((tmp_path / "model" / "model.json").read_text())
    (tmp_path / "model" / "model.json").write_text(json.dumps({**described, "format": 99}))
    with pytest.raises(UserError, match=r"format 99, this version reads \d"):
        load(tmp_path)
    (tmp_path / "model" / "model.json").write_text(json.dumps({**described, "classes": ["a", "b"]}))
    with pytest.raises(UserError, match="the weights of the run's rgb network"):
        load(tmp_path)
    (tmp_path / "model" / "model.json").write_text("{")
    with pytest.raises(UserError, match=r"model\.json: is not a JSON file"):
        load(tmp_path)


def test_subtitles_are_in_order_of_time(root: Path, video: Path) -> None:
    found = load(root / "elsewhere").detect(video)
    segments = (Detection("b", 3661.5, 3662.0, 0.9), Detection("a", 1.0, 2.25, 0.5))
    other = VideoDetections(**{**vars(found), "detections": segments})
    assert other.to_srt() == (
        "1\n00:00:01,000 --> 00:00:02,250\na (0.50)\n\n2\n01:01:01,500 --> 01:01:02,000\nb (0.90)\n\n"
    )


def test_names_of_videos_are_unique(tmp_path: Path) -> None:
    for name in ("x/a.mp4", "x/a.avi", "y/a.mp4", "y/b.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    names = named_videos([tmp_path / "x", str(tmp_path / "y" / "*.mp4"), tmp_path / "y" / "b.mp4"])
    assert {name: path.relative_to(tmp_path).as_posix() for name, path in names.items()} == {
        "x_a.mp4": "x/a.mp4",
        "a.avi": "x/a.avi",
        "y_a.mp4": "y/a.mp4",
        "b": "y/b.mp4",
    }
    (tmp_path / "index.mp4").write_bytes(b"")
    assert list(named_videos([tmp_path / "index.mp4"])) != ["index"], "the page of all videos"


def test_videos_of_equal_names_and_links_are_all_there(detect: Command, root: Path, video: Path) -> None:
    """Two of the same name, one of them again by a link, and the same path given twice."""
    for place in ("a", "b"):
        (root / "same" / place).mkdir(parents=True)
        shutil.copy(video, root / "same" / place / "clip.mp4")
    (root / "same" / "b" / "link.mp4").symlink_to("clip.mp4")
    shutil.copy(video, root / "same" / "a_clip.mp4")  # named as the first one is called
    given = "same/a/clip.mp4,same/b/clip.mp4,same/b/link.mp4,./same/../same/a/clip.mp4,same/a_clip.mp4"
    result = detect(f"video=[{given}]", "run=elsewhere", "output=same/out")
    assert result.code == 0, result.err
    found = json.loads((root / "same" / "out" / "detections.json").read_text())["results"]
    assert list(found) == ["a_clip.mp4", "b_clip.mp4", "link.mp4", "a_clip"]
    assert found["b_clip.mp4"] == found["link.mp4"] == found["a_clip.mp4"] == found["a_clip"]
    pages = {path.name for path in (root / "same" / "out").glob("*.html")}
    assert pages == {"a_clip.mp4.html", "b_clip.mp4.html", "link.html", "a_clip.html"}


def test_each_file_has_a_name_of_its_own_that_can_be_one(tmp_path: Path) -> None:
    files = ["x/y/a.mp4", "z/y/a.mp4", "x_y/a.mp4", "y_a.mp4", "l" * 251 + ".mp4", "line\nfeed.mp4"]
    files += [os.fsdecode(b"latin\xff.mp4"), "$x$.mp4", "x/.hidden.mp4"]
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    places = [tmp_path, *(tmp_path / place for place in ("x/y", "z/y", "x_y", "x/.hidden.mp4"))]
    names = named_videos(places)
    assert sorted(path.relative_to(tmp_path).as_posix() for path in names.values()) == sorted(files)
    assert all(check_id(name) for name in names)
    assert {"$x$", "y_a"} <= set(names)
    with pytest.raises(UserError, match="holds no file"):
        named_videos([tmp_path / "x"])  # hidden files do not count


def test_what_a_picture_cannot_show_costs_nothing_else(
    detect: Command, root: Path, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Classes with mathtext and of 170 characters; then a page that fails."""
    shutil.copytree(root / "elsewhere", tmp_path / "model")
    described = json.loads((tmp_path / "model" / "model.json").read_text())
    described["classes"] = [f"$\\frac{{{number}" + "w" * 170 for number, _ in enumerate(described["classes"])]
    (tmp_path / "model" / "model.json").write_text(json.dumps(described))
    shutil.copy(video, tmp_path / "$a$.mp4")
    call = (f"video={tmp_path}/$a$.mp4", f"run={tmp_path}/model", f"output={tmp_path}/out")
    result = detect(*call)
    assert (result.code, result.err.count("could not be made")) == (0, 0), result.err
    made = {path.name for path in (tmp_path / "out").iterdir()}
    assert made == {".features", "$a$.html", "$a$.png", "detections.json"}

    def fail(*_: object) -> None:
        raise ValueError("no layout")

    monkeypatch.setattr("tsrnet.evaluation.video_detections.write_page", fail)
    shutil.rmtree(tmp_path / "out")
    result = detect(*call)
    assert result.code == 0
    assert f"{tmp_path}/out/$a$.html: could not be made (ValueError: no layout)" in result.err
    assert listed(tmp_path / "out" / "detections.json", "$a$.mp4")
    assert (tmp_path / "out" / "$a$.png").is_file()


def hostile_files(good: bytes) -> dict[str, bytes]:
    """25 files that are no videos, or no longer."""
    half = len(good) // 2
    magic = {
        "avi": b"RIFF\xff\xff\xff\xffAVI LIST",
        "mkv": b"\x1aE\xdf\xa3\x01\xff\xff\xff\xff\xff\xff\xff",
        "webm": b"\x1aE\xdf\xa3\x9f",
        "flv": b"FLV\x01\x05\x00\x00\x00\x09",
        "ts": b"G@\x00\x10" + bytes(184),
        "mpg": b"\x00\x00\x01\xba" + bytes(100),
        "ogv": b"OggS\x00\x02" + bytes(100),
        "wmv": bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"),
        "mov": b"\x00\x00\x00\x14ftypqt  \x00\x00\x00\x00qt  ",
        "m4v": b"\xff\xff\xff\xffmoov",
    }
    return {
        **{f"only its first bytes.{suffix}": content for suffix, content in magic.items()},
        **{f"cut {length}.mp4": good[:length] for length in (1, 40, half // 2)},
        **{f"without its first {length}.mp4": good[length:] for length in (8, half)},
        "empty.mp4": b"",
        "text.mp4": b"This is no video.\n" * 100,
        "page.webm": b"<html><script>alert(1)</script></html>",
        "zeros.mp4": bytes(10_000),
        "noise.mkv": np.random.default_rng(0).bytes(10_000),
        "archive.avi": b"PK\x03\x04" + bytes(1000),
        "pickle.mov": pickle.dumps({"a": 1}),
        os.fsdecode(b"latin \xe9.mp4"): b"no",
        "line\nfeed.mp4": b"no",
        "w" * 250 + ".mp4": b"no",
    }


def test_a_folder_of_15_videos_and_25_hostile_files(
    detect: Command, root: Path, moving_square: Path, tmp_path: Path
) -> None:
    """15 results, 25 reasons, exit code 1."""
    folder, good = tmp_path / "videos", moving_square.read_bytes()
    folder.mkdir()
    names = [f"good {number}.mp4" for number in range(9)]
    names += ["$x^{2$.mp4", "ärger.mp4", "[1]%d{x}.MP4", "-dash.mp4", "v" * 200 + ".mp4", "a,b='c'.mp4"]
    hostile = hostile_files(good)
    assert (len(names), len(hostile)) == (15, 25)
    for name, content in [*((name, good) for name in names), *hostile.items()]:
        (folder / name).write_bytes(content)
    os.mkfifo(folder / ".hidden.mp4")
    result = detect(f"video={folder}", "run=elsewhere", f"output={tmp_path}/out")
    assert result.code == 1, result.err
    assert result.err.splitlines()[-1] == "error: 25 of 40 videos could not be read"
    assert "25 videos failed" in result.out
    assert "Traceback" not in result.out + result.err
    assert set(json.loads((tmp_path / "out" / "detections.json").read_text())["results"]) == set(names)
    for kind in ("html", "png"):
        assert len(list((tmp_path / "out").glob(f"*.{kind}"))) == 15
