"""Our TV-L1 against known motions and OpenCV's, and the one for a GPU against it, in batches and compiled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch

from tsrnet.video import tvl1, tvl1_gpu
from tsrnet.video.flow_settings import TVL1

SIZE = (96, 128)
Solver = Callable[[np.ndarray, np.ndarray, TVL1], np.ndarray]
CLIPS = Path(__file__).parents[2].parent / "shared" / "data" / "videos"


def texture(seed: int) -> np.ndarray:
    """A smooth random picture, larger than SIZE by 32 pixels all around."""
    rng = np.random.default_rng(seed)
    height, width = SIZE[0] + 64, SIZE[1] + 64
    layers = [
        cv2.resize(
            rng.uniform(0, 1, (height // step, width // step)), (width, height), interpolation=cv2.INTER_CUBIC
        )
        for step in (4, 8, 16)
    ]
    return np.asarray(255 * np.clip(np.mean(layers, axis=0), 0, 1), np.float32)


def moved(seed: int, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(first, second, flow): the second frame shows the first under x -> matrix @ (x, 1) about the centre."""
    picture = texture(seed)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float64)
    centre = np.array([SIZE[1] / 2, SIZE[0] / 2])
    linear, shift = matrix[:, :2], matrix[:, 2]
    points = np.stack([x, y], axis=-1) - centre
    flow = points @ linear.T + shift - points
    back = (points - shift) @ np.linalg.inv(linear).T + centre + 32
    second = cv2.remap(picture, *np.moveaxis(back.astype(np.float32), -1, 0), cv2.INTER_CUBIC)
    first = picture[32:-32, 32:-32]
    return first.round().astype(np.uint8), np.clip(second, 0, 255).round().astype(np.uint8), flow


def matrix(angle: float = 0.0, zoom: float = 1.0, dx: float = 0.0, dy: float = 0.0) -> np.ndarray:
    cos, sin = zoom * np.cos(angle), zoom * np.sin(angle)
    return np.array([[cos, -sin, dx], [sin, cos, dy]])


def ours(first: np.ndarray, second: np.ndarray, method: TVL1) -> np.ndarray:
    return np.moveaxis(tvl1.tvl1_flow(first, second, method), 0, -1)


def for_gpu(first: np.ndarray, second: np.ndarray, method: TVL1, *, compiled: bool = False) -> np.ndarray:
    one, other = torch.from_numpy(first)[None], torch.from_numpy(second)[None]
    return tvl1_gpu.tvl1_flow(one, other, method, compiled=compiled)[0].permute(1, 2, 0).numpy()


def opencv(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.optflow.DualTVL1OpticalFlow_create().calc(first, second, None))


def error(flow: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Endpoint difference, without a rim into which nothing moves."""
    return np.linalg.norm(flow - other, axis=-1)[8:-8, 8:-8]


@pytest.mark.parametrize(
    "motion",
    [
        matrix(dx=0.4, dy=-0.7),
        matrix(dx=3.0, dy=1.5),
        matrix(angle=0.03),
        matrix(angle=-0.06, dx=1.0),
        matrix(zoom=1.04),
    ],
)
def test_known_motions_are_found_as_well_as_by_opencv(motion: np.ndarray) -> None:
    means = np.zeros(2)
    for seed in range(2):
        first, second, flow = moved(seed, motion)
        means += [error(found, flow).mean() for found in (ours(first, second, TVL1()), opencv(first, second))]
    assert means[0] <= 1.02 * means[1] + 0.005  # pixels: versions of OpenCV differ by as much
    assert means[0] / 2 < 0.3  # pixels: a motion is found at all


def test_without_a_folder_for_the_cache_the_flow_is_compiled_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def njit(*, cache: bool = False, **_: object) -> Callable[[object], object]:
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: ("compiled", function)

    monkeypatch.setattr(tvl1.numba, "njit", njit)
    assert tvl1._compiled(abs) == ("compiled", abs)


def test_what_a_pair_gives_does_not_depend_on_the_others() -> None:
    pairs = [moved(seed, matrix(dx=seed, angle=0.02 * seed))[:2] for seed in range(4)]  # pair 0 stands still
    first, second = (torch.from_numpy(np.stack(frames)) for frames in zip(*pairs, strict=True))
    together = tvl1_gpu.tvl1_flow(first, second, TVL1())
    for index in range(4):
        alone = tvl1_gpu.tvl1_flow(first[index : index + 1], second[index : index + 1], TVL1())
        torch.testing.assert_close(together[index], alone[0], rtol=0, atol=1e-4)
    assert together[0, :, 8:-8, 8:-8].abs().median() < 1e-3


@pytest.mark.parametrize("compiled", [False, True])
def test_the_gpu_has_the_same_method(compiled: bool) -> None:
    if compiled and not tvl1_gpu.can_compile("cpu"):
        pytest.skip("there is no C++ compiler")
    for seed, motion in enumerate((matrix(dx=2.0), matrix(zoom=1.03))):
        first, second, _ = moved(seed, motion)
        difference = error(for_gpu(first, second, TVL1(), compiled=compiled), ours(first, second, TVL1()))
        assert difference.mean() < 0.01


@pytest.mark.parametrize("shape", [(1, 1), (3, 50), (17, 23), (40, 16)])
@pytest.mark.parametrize("solve", [ours, for_gpu])
def test_odd_and_tiny_frames_give_finite_flow(shape: tuple[int, int], solve: Solver) -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 255, (2, *shape)).astype(np.uint8)
    flow = solve(first, second, replace(TVL1(), warps=2))
    assert flow.shape == (*shape, 2)
    assert np.isfinite(flow).all()


@pytest.mark.parametrize("size", [1, 3, 5])
def test_median_is_that_of_the_window_with_replicated_borders(size: int) -> None:
    image = np.random.default_rng(0).normal(size=(9, 12)).astype(np.float32)
    padded = np.pad(image, size // 2, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size))
    expected = np.median(windows, axis=(2, 3))
    np.testing.assert_array_equal(tvl1_gpu._median(torch.from_numpy(image)[None], size)[0], expected)


def grey_pair(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Frames 10 and 11 of a clip, 340 x 256."""
    frames = []
    with av.open(str(path)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index >= 10:
                frames.append(
                    cv2.resize(frame.to_ndarray(format="gray"), (340, 256), interpolation=cv2.INTER_AREA)
                )
            if len(frames) == 2:
                break
    return frames[0], frames[1]


@pytest.mark.skipif(not CLIPS.is_dir(), reason="the real clips are not here")
@pytest.mark.parametrize("name", ["v_GGSY1Qvo990.mp4", "mmaction2_test.avi", "flipping_a_pancake.mkv"])
def test_real_clips_agree_with_opencv(name: str) -> None:
    first, second = grey_pair(CLIPS / name)
    difference = np.linalg.norm(ours(first, second, TVL1()) - opencv(first, second), axis=-1)
    assert difference.mean() < 0.15
    assert (difference > 1).mean() < 0.01
