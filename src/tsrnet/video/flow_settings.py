"""The parameters of TV-L1 optical flow, checked."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from tsrnet.core.settings import KNOWN_KEYS, Count, NonNegative, NotBool, Positive

Backend: TypeAlias = Literal["auto", "torch", "opencv"]


def _faster(backend: Backend) -> Backend:
    return "torch" if backend == "auto" else backend


@dataclass(frozen=True, config=KNOWN_KEYS)
class TVL1:
    """Parameters of the dual TV-L1 method (Zach et al. 2007) with OpenCV's defaults.

    `bound`: flow is clipped to +-bound pixels a frame and divided by it. `backend`: "torch" is ours,
    "opencv" is OpenCV's DualTVL1OpticalFlow; "auto" is the faster, which is ours, compiled or not.
    """

    tau: Positive = 0.25
    lambda_: Positive = 0.15
    theta: Positive = 0.3
    scales: Count = 5
    scale_step: Annotated[float, Field(gt=0, lt=1), NotBool] = 0.8
    warps: Count = 5
    epsilon: NonNegative = 0.01
    outer_iterations: Count = 10
    inner_iterations: Count = 30
    median: Literal[1, 3, 5] = 5  # 1: off
    bound: Positive = 20.0
    backend: Annotated[Backend, AfterValidator(_faster)] = "torch"
