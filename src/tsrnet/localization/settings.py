"""The constants of the localisation, checked."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from tsrnet.core.settings import KNOWN_KEYS, NonNegative, NotBool, Share, ShareBelowOne

AttentionForm: TypeAlias = Literal["standardized", "max", "raw", "none"]
Threshold = Annotated[float, Field(gt=0, lt=1), NotBool]


@dataclass(frozen=True, config=KNOWN_KEYS)
class LocalizationSettings:
    """θ of eq. (11), the paper's threshold, D5's and D9's choices; then what goes beyond the paper.

    `threshold`: one, or several whose segments compete by `nms`: of two of a class that overlap by more
    than this tIoU the one with the lower score goes. `max_gap_s`: gaps up to this length are filled.
    `min_duration_s`: shorter segments go. `score` of a segment: "mean" or "max" of its snippets, or
    "contrast", the mean minus that of its surroundings, a quarter of its length on each side; times the
    probability of its class in the video to the power of `class_power`. `smoothing_s`: width of a moving
    mean over the scores of the snippets.
    """

    theta: Share = 0.5
    threshold: Threshold | Annotated[tuple[Threshold, ...], Field(min_length=1)] = 0.2
    attention: AttentionForm = "standardized"
    min_probability: Share = 0.1
    nms: ShareBelowOne | None = None
    max_gap_s: NonNegative = 0.0
    min_duration_s: NonNegative = 0.0
    score: Literal["mean", "max", "contrast"] = "mean"
    class_power: NonNegative = 0.0
    smoothing_s: NonNegative = 0.0

    @model_validator(mode="after")
    def _check_nms(self) -> LocalizationSettings:
        if self.nms is None and len(self.thresholds) > 1:
            raise ValueError("nms: got null, need a tIoU with several thresholds, whose segments overlap")
        return self

    @property
    def thresholds(self) -> tuple[float, ...]:
        return self.threshold if isinstance(self.threshold, tuple) else (self.threshold,)
