"""Image towers of open_clip: `open_clip/NAME`, or `open_clip/NAME:TAG` for certain weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from tsrnet.core.errors import UserError
from tsrnet.features.backbones.network import (
    PRETRAINED,
    RGB_CHANNELS,
    Network,
    downloading,
    inflate_first_convolution,
    library,
)

PREFIX = "open_clip/"


def published(name: str, weights: str) -> str | None:
    """The tag of open_clip's weights; None if there are no such weights."""
    open_clip, model, tag = _known(name)
    tags = open_clip.list_pretrained_tags_by_model(model)
    if weights in PRETRAINED and not tag and tags:
        raise UserError(
            f"features.backbone: got {name}, need the name of its weights, as {name}:{tags[-1]}"
            f" (there are {', '.join(tags)})"
        )
    wanted = tag if weights in PRETRAINED else weights
    return wanted if wanted in tags else None


def build(name: str, channels: int, weights: str | None) -> Network:
    """The image tower with published weights, or random ones. Its features are the joint embedding."""
    open_clip, model, _ = _known(name)
    with downloading(name, weights):
        tower = open_clip.create_model(model, pretrained=weights, pretrained_text=False).visual
    if channels != RGB_CHANNELS:
        inflate_first_convolution(tower, channels)
    num_features = int(open_clip.get_model_config(model)["embed_dim"])
    size = int(np.min(tower.image_size))
    return Network(tower, num_features, tower.image_mean, tower.image_std, tower="visual", size=size)


def _known(name: str) -> tuple[Any, str, str]:
    open_clip = library("open_clip", name=name, extra="open_clip")
    model, _, tag = name.removeprefix(PREFIX).partition(":")
    if model not in open_clip.list_models():
        raise UserError(
            f"features.backbone: got {name}, need open_clip/ and a name of open_clip.list_models()"
        )
    return open_clip, model, tag
