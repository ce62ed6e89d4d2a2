"""The methods of optical flow and their parameters, checked."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter
from pydantic.dataclasses import dataclass

from tsrnet.core.settings import KNOWN_KEYS, Count, NonNegative, NotBool, Positive

Backend: TypeAlias = Literal["auto", "torch", "opencv"]
_ONE_OF_ALL = Field(description="one of tvl1, dis, raft_small, raft_large")


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
    method: Annotated[Literal["tvl1"], _ONE_OF_ALL] = "tvl1"

    @property
    def uses_torch(self) -> bool:
        """Whether it is computed by torch, which can do it on a GPU."""
        return self.backend == "torch"


@dataclass(frozen=True, config=KNOWN_KEYS)
class DIS:
    """Dense inverse search (Kroeger et al. 2016), OpenCV's, by one of its presets; `bound` as of TVL1."""

    preset: Literal["ultrafast", "fast", "medium"] = "medium"
    bound: Positive = 20.0
    method: Annotated[Literal["dis"], _ONE_OF_ALL] = "dis"

    @property
    def uses_torch(self) -> bool:
        return False


@dataclass(frozen=True, config=KNOWN_KEYS)
class RAFT:
    """RAFT (Teed and Deng 2020), torchvision's; `bound` as of TVL1.

    `weights`: "pretrained" are torchvision's newest, or a file with a state dict. `updates`: iterations.
    """

    weights: str = "pretrained"
    updates: Count = 12
    bound: Positive = 20.0
    method: Annotated[Literal["raft_small", "raft_large"], _ONE_OF_ALL] = "raft_large"

    @property
    def uses_torch(self) -> bool:
        return True


@dataclass(frozen=True)
class _AnyMethod:
    """To name all methods where one is asked for that there is not."""

    method: Annotated[Literal["tvl1", "dis", "raft_small", "raft_large"], _ONE_OF_ALL]


_METHODS: dict[str, TypeAdapter[Any]] = {
    "tvl1": TypeAdapter(TVL1),
    "dis": TypeAdapter(DIS),
    **dict.fromkeys(("raft_small", "raft_large"), TypeAdapter(RAFT)),
}
_NO_METHOD = TypeAdapter(_AnyMethod)


def _by_method(values: Any) -> Any:
    """A mapping as the settings of its method; keys of other methods are ignored."""
    if not isinstance(values, dict):
        return values
    adapter = _METHODS.get(str(values.get("method", "tvl1")), _NO_METHOD)
    return adapter.validate_python(values, extra="ignore")


FlowSettings: TypeAlias = Annotated[TVL1 | DIS | RAFT, BeforeValidator(_by_method)]
"""The settings of one of the methods: from the configuration by its `method`, TV-L1 where it has none."""
