"""TV-L1 optical flow (OpenCV's DualTVL1), clipped and scaled as two-stream networks expect."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class TVL1:
    """Parameters of the dual TV-L1 method (Zach et al. 2007) with OpenCV's defaults.

    `bound`: flow is clipped to +-bound pixels a frame and divided by it.
    """

    tau: float = 0.25
    lambda_: float = 0.15
    theta: float = 0.3
    scales: int = 5
    scale_step: float = 0.8
    warps: int = 5
    epsilon: float = 0.01
    outer_iterations: int = 10
    inner_iterations: int = 30
    median: int = 5
    bound: float = 20.0

    def __post_init__(self) -> None:
        if self.median not in (1, 3, 5):
            raise ValueError(f"flow.median: got {self.median}, need 1 (off), 3 or 5")
        if not self.bound > 0:
            raise ValueError(f"flow.bound: got {self.bound}, need a number of pixels above 0")


def flow_fields(frames: npt.NDArray[np.uint8], method: TVL1) -> npt.NDArray[np.float32]:
    """Flow from each frame to the next.

    Args:
        frames: (t + 1, h, w, 3) uint8 RGB.
        method: the parameters.

    Returns:
        (t, 2, h, w) float32, x then y, in units of `method.bound` pixels, within [-1, 1].
    """
    solver: Any = cv2.optflow.DualTVL1OpticalFlow_create(  # type: ignore[attr-defined]
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
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    height, width = frames.shape[1:3]
    fields = np.zeros((len(grey) - 1, 2, height, width), np.float32)
    for index, (first, second) in enumerate(itertools.pairwise(grey)):
        if not np.array_equal(first, second):  # a repeated frame has not moved
            fields[index] = solver.calc(first, second, None).transpose(2, 0, 1)
    clipped: npt.NDArray[np.float32] = np.clip(fields / np.float32(method.bound), -1, 1)
    return clipped
