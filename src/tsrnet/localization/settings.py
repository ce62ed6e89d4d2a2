"""The constants of the localisation, checked."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BeforeValidator, Field, model_validator
from pydantic.dataclasses import dataclass

from tsrnet.core.settings import KNOWN_KEYS, NonNegative, NotBool, Share
from tsrnet.localization.basnet import BaSNetRule
from tsrnet.localization.co2net import CO2NetRule
from tsrnet.localization.stpn import STPNRule
from tsrnet.localization.suppression import SuppressionSettings
from tsrnet.localization.untrimmednet import UntrimmedNetRule
from tsrnet.localization.wtalc import WTALCRule

AttentionForm: TypeAlias = Literal["standardized", "max", "raw", "none"]
ActivationForm: TypeAlias = Literal["raw", "centered"]
Threshold = Annotated[float, Field(gt=0, lt=1), NotBool]
RuleSettings: TypeAlias = Annotated[
    STPNRule | UntrimmedNetRule | WTALCRule | BaSNetRule | CO2NetRule,
    Field(discriminator="name"),
    BeforeValidator(lambda value: {"name": value} if isinstance(value, str) else value),
]
"""The rules of other papers, by their `name`."""


@dataclass(frozen=True, config=KNOWN_KEYS)
class LocalizationSettings(SuppressionSettings):
    """Constants of the localisation: θ of eq. (11), threshold, D5, D9, and options beyond the paper.

    `activation`: "raw", v_c^T x_i as in eq. (10), or "centered", less its mean over the classes (D6).
    `threshold`: one, or several, which need `nms` or `soft_nms`. `max_gap_s`: fills gaps up to this length.
    `min_duration_s`: removes shorter segments. `score` of a segment: "mean" or "max" of its snippets, or
    "contrast", the mean minus the mean of a quarter of its length on each side. It is multiplied by the
    probability of the class to the power of `class_power`. `smoothing_s`: width of a moving mean over the
    scores of the snippets.
    `rule`: the rule of another paper in place of all these; θ, `attention` and `activation` are then for
    pictures only.
    """

    theta: Share = 0.5
    threshold: Threshold | Annotated[tuple[Threshold, ...], Field(min_length=1)] = 0.2
    attention: AttentionForm = "standardized"
    activation: ActivationForm = "raw"
    min_probability: Share = 0.1
    max_gap_s: NonNegative = 0.0
    min_duration_s: NonNegative = 0.0
    score: Literal["mean", "max", "contrast"] = "mean"
    class_power: NonNegative = 0.0
    smoothing_s: NonNegative = 0.0
    rule: RuleSettings | None = None

    @model_validator(mode="after")
    def _check_nms(self) -> LocalizationSettings:
        if self.nms is None and self.soft_nms is None and len(self.thresholds) > 1:
            raise ValueError("nms: got null, need a tIoU for several thresholds, whose segments overlap")
        return self

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Thresholds on the fused score; none for the rule of another paper."""
        if self.rule is not None:
            return ()
        return self.threshold if isinstance(self.threshold, tuple) else (self.threshold,)
