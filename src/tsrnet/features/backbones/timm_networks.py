"""timm's networks: `timm/NAME`, or `timm/NAME.TAG` for certain weights."""

from __future__ import annotations

from typing import Any

from tsrnet.core.errors import UserError
from tsrnet.features.backbones.network import PRETRAINED, Network, downloading, library

PREFIX = "timm/"


def published(name: str, weights: str) -> str | None:
    """The tag of timm's weights, such as a1_in1k; None if there are no such weights."""
    timm, model = _known(name)
    if weights in PRETRAINED:
        config = timm.models.get_pretrained_cfg(model)
        return str(config.tag) if config and config.has_weights else None
    return weights if timm.is_model_pretrained(f"{model.partition('.')[0]}.{weights}") else None


def build(name: str, channels: int, weights: str | None) -> Network:
    """A network with published weights, or random ones; timm adapts its input to the channels."""
    timm, model = _known(name)
    if weights:
        model = f"{model.partition('.')[0]}.{weights}"
    with downloading(name, weights):
        module = timm.create_model(model, pretrained=bool(weights), num_classes=0, in_chans=channels)
    pixels = timm.data.resolve_model_data_config(module)
    classifier = module.pretrained_cfg["classifier"] or ()
    return Network(
        module,
        module.head_hidden_size,
        pixels["mean"],
        pixels["std"],
        (classifier,) if isinstance(classifier, str) else tuple(classifier),
        size=pixels["input_size"][-1],
    )


def _known(name: str) -> tuple[Any, str]:
    timm, model = library("timm", name=name, extra="timm"), name.removeprefix(PREFIX)
    if not timm.is_model(model):
        raise UserError(f"features.backbone: got {name}, need timm/ and a name of timm.list_models()")
    return timm, model
