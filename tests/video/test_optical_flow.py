"""TV-L1 finds known motions, in the units and order that the networks expect."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tsrnet.video.flow_settings import TVL1
from tsrnet.video.optical_flow import flow_fields
from tsrnet.video.snippets import Snippets, SnippetSettings, count_snippets, read_frames, snippets_of


def texture(shift_x: float, shift_y: float) -> np.ndarray:
    coarse = np.random.default_rng(0).integers(0, 255, (16, 16, 3)).astype(np.uint8)
    image = cv2.resize(coarse, (96, 96), interpolation=cv2.INTER_CUBIC)
    move = np.array([[1, 0, shift_x], [0, 1, shift_y]], np.float32)
    return np.asarray(cv2.warpAffine(image, move, (96, 96), borderMode=cv2.BORDER_REFLECT), np.uint8)


@pytest.mark.parametrize(("dx", "dy"), [(1.5, 0.0), (0.0, -2.0), (-1.0, 1.0)])
def test_translation_is_found_in_units_of_the_bound(dx: float, dy: float) -> None:
    frames = np.stack([texture(k * dx, k * dy) for k in range(3)])
    fields = flow_fields(frames, TVL1(bound=10.0))[:, :, 16:-16, 16:-16] * 10
    assert fields.shape[:2] == (2, 2)
    np.testing.assert_allclose(np.median(fields, axis=(2, 3)), [[dx, dy]] * 2, atol=0.1)


def test_flow_is_clipped_and_a_repeated_frame_has_none() -> None:
    frames = np.stack([texture(0, 0), texture(6, 0), texture(6, 0)])
    fields = flow_fields(frames, TVL1(bound=2.0))
    assert np.median(fields[0, 0]) == 1.0
    assert np.abs(fields).max() <= 1.0
    assert np.abs(fields[1]).max() == 0.0


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
