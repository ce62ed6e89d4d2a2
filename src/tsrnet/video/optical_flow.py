"""Optical flow of frames, clipped and scaled as two-stream networks expect."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from tsrnet.video.flow_settings import DIS, RAFT, TVL1, FlowSettings

Frame = npt.NDArray[np.uint8]

_PAIRS_ON_GPU = {"tvl1": 320, "raft_small": 32, "raft_large": 32}
"""The pairs of 64 snippets; at 224 x 224 TV-L1's 320 pairs take about 2 GB."""
_DIS_PRESETS = {
    "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
    "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
    "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}


def flow_fields(
    frames: npt.NDArray[np.uint8], method: FlowSettings, device: str = "cpu"
) -> npt.NDArray[np.float32]:
    """Flow from each frame to the next.

    Args:
        frames: (t + 1, h, w, 3) uint8 RGB.
        method: its parameters.
        device: the device of torch; OpenCV's methods use the CPU only.

    Returns:
        (t, 2, h, w) float32, x then y, in units of `method.bound` pixels, within [-1, 1].
    """
    grey = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames])
    fields = np.zeros((len(grey) - 1, 2, *grey.shape[1:]), np.float32)
    moved = np.flatnonzero((grey[1:] != grey[:-1]).any(axis=(1, 2)))  # a repeated frame has not moved
    if isinstance(method, RAFT) or (device != "cpu" and method.runs_on_gpu):
        at_once = 1 if device == "cpu" else _PAIRS_ON_GPU[method.method]
        for start in range(0, len(moved), at_once):
            pairs = moved[start : start + at_once]
            fields[pairs] = _by_torch(frames if isinstance(method, RAFT) else grey, pairs, method, device)
    else:
        solve = _cpu_solver(method)
        for pair in moved:
            fields[pair] = solve(grey[pair], grey[pair + 1])
    clipped: npt.NDArray[np.float32] = np.clip(fields / np.float32(method.bound), -1, 1)
    return clipped


def check_flow(method: FlowSettings) -> None:
    """Raise UserError if RAFT's weights are not available; they are downloaded once, here."""
    if isinstance(method, RAFT):
        from tsrnet.video.raft import raft

        raft(method)


def _by_torch(
    images: npt.NDArray[np.uint8], pairs: npt.NDArray[np.intp], method: FlowSettings, device: str
) -> npt.NDArray[np.float32]:
    import torch  # not at the top: workers with OpenCV's flow start faster without it

    first, second = (torch.from_numpy(images[pairs + k]).to(device) for k in (0, 1))
    if isinstance(method, RAFT):
        from tsrnet.video.raft import raft_flow

        flow = raft_flow(first, second, method)
    else:
        assert isinstance(method, TVL1)
        from tsrnet.video.tvl1_gpu import can_compile, tvl1_flow

        flow = tvl1_flow(first, second, method, compiled=can_compile(device))
    fields: npt.NDArray[np.float32] = flow.cpu().numpy()
    return fields


@functools.lru_cache(maxsize=1)
def _cpu_solver(method: FlowSettings) -> Callable[[Frame, Frame], npt.NDArray[np.float32]]:
    """(h, w) of two grey frames -> (2, h, w) flow."""
    if isinstance(method, TVL1) and method.backend == "tsrnet":
        from tsrnet.video.tvl1 import tvl1_flow  # compiles, or reads what it compiled before

        return functools.partial(tvl1_flow, method=method)
    solver = _opencv_solver(method)
    return lambda first, second: solver.calc(first, second, None).transpose(2, 0, 1)


def _opencv_solver(method: FlowSettings) -> Any:
    if isinstance(method, DIS):
        return cv2.DISOpticalFlow_create(_DIS_PRESETS[method.preset])  # type: ignore[attr-defined]
    assert isinstance(method, TVL1)
    solver = cv2.optflow.DualTVL1OpticalFlow_create(  # type: ignore[attr-defined]
        tau=method.tau,
        lambda_=method.lambda_,
        theta=method.theta,
        nscales=method.scales,
        warps=method.warps,
        epsilon=method.epsilon,
        scaleStep=method.scale_step,
    )
    solver.setOuterIterations(method.outer_iterations)
    solver.setInnerIterations(method.inner_iterations)
    solver.setMedianFiltering(method.median)
    return solver
