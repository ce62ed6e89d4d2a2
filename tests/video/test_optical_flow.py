"""All methods: known motions, in the units and order that the networks expect; their settings."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torchvision.models import get_model, get_model_weights

from tsrnet.core.errors import UserError
from tsrnet.core.settings import settings_of
from tsrnet.video.flow_settings import DIS, RAFT, TVL1
from tsrnet.video.optical_flow import check_flow, flow_fields
from tsrnet.video.snippets import Snippets, SnippetSettings, count_snippets, read_frames, snippets_of


def texture(shift_x: float, shift_y: float) -> np.ndarray:
    coarse = np.random.default_rng(0).integers(0, 255, (16, 16, 3)).astype(np.uint8)
    image = cv2.resize(coarse, (96, 96), interpolation=cv2.INTER_CUBIC)
    move = np.array([[1, 0, shift_x], [0, 1, shift_y]], np.float32)
    return np.asarray(cv2.warpAffine(image, move, (96, 96), borderMode=cv2.BORDER_REFLECT), np.uint8)


@pytest.mark.parametrize("method", [TVL1(bound=10.0), DIS(bound=10.0), DIS(preset="ultrafast", bound=10.0)])
@pytest.mark.parametrize(("dx", "dy"), [(1.5, 0.0), (0.0, -2.0), (-1.0, 1.0)])
def test_translation_is_found_in_units_of_the_bound(dx: float, dy: float, method: TVL1 | DIS) -> None:
    frames = np.stack([texture(k * dx, k * dy) for k in range(3)])
    fields = flow_fields(frames, method)[:, :, 16:-16, 16:-16] * 10
    assert fields.shape[:2] == (2, 2)
    np.testing.assert_allclose(np.median(fields, axis=(2, 3)), [[dx, dy]] * 2, atol=0.15)


@pytest.mark.parametrize("method", [TVL1(bound=2.0), DIS(bound=2.0)])
def test_flow_is_clipped_and_a_repeated_frame_has_none(method: TVL1 | DIS) -> None:
    frames = np.stack([texture(0, 0), texture(6, 0), texture(6, 0)])
    fields = flow_fields(frames, method)
    assert np.median(fields[0, 0]) == 1.0
    assert np.abs(fields).max() <= 1.0
    assert np.abs(fields[1]).max() == 0.0


@pytest.fixture(scope="module")
def raft(tmp_path_factory: pytest.TempPathFactory) -> RAFT:
    """raft_small with random weights, in a file."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("raft") / "raft.pt"
    torch.save(get_model("raft_small").state_dict(), path)
    return RAFT(method="raft_small", weights=str(path), updates=2, bound=1000.0)


def test_raft_is_torchvisions_on_its_own_transforms(raft: RAFT) -> None:
    network = get_model("raft_small").eval()
    network.load_state_dict(torch.load(raft.weights, weights_only=True))
    frames = np.stack([cv2.resize(texture(2 * k, k), (136, 128)) for k in range(3)])
    images = torch.from_numpy(frames).permute(0, 3, 1, 2)
    with torch.no_grad():
        pair = get_model_weights("raft_small").DEFAULT.transforms()(images[:-1], images[1:])
        expected = network(*pair, num_flow_updates=2)[-1] / 1000
    assert expected.abs().max() < 1  # nothing is clipped
    np.testing.assert_allclose(flow_fields(frames, raft), expected, rtol=1e-3, atol=1e-4)


def test_raft_takes_sizes_that_its_pyramid_cannot_divide(raft: RAFT) -> None:
    """They are continued to the right and below by the pixels at the border."""
    frames = np.stack([texture(2 * k, k)[:90, :70] for k in range(2)])
    wide = np.stack([cv2.copyMakeBorder(f, 0, 38, 0, 58, cv2.BORDER_REPLICATE) for f in frames])
    fields = flow_fields(frames, raft)
    assert fields.shape == (1, 2, 90, 70)
    np.testing.assert_allclose(fields, flow_fields(wide, raft)[:, :, :90, :70], rtol=1e-3, atol=1e-4)


def test_flow_settings_are_those_of_the_method() -> None:
    node: dict[str, Any] = {"tau": 0.2, "preset": "fast", "weights": "x.pt", "bound": 5.0, "store": False}
    made = [
        settings_of(SnippetSettings, {"flow": {**node, **method}}, where="features").flow
        for method in ({}, {"method": "tvl1"}, {"method": "dis"}, {"method": "raft_small"})
    ]
    raft = RAFT(method="raft_small", weights="x.pt", bound=5.0)
    assert made == [TVL1(tau=0.2, bound=5.0)] * 2 + [DIS(preset="fast", bound=5.0), raft]
    for settings in made:  # as a trained model has them in its configuration
        assert settings_of(SnippetSettings, {"flow": asdict(settings)}, where="x").flow == settings
        assert replace(SnippetSettings(flow=settings), resize=300).flow == settings


@pytest.mark.parametrize(
    ("flow", "message"),
    [
        (
            {"method": "farneback"},
            "features.flow.method: got farneback, need one of dis, raft_large, raft_small, tvl1",
        ),
        (
            {"method": "dis", "preset": "slow"},
            "features.flow.preset: got 'slow', need one of ultrafast, fast, medium",
        ),
        (
            {"method": "raft_large", "updates": 0},
            "features.flow.updates: got 0, need a whole number >= 1",
        ),
    ],
)
def test_a_wrong_flow_setting_is_named(flow: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as raised:
        settings_of(SnippetSettings, {"flow": flow}, where="features")
    assert str(raised.value) == message


def test_weights_of_raft_are_known_by_name_or_checksum(raft: RAFT, tmp_path: Path) -> None:
    def identity(method: RAFT) -> str:
        return str(SnippetSettings(flow=method).identity["flow"]["weights"])

    assert identity(RAFT()) == "C_T_SKHT_V2"
    assert identity(RAFT(weights="C_T_V1")) == "C_T_V1"
    assert identity(raft) == f"sha256 {hashlib.sha256(Path(raft.weights).read_bytes()).hexdigest()}"
    assert SnippetSettings(flow=DIS()).identity == asdict(SnippetSettings(flow=DIS()))
    with pytest.raises(UserError, match=r"features\.flow\.weights: got V9, need pretrained, C_T_V1, "):
        check_flow(RAFT(weights="V9"))
    with pytest.raises(UserError, match=r"raft\.pt: .*weights of raft_large"):
        check_flow(replace(raft, method="raft_large"))


def both_streams(path: Path, start: int, stop: int, settings: SnippetSettings) -> Snippets:
    return snippets_of(read_frames(path, start, stop, settings), settings, ("rgb", "flow"))


def test_snippets_hold_the_middle_frame_and_five_interleaved_fields(moving_square: Path) -> None:
    settings = SnippetSettings(resize=48, crop=48, flow=TVL1(bound=4.0))
    count, duration_s = count_snippets(moving_square)
    assert (count, duration_s) == (12, pytest.approx(2.0, abs=0.01))
    snippets = both_streams(moving_square, 2, 4, settings)
    assert snippets.rgb is not None
    assert snippets.flow is not None
    np.testing.assert_allclose(snippets.rgb[:, :10].mean(axis=(1, 2, 3)), 20 + 2 * np.array([12, 17]), atol=2)
    assert snippets.flow.shape == (2, 10, 48, 48)
    x, y = snippets.flow[0, 0::2].astype(float) * 4, snippets.flow[0, 1::2].astype(float) * 4
    # snippet 2: frames 10 to 15; the square covers columns 10 to 27 of 64, from 8 on after the crop
    assert np.median(x[:, 20:28, 6:10]) == pytest.approx(1.0, abs=0.35)
    assert abs(np.median(y[:, 20:28, 6:10])) < 0.2


def test_chunks_join_without_a_seam(moving_square: Path) -> None:
    settings = SnippetSettings(resize=48, crop=48, flow=TVL1(warps=1, outer_iterations=2))
    whole = both_streams(moving_square, 0, 6, settings)
    parts = [both_streams(moving_square, a, b, settings) for a, b in ((0, 2), (2, 6))]
    np.testing.assert_array_equal(whole.rgb, np.concatenate([part.rgb for part in parts]))
    np.testing.assert_array_equal(whole.flow, np.concatenate([part.flow for part in parts]))
