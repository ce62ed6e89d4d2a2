"""The methods of optical flow and their parameters, checked."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import BeforeValidator, Field
from pydantic.dataclasses import dataclass

from tsrnet.core.settings import KNOWN_KEYS, Count, NonNegative, NotBool, Positive


@dataclass(frozen=True, config=KNOWN_KEYS)
class TVL1:
    """Parameters of the dual TV-L1 method (Zach et al. 2007) with OpenCV's defaults.

    `bound`: flow is clipped to +-bound pixels per frame and divided by it. `backend`: "tsrnet" is ours, the
    faster; "opencv" is OpenCV's DualTVL1OpticalFlow.
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
    backend: Literal["tsrnet", "opencv"] = "tsrnet"
    method: Literal["tvl1"] = "tvl1"

    @property
    def runs_on_gpu(self) -> bool:
        """Whether a GPU can compute it."""
        return self.backend == "tsrnet"


@dataclass(frozen=True, config=KNOWN_KEYS)
class DIS:
    """Dense inverse search (Kroeger et al. 2016), OpenCV's, by one of its presets; `bound` as for TVL1."""

    preset: Literal["ultrafast", "fast", "medium"] = "medium"
    bound: Positive = 20.0
    method: Literal["dis"] = "dis"
    runs_on_gpu: ClassVar = False


@dataclass(frozen=True, config=KNOWN_KEYS)
class RAFT:
    """RAFT (Teed and Deng 2020), torchvision's; `bound` as for TVL1.

    `weights`: "pretrained" are torchvision's newest, or a file with a state dict. `updates`: iterations.
    """

    weights: str = "pretrained"
    updates: Count = 12
    bound: Positive = 20.0
    method: Literal["raft_small", "raft_large"] = "raft_large"
    runs_on_gpu: ClassVar = True


FlowSettings: TypeAlias = Annotated[
    TVL1 | DIS | RAFT,
    Field(discriminator="method"),
    BeforeValidator(lambda value: {"method": "tvl1", **value} if isinstance(value, dict) else value),
]
"""The settings of one of the methods, by `method` in the configuration; TV-L1 if it has none."""
