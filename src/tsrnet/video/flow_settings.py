"""The parameters of TV-L1 optical flow, checked."""

from __future__ import annotations

from dataclasses import dataclass

BACKENDS = ("auto", "torch", "opencv")


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
