"""The extract command, run for real on a folder of small videos."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tsrnet.errors import UserError
from tsrnet.features.backbone import Backbone
from tsrnet.features.extractor import extract, videos_of_folder
from tsrnet.features.store import FeatureStore
from tsrnet.files import atomic_path
from tsrnet.video.snippets import SnippetSettings
from tsrnet.video.writer import write_video

Command = Callable[..., list[str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five short videos of odd shapes, one cut in the middle, an empty file, and a text."""
    folder = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    for name, count, size, rate_hz in (
        ("wide", 45, (64, 98), 24),
        ("tall", 40, (98, 64), 60),
        ("short", 4, (64, 64), 30),
        ("-dash", 30, (66, 66), 25),
        ("one", 1, (64, 64), 30),
    ):
        still = rng.integers(0, 255, (*size, 3)).astype(np.uint8)
        frames = (np.roll(still, k, axis=1) for k in range(count))
        write_video(folder / f"{name}.mp4", frames, frame_rate_hz=rate_hz)
    whole = (folder / "wide.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.mkv").write_bytes(b"")
    (folder / "notes.txt").write_text("no video")
    return folder


@pytest.fixture(scope="module")
def command(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Command:
    """The command with a file of weights, so that nothing is trained or downloaded."""
    import torch

    root = tmp_path_factory.mktemp("extract")
    torch.manual_seed(0)
    with atomic_path(root / "weights.pt") as part:
        torch.save(Backbone("resnet10", stream="rgb").network.state_dict(), part)

    def make(features: Path, *overrides: str) -> list[str]:
        return [
            *(sys.executable, "-m", "tsrnet.extract", f"videos={folder}", "features=demo"),
            *(f"features.weights={root}/weights.pt", "features.workers=1", "features.resize=32"),
            *("features.crop=32", f"paths.features={features}", f"hydra.run.dir={root}/run", *overrides),
        ]

    return make


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def contents(features: Path) -> dict[str, bytes]:
    return {str(p.relative_to(features)): p.read_bytes() for p in features.rglob("[!.]*.npy")}


@pytest.fixture(scope="module")
def extracted(command: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    features = tmp_path_factory.mktemp("features")
    result = run(command(features, "max_failed=0.5"))
    assert result.returncode == 0, result.stderr
    assert "5 of 7 videos have features" in result.stdout
    return features


def test_every_video_ends_as_features_or_as_a_listed_failure(
    extracted: Path, command: Command, folder: Path
) -> None:
    names = {path.stem for path in extracted.rglob("*.npy")}
    assert names == {"wide", "tall", "short", "-dash", "one"}
    lengths = {
        name: len(np.load(extracted / folder.name / "resnet10_stand_in" / "flow" / f"{name}.npy"))
        for name in sorted(names)
    }
    assert lengths == {"-dash": 7, "one": 1, "short": 1, "tall": 4, "wide": 11}
    result = run(command(extracted))
    assert result.returncode == 1
    assert "2 of 7 videos failed, more than max_failed=0.01" in result.stdout
    for words in ("cut.mp4: it cannot be opened", "empty.mkv: the file is empty"):
        assert words in " ".join(result.stdout.replace("│", " ").split())


def test_what_was_killed_goes_on_and_gives_the_same_bytes(
    extracted: Path, command: Command, tmp_path: Path
) -> None:
    expected = contents(extracted)
    rng = random.Random(0)
    for _ in range(3):
        process = subprocess.Popen(
            command(tmp_path, "max_failed=1"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 60
        before = len(contents(tmp_path))
        while process.poll() is None and len(contents(tmp_path)) == before and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(rng.uniform(0, 0.1))
        process.kill()
        process.wait()
        found = contents(tmp_path)
        assert {name: expected[name] for name in found} == found
    assert run(command(tmp_path, "max_failed=1")).returncode == 0
    assert contents(tmp_path) == expected


def test_shards_share_the_videos_and_other_settings_are_refused(
    extracted: Path, command: Command, tmp_path: Path
) -> None:
    counts = []
    for index in range(2):
        result = run(command(tmp_path, "max_failed=1", "shard.count=2", f"shard.index={index}"))
        assert result.returncode == 0, result.stderr
        counts.append(len(contents(tmp_path)))
    assert 0 < counts[0] < counts[1]
    assert contents(tmp_path) == contents(extracted)
    result = run(command(tmp_path, "features.flow.bound=7"))
    assert result.returncode == 2
    assert "other settings (snippets)" in result.stderr


def test_a_disk_that_is_too_small_is_said_before_anything_is_computed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=100))
    networks = {stream: Backbone("resnet10", stream=stream).eval() for stream in ("rgb", "flow")}
    videos, store = videos_of_folder(folder), FeatureStore(tmp_path)
    with pytest.raises(UserError, match="the disk has"):
        extract(videos, store, networks, SnippetSettings(32, 32), workers=1, what="test")
    assert not contents(tmp_path)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("videos=/nowhere", ("/nowhere", "need a folder")),
        ("shard.index=2", ("shard.index", "2", "0 to shard.count - 1")),
        ("video.backend=ffmpeg", ("video.backend", "ffmpeg", "pyav")),
        ("features.flow.backend=cuda", ("flow.backend", "cuda", "opencv")),
    ],
)
def test_a_mistake_is_one_line(
    command: Command, tmp_path: Path, override: str, words: tuple[str, ...]
) -> None:
    result = run([*command(tmp_path), override])
    assert result.returncode == 2
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert all(word in lines[0] for word in words), lines[0]
