"""TV-L1 optical flow of frames, clipped and scaled as two-stream networks expect."""

from __future__ import annotations

import functools
import shutil
import sys
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

BACKENDS = ("auto", "torch", "opencv")
_PAIRS_ON_GPU = 320
"""Of 64 snippets; at 224 x 224 they take about 2 GB."""


@dataclass(frozen=True)
class TVL1:
    """Parameters of the dual TV-L1 method (Zach et al. 2007) with OpenCV's defaults.

    `bound`: flow is clipped to +-bound pixels a frame and divided by it. `backend`: "torch" is ours,
    "opencv" is OpenCV's DualTVL1OpticalFlow; "auto" is the faster, which is ours, compiled or not.
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
    backend: str = "auto"

    def __post_init__(self) -> None:
        if self.median not in (1, 3, 5):
            raise ValueError(f"flow.median: got {self.median}, need 1 (off), 3 or 5")
        if not self.bound > 0:
            raise ValueError(f"flow.bound: got {self.bound}, need a number of pixels above 0")
        if self.backend not in BACKENDS:
            raise ValueError(f"flow.backend: got {self.backend}, need one of {', '.join(BACKENDS)}")
        if self.backend == "auto":
            object.__setattr__(self, "backend", "torch")


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

        from tsrnet.video.tvl1 import tvl1_flow

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


@functools.cache
def can_compile(device: str = "cpu") -> bool:
    """Whether torch.compile works here: for a CPU it needs a C++ compiler, else Triton. Tried once."""
    if device == "cpu" and not any(shutil.which(name) for name in ("g++", "clang++", "c++")):
        return False
    import torch

    from tsrnet.video.tvl1 import tvl1_flow

    pair = torch.zeros(2, 1, 32, 32, device=device)
    try:
        tvl1_flow(pair[0], pair[1], TVL1(scales=1, warps=1), compiled=True)
    except Exception as error:  # whatever a broken compiler or its headers make of it
        print(f"flow: torch.compile fails ({type(error).__name__}), uncompiled instead", file=sys.stderr)
        return False
    return True
