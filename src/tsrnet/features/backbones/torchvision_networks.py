"""Torchvision's networks for images (ImageNet) and for clips (Kinetics), and a small ResNet."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torchvision
from torch import nn
from torchvision.models.resnet import BasicBlock

from tsrnet.core.errors import UserError
from tsrnet.features.backbones.network import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    PRETRAINED,
    RGB_CHANNELS,
    Network,
    cut_classifier,
    downloading,
    inflate_first_convolution,
)

IMAGES = frozenset(torchvision.models.list_models(module=torchvision.models))
CLIPS = frozenset(torchvision.models.list_models(module=torchvision.models.video))


def published(name: str, weights: str) -> str | None:
    """IMAGENET1K_V1, KINETICS400_V1, ...: what `weights` stands for; None where there are no such ones."""
    if name not in IMAGES | CLIPS:
        return None
    known = torchvision.models.get_model_weights(name)
    if weights in PRETRAINED:
        return str(known.DEFAULT.name)
    return weights if weights in known.__members__ else None


def build(name: str, channels: int, weights: str | None) -> Network:
    """A network with published weights, or random ones. Mean and standard deviation are the weights' own."""
    if name == "resnet10":
        return _resnet10(channels)
    if name not in IMAGES | CLIPS:
        raise UserError(
            f"features.backbone: got {name}, need resnet10, efficientnet_lite0, a network of torchvision"
            " (resnet101, r2plus1d_18), timm/NAME or open_clip/NAME"
        )
    if name in CLIPS and channels != RGB_CHANNELS:
        raise UserError(
            f"features.backbone: got {name} for the flow stream, but it takes only RGB; give stream=rgb, or"
            f" features.backbone={name}+efficientnet_lite0, which uses the second network for flow"
        )
    known = torchvision.models.get_model_weights(name)
    pixels = (known[weights] if weights else known.DEFAULT).transforms()
    with downloading(name, weights):
        module = torchvision.models.get_model(name, weights=weights)
    size, clips = pixels.crop_size[0], name in CLIPS
    return _without_classifier(module, channels, pixels.mean, pixels.std, size=size, takes_clips=clips)


def _without_classifier(
    module: nn.Module,
    channels: int,
    mean: Sequence[float],
    std: Sequence[float],
    *,
    size: int,
    takes_clips: bool = False,
) -> Network:
    classifier, num_features = cut_classifier(module)
    if channels != RGB_CHANNELS:
        inflate_first_convolution(module, channels)
    return Network(module, num_features, mean, std, (classifier,), takes_clips=takes_clips, size=size)


def _resnet10(channels: int) -> Network:
    """A ResNet of one block a level, half as wide as torchvision's: small enough to train in a minute."""
    widths = (32, 32, 64, 128, 256)
    module = nn.Sequential(
        nn.Conv2d(channels, widths[0], 7, stride=2, padding=3, bias=False),
        nn.BatchNorm2d(widths[0]),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2, padding=1),
        *(_block(*pair) for pair in itertools.pairwise(widths)),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    return Network(module, widths[-1], IMAGENET_MEAN, IMAGENET_STD)


def _block(narrow: int, wide: int) -> BasicBlock:
    """A block of a ResNet; one that gets wider halves the resolution."""
    if narrow == wide:
        return BasicBlock(narrow, wide)
    shortcut = nn.Sequential(nn.Conv2d(narrow, wide, 1, stride=2, bias=False), nn.BatchNorm2d(wide))
    return BasicBlock(narrow, wide, stride=2, downsample=shortcut)
