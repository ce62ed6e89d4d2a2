"""TV-L1 optical flow of frames, clipped and scaled as two-stream networks expect."""

from __future__ import annotations

import functools
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from tsrnet.video.flow_settings import TVL1

_PAIRS_ON_GPU = 320
"""Of 64 snippets; at 224 x 224 they take about 2 GB."""


def flow_fields(frames: npt.NDArray[np.uint8], method: TVL1, device: str = "cpu") -> npt.NDArray[np.float32]:
    """Flow from each frame to the next.

    Args:
        frames: (t + 1, h, w, 3) uint8 RGB.
        method: the parameters.
        device: where our TV-L1 computes, in torch's words; OpenCV's has the CPU only.

    Returns:
        (t, 2, h, w) float32, x then y, in units of `method.bound` pixels, within [-1, 1].
    """
    grey = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames])
    fields = np.zeros((len(grey) - 1, 2, *grey.shape[1:]), np.float32)
    moved = np.flatnonzero((grey[1:] != grey[:-1]).any(axis=(1, 2)))  # a repeated frame has not
    if method.backend == "opencv":
        for pair in moved:
            flow = _opencv_solver(method).calc(grey[pair], grey[pair + 1], None)
            fields[pair] = flow.transpose(2, 0, 1)
    else:
        import torch  # not on top: workers that take OpenCV's start faster without

        from tsrnet.video.tvl1 import can_compile, tvl1_flow

        # One pair at a time on a CPU: what it needs then stays in the cache.
        at_once, compiled = 1 if device == "cpu" else _PAIRS_ON_GPU, can_compile(device)
        for start in range(0, len(moved), at_once):
            pairs = moved[start : start + at_once]
            first, second = (torch.from_numpy(grey[pairs + k]).to(device) for k in (0, 1))
            fields[pairs] = tvl1_flow(first, second, method, compiled=compiled).cpu().numpy()
    clipped: npt.NDArray[np.float32] = np.clip(fields / np.float32(method.bound), -1, 1)
    return clipped


@functools.lru_cache(maxsize=1)
def _opencv_solver(method: TVL1) -> Any:
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
