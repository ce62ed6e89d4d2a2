"""The models that a run can train, by their names in the configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeAlias

from tsrnet.core.errors import UserError
from tsrnet.core.settings import settings_of
from tsrnet.models.basnet import BaSNet, BaSNetSettings
from tsrnet.models.co2net import CO2Net, CO2NetSettings
from tsrnet.models.snippet_head import SnippetHead, SnippetHeadSettings
from tsrnet.models.stpn import STPN, STPNSettings
from tsrnet.models.tsrnet import TSRNet, TSRNetSettings
from tsrnet.models.tsrnet_plus import TSRNetPlus, TSRNetPlusSettings
from tsrnet.models.untrimmednet import UntrimmedNet, UntrimmedNetSettings
from tsrnet.models.video_model import VideoModel
from tsrnet.models.wtalc import WTALC, WTALCSettings

ModelSettings: TypeAlias = (
    TSRNetSettings
    | TSRNetPlusSettings
    | STPNSettings
    | UntrimmedNetSettings
    | WTALCSettings
    | BaSNetSettings
    | CO2NetSettings
    | SnippetHeadSettings
)


@dataclass(frozen=True)
class _Model:
    settings: type[Any]
    build: Callable[..., VideoModel]


MODELS: Mapping[str, _Model] = {
    "tsrnet": _Model(TSRNetSettings, TSRNet),  # Two-Stream and SRNet, too
    "tsrnet_plus": _Model(TSRNetPlusSettings, TSRNetPlus),
    "stpn": _Model(STPNSettings, STPN),
    "untrimmednet": _Model(UntrimmedNetSettings, UntrimmedNet),
    "wtalc": _Model(WTALCSettings, WTALC),
    "basnet": _Model(BaSNetSettings, BaSNet),
    "co2net": _Model(CO2NetSettings, CO2Net),
    "snippet_head": _Model(SnippetHeadSettings, SnippetHead),  # of a second stage
}


def model_settings(model: str | Mapping[str, Any]) -> ModelSettings:
    """The settings of a model, by its name alone or with values: `{"name": "tsrnet", "hops": 2}`."""
    node = {"name": model} if isinstance(model, str) else dict(model)
    name = str(node.pop("name", None))
    if name not in MODELS:
        raise UserError(f"model.name: got {name}, need one of {', '.join(MODELS)}")
    settings: ModelSettings = settings_of(MODELS[name].settings, node, where="model")
    return settings


def model_name(settings: ModelSettings) -> str:
    return next(name for name, model in MODELS.items() if type(settings) is model.settings)


def describe_model(settings: ModelSettings) -> dict[str, Any]:
    """Plain data of which `model_settings` makes the same settings."""
    return {"name": model_name(settings), **asdict(settings)}


def tsrnet_part(settings: ModelSettings) -> TSRNetSettings | None:
    """The settings of the part with L_SA, L_KT and a teacher of its kind; None for a rival."""
    if not isinstance(settings, TSRNetSettings):
        return None
    return TSRNetSettings(**{field.name: getattr(settings, field.name) for field in fields(TSRNetSettings)})


def build_model(settings: ModelSettings, *, num_features: int, num_classes: int) -> VideoModel:
    """A fresh model."""
    build = MODELS[model_name(settings)].build
    return build(settings, num_features=num_features, num_classes=num_classes)
