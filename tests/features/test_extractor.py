"""Extraction: what is written equals the plain way, failures are listed, finished files stay."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tsrnet.features.backbone import Backbone
from tsrnet.features.extractor import Extraction, extract
from tsrnet.features.store import FeatureStore
from tsrnet.video.flow_settings import TVL1
from tsrnet.video.snippets import SnippetSettings, read_frames, snippets_of
from tsrnet.video.video_file import VideoFile

SNIPPETS = SnippetSettings(32, 32, TVL1(scales=2, warps=1, outer_iterations=1, inner_iterations=5))
SETTINGS = Extraction(SNIPPETS, workers=1)


def backbones() -> dict[str, Backbone]:
    torch.manual_seed(0)
    return {stream: Backbone("resnet10", stream=stream).eval() for stream in ("rgb", "flow")}


def test_features_are_those_of_the_snippets_and_failures_are_listed(
    moving_square: Path, tmp_path: Path
) -> None:
    networks = backbones()
    store = FeatureStore(tmp_path / "store")
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(moving_square.read_bytes()[:1500])
    videos = [
        VideoFile("whole", moving_square, 2.0),
        VideoFile("broken", broken, 2.0),
        VideoFile("gone", tmp_path / "gone.mp4"),
        VideoFile("shorter", moving_square, 5.0),
    ]
    failures = extract(videos, store, networks, SETTINGS, what="test")
    assert set(failures) == {"broken", "gone", "shorter"}
    assert "2.0 s of 5.0 s" in failures["shorter"]
    assert sorted(path.name for path in (tmp_path / "store").rglob("*.npy")) == ["whole.npy", "whole.npy"]
    snippets = snippets_of(read_frames(moving_square, 0, 12, SNIPPETS), SNIPPETS, ("rgb", "flow"))
    for stream, network in networks.items():
        with torch.no_grad():
            expected = network(torch.from_numpy(getattr(snippets, stream))).half().numpy()
        np.testing.assert_allclose(store.read(stream, "whole"), expected, rtol=2e-3, atol=2e-3)


def test_what_is_there_is_not_made_again(moving_square: Path, tmp_path: Path) -> None:
    store = FeatureStore(tmp_path / "store")
    for stream in ("rgb", "flow"):
        store.write(stream, "done", np.ones((3, 5), np.float16))
    shutil.copy(moving_square, tmp_path / "done.mp4")
    video = VideoFile("done", tmp_path / "done.mp4", 2.0)
    assert extract([video], store, backbones(), SETTINGS, what="test") == {}
    assert store.read("rgb", "done").shape == (3, 5)


def test_the_way_of_a_gpu_gives_the_same(
    moving_square: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers that only decode, flow beside the networks: as with CUDA, on the CPU."""
    snippets = replace(SNIPPETS, flow=replace(SNIPPETS.flow, backend="tsrnet"))
    settings = Extraction(snippets, workers=1)
    stores = [FeatureStore(tmp_path / name) for name in ("workers", "here")]
    video = VideoFile("square", moving_square)
    for store, here in zip(stores, ((), ("cpu",)), strict=True):
        monkeypatch.setattr("tsrnet.features.extractor.FLOW_HERE", here)
        assert extract([video], store, backbones(), settings, what="test") == {}
    for stream in ("rgb", "flow"):
        np.testing.assert_array_equal(stores[0].read(stream, "square"), stores[1].read(stream, "square"))


def test_features_that_are_not_finite_are_a_failure(moving_square: Path, tmp_path: Path) -> None:
    networks = backbones()
    with torch.no_grad():
        networks["flow"].network[7].bn2.weight.fill_(1e9)
    store, video = FeatureStore(tmp_path), VideoFile("square", moving_square)
    failures = extract([video], store, networks, SETTINGS, what="test")
    assert "its flow features exceed float16" in failures["square"]
    assert not list(tmp_path.rglob("*.npy"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_cuda_gives_nearly_the_same(moving_square: Path, tmp_path: Path) -> None:
    snippets = replace(SNIPPETS, flow=replace(SNIPPETS.flow, backend="tsrnet"))
    settings, video = Extraction(snippets, workers=1), VideoFile("square", moving_square)
    stores = {device: FeatureStore(tmp_path / device) for device in ("cpu", "cuda")}
    for device, store in stores.items():
        networks = {stream: network.to(device) for stream, network in backbones().items()}
        assert extract([video], store, networks, settings, what="test") == {}
    for stream in ("rgb", "flow"):
        one, other = (store.read(stream, "square").astype(np.float32) for store in stores.values())
        assert np.linalg.norm(one - other) < 0.02 * np.linalg.norm(one)
