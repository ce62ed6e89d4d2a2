"""The extract command, run for real on a folder of small videos."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import cv2
import numpy as np
import pytest
from hydra import compose, initialize_config_dir

from tsrnet.core.cli import conf_folder
from tsrnet.core.errors import UserError
from tsrnet.core.files import atomic_path
from tsrnet.core.settings import settings_of
from tsrnet.features.backbone import Backbone
from tsrnet.features.extractor import Extraction, extract
from tsrnet.features.store import FeatureStore
from tsrnet.video.flow_settings import TVL1
from tsrnet.video.optical_flow import flow_fields
from tsrnet.video.snippets import SnippetSettings, read_frames
from tsrnet.video.video_file import videos_of_folder
from tsrnet.video.writer import write_video

Command = Callable[..., Any]
Arguments = Callable[..., tuple[str, ...]]


def write_shown_at(path: Path, still: np.ndarray, times: list[int]) -> None:
    """Frames shown at these multiples of 1/30 s; sides may be odd."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.height, stream.width = still.shape[:2]
        stream.pix_fmt = "yuv444p"
        stream.codec_context.time_base = Fraction(1, 30)
        for k, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(np.roll(still, k, axis=1))
            frame.pts, frame.time_base = time, Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def write_sound(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


SNIPPETS = {"wide": 11, "tall": 4, "-dash": 7, "ntsc": 9, "half": 9, "odd": 9, "uneven": 8}
"""Of the videos that can be read."""
FAILURES = {
    "short.mp4": "it has 0.13 s",
    "one.mp4": "it has 0.03 s",
    "cut.mp4": "it cannot be opened",
    "empty.mkv": "the file is empty",
    "sound.mp4": "it cannot be opened",
    "words.avi": "it cannot be opened",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Short videos of many rates and shapes, some that cannot be used, and a text."""
    folder = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    for name, count, size, rate_hz in (
        ("wide", 45, (64, 98), 24),
        ("tall", 40, (98, 64), 60),
        ("-dash", 30, (66, 66), 25),
        ("ntsc", 45, (64, 64), Fraction(30000, 1001)),
        ("half", 23, (66, 70), 15),
        ("short", 4, (64, 64), 30),
        ("one", 1, (64, 64), 30),
    ):
        still = rng.integers(0, 255, (*size, 3)).astype(np.uint8)
        frames = (np.roll(still, k, axis=1) for k in range(count))
        write_video(folder / f"{name}.mp4", frames, frame_rate_hz=rate_hz)
    noise = rng.integers(0, 255, (53, 71, 3)).astype(np.uint8)
    write_shown_at(folder / "odd.mp4", noise, list(range(45)))
    write_shown_at(folder / "uneven.mp4", noise, [*range(30), *range(30, 45, 3)])
    write_sound(folder / "sound.mp4")
    whole = (folder / "wide.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.mkv").write_bytes(b"")
    (folder / "words.avi").write_text("no video")
    (folder / "notes.txt").write_text("no video")
    return folder


@pytest.fixture(scope="module")
def arguments(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Arguments:
    """Of the command, with a file of weights, so that nothing is trained or downloaded."""
    import torch

    root = tmp_path_factory.mktemp("extract")
    torch.manual_seed(0)
    with atomic_path(root / "weights.pt") as part:
        torch.save(Backbone("resnet10", stream="rgb").network.state_dict(), part)
    return lambda features, *overrides: (
        *(f"videos={folder}", "features=demo", f"features.weights={root}/weights.pt", "features.workers=1"),
        *("features.resize=32", "features.crop=32", f"paths.features={features}"),
        *(f"hydra.run.dir={root}/run", *overrides),
    )


def process(arguments: tuple[str, ...]) -> subprocess.Popen[bytes]:
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([sys.executable, "-m", "tsrnet.extract", *arguments], **quiet)


def contents(features: Path) -> dict[str, bytes]:
    return {str(p.relative_to(features)): p.read_bytes() for p in features.rglob("[!.]*.npy")}


@pytest.fixture(scope="module")
def extracted(command: Command, arguments: Arguments, tmp_path_factory: pytest.TempPathFactory) -> Path:
    features = tmp_path_factory.mktemp("features")
    result = command("extract", *arguments(features, "max_failed=0.5", "features.flow.store=true"))
    assert result.code == 0, result.err
    assert f"{len(SNIPPETS)} of {len(SNIPPETS) + len(FAILURES)} videos have features" in result.out
    return features


def test_every_video_ends_as_features_or_as_a_listed_failure(
    command: Command, extracted: Path, arguments: Arguments, folder: Path
) -> None:
    store = extracted / folder.name / "resnet10_stand_in"
    for stream in ("rgb", "flow"):
        lengths = {path.stem: len(np.load(path)) for path in (store / stream).iterdir()}
        assert lengths == SNIPPETS
    result = command("extract", *arguments(extracted))
    assert result.code == 1
    assert f"{len(FAILURES)} of {len(SNIPPETS) + len(FAILURES)} videos failed, more than" in result.err
    said = " ".join(result.out.replace("│", " ").split())
    for name, words in FAILURES.items():
        assert f"{name}: {words}" in said


def test_the_flow_is_kept_as_images(extracted: Path, folder: Path) -> None:
    images = extracted / folder.name / "resnet10_stand_in" / "flow_images"
    assert {path.name: len(list(path.iterdir())) for path in images.iterdir()} == {
        name: 10 * count for name, count in SNIPPETS.items()
    }
    frames = read_frames(folder / "odd.mp4", 0, 9, SnippetSettings(32, 32))
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        config = compose("extract", ["features=demo"])
    field = flow_fields(frames, settings_of(TVL1, config.features.flow, where="flow"))[7]
    for axis, wanted in zip("xy", field, strict=True):
        image = cv2.imread(str(images / "odd" / f"flow_{axis}_00008.jpg"), cv2.IMREAD_GRAYSCALE)
        assert image is not None
        assert np.abs(image / 127.5 - 1 - wanted).mean() < 0.03


def test_shards_share_the_videos_and_other_settings_are_refused(
    command: Command, extracted: Path, folder: Path, arguments: Arguments, tmp_path: Path
) -> None:
    counts = []
    for index in range(2):
        shard = ("max_failed=1", "shard.count=2", f"shard.index={index}")
        result = command("extract", *arguments(tmp_path, *shard))
        assert result.code == 0, result.err
        counts.append(len(contents(tmp_path)))
    assert 0 < counts[0] < counts[1]
    assert contents(tmp_path) == contents(extracted)
    result = command("extract", *arguments(tmp_path, "features.flow.bound=7"))
    assert "snippets.flow.bound: found 5.0, now 7.0" in result.mistake
    other = tmp_path / "other" / folder.name  # its videos may have the same names
    shutil.copytree(folder, other)
    result = command("extract", *arguments(tmp_path, f"videos={other}"))
    assert f"(videos: found {folder}, now {other})" in result.mistake


@pytest.mark.process
def test_what_was_killed_goes_on_and_gives_the_same_bytes(
    command: Command, extracted: Path, arguments: Arguments, tmp_path: Path
) -> None:
    expected = contents(extracted)
    rng = random.Random(0)
    for _ in range(2):
        killed = process(arguments(tmp_path, "max_failed=1"))
        deadline = time.monotonic() + 60
        before = len(contents(tmp_path))
        while killed.poll() is None and len(contents(tmp_path)) == before and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(rng.uniform(0, 0.1))
        killed.kill()
        killed.wait()
        found = contents(tmp_path)
        assert {name: expected[name] for name in found} == found
    assert command("extract", *arguments(tmp_path, "max_failed=1")).code == 0
    assert contents(tmp_path) == expected


@pytest.mark.process
def test_shards_as_a_multirun_of_a_launcher(extracted: Path, arguments: Arguments, tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    sweep = ("hydra/launcher=submitit_local", "shard.count=2", "shard.index=0,1", "-m")
    given = arguments(tmp_path / "features", "max_failed=1", f"hydra.sweep.dir={tmp_path}/sweep", *sweep)
    assert process(given).wait(timeout=300) == 0
    assert contents(tmp_path / "features") == contents(extracted)


def test_a_disk_that_is_too_small_is_said_before_anything_is_computed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=100))
    networks = {stream: Backbone("resnet10", stream=stream).eval() for stream in ("rgb", "flow")}
    videos, store = videos_of_folder(folder), FeatureStore(tmp_path)
    with pytest.raises(UserError, match="MB free space"):
        extract(videos, store, networks, Extraction(SnippetSettings(32, 32), workers=1), what="test")
    assert not contents(tmp_path)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("videos=/nowhere", "/nowhere"),
        ("shard.index=2", "shard.index: got 2 of shard.count=1, need 0 to shard.count - 1"),
        ("video.backend=ffmpeg", "video.backend: got 'ffmpeg', need one of"),
        ("features.flow.backend=cuda", "features.flow.backend: got 'cuda', need one of"),
    ],
)
def test_a_mistake_is_one_line(
    command: Command, arguments: Arguments, tmp_path: Path, override: str, said: str
) -> None:
    assert said in command("extract", *arguments(tmp_path, override)).mistake
