"""Extraction: what is written equals the plain way, failures are listed, finished files stay."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import torch

from tsrnet.features.backbone import Backbone
from tsrnet.features.extractor import VideoFile, extract
from tsrnet.features.store import FeatureStore
from tsrnet.video.optical_flow import TVL1
from tsrnet.video.snippets import SnippetSettings, read_snippets

SETTINGS = SnippetSettings(32, 32, TVL1(scales=2, warps=1, outer_iterations=1, inner_iterations=5))


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
    failures = extract(videos, store, networks, SETTINGS, workers=1, what="test")
    assert set(failures) == {"broken", "gone", "shorter"}
    assert "2.0 s of 5.0 s" in failures["shorter"]
    assert sorted(path.name for path in (tmp_path / "store").rglob("*.npy")) == ["whole.npy", "whole.npy"]
    snippets = read_snippets(moving_square, 0, 12, SETTINGS, ("rgb", "flow"))
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
    assert extract([video], store, backbones(), SETTINGS, workers=1, what="test") == {}
    assert store.read("rgb", "done").shape == (3, 5)
