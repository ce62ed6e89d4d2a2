"""The rules of other papers, by the name that the configuration has for them (`localization.rule.name`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator, Field

from tsrnet.localization.basnet import BaSNetRule, basnet
from tsrnet.localization.co2net import CO2NetRule, co2net
from tsrnet.localization.rule import DetectedRuns, VideoScores
from tsrnet.localization.stpn import STPNRule, stpn
from tsrnet.localization.untrimmednet import UntrimmedNetRule, untrimmednet
from tsrnet.localization.wtalc import WTALCRule, wtalc

RuleSettings: TypeAlias = Annotated[
    STPNRule | UntrimmedNetRule | WTALCRule | BaSNetRule | CO2NetRule,
    Field(discriminator="name"),
    BeforeValidator(lambda value: {"name": value} if isinstance(value, str) else value),
]

_RULES: Mapping[str, Callable[[VideoScores, Any], DetectedRuns]] = {
    "stpn": stpn,
    "untrimmednet": untrimmednet,
    "wtalc": wtalc,
    "basnet": basnet,
    "co2net": co2net,
}


def detect(scores: VideoScores, rule: RuleSettings) -> DetectedRuns:
    """The detections in a video by the rule of these settings."""
    return _RULES[rule.name](scores, rule)
