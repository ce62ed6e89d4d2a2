"""The networks that turn snippets into features, by name; one for each stream."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from tsrnet.core.errors import UserError
from tsrnet.features.backbones import (
    efficientnet_lite,
    open_clip_towers,
    timm_networks,
    torchvision_networks,
)
from tsrnet.features.backbones.network import RGB_CHANNELS, Network
from tsrnet.video.snippets import FLOW_CHANNELS, SnippetSettings

_CLIPS_AT_ONCE = {"cpu": 2, "cuda": 16}
"""Clips take 16 to 64 times the memory of images."""


class Backbone(nn.Module):
    """A network without its classifier, for one stream.

    Args:
        name: `resnet10`, `efficientnet_lite0`, a torchvision name (`resnet101`, `convnext_tiny`;
            `r2plus1d_18`, `s3d` and others take clips, of RGB only), `timm/NAME` or `open_clip/NAME[:TAG]`.
            If two names are joined by +, the first is for RGB and the second for flow.
        stream: "rgb" takes uint8 images (n, h, w, 3) or clips (n, t, h, w, 3); "flow" takes (n, 10, h, w)
            floats in [-1, 1].
        weights: a name of published weights, see `imagenet_weights`; the path of a file; None: random.

    Raises UserError for a name that is not known, or whose library is not installed, and for weights
    that cannot be downloaded or are of another network.
    """

    def __init__(self, name: str, *, stream: str, weights: str | Path | None = None) -> None:
        super().__init__()
        self.name, self.stream = _of_stream(name, stream), stream
        published = None if isinstance(weights, Path) else weights
        channels = RGB_CHANNELS if stream == "rgb" else FLOW_CHANNELS
        network = _library(self.name).build(self.name, channels, published)
        if isinstance(weights, Path):
            network.load(weights, need=f"{self.name} for {stream}")
        self.network, self.num_features = network.module, network.num_features
        self.takes_clips, self._size = network.takes_clips, network.size
        self.mean: Tensor
        self.std: Tensor
        for key, values in (("mean", network.mean), ("std", network.std)):
            shape = (3, 1, 1, 1) if network.takes_clips else (3, 1, 1)
            self.register_buffer(key, torch.tensor(values).view(shape), persistent=False)

    def forward(self, snippets: Tensor) -> Tensor:
        """(n, d) features of n snippets."""
        if self.stream == "rgb":
            images = (snippets.movedim(-1, 1).float() / 255 - self.mean) / self.std
        else:
            images = snippets.float()
        layout = torch.channels_last_3d if self.takes_clips else torch.channels_last
        features: Tensor = self.network(images.contiguous(memory_format=layout))
        return features

    @torch.inference_mode()
    def features(self, snippets: npt.NDArray[np.generic]) -> npt.NDArray[np.float16]:
        """(n, d) of n snippets, computed on the device of the weights; on CUDA in half precision."""
        device, rows = self.mean.device, torch.from_numpy(snippets)
        at_once = _CLIPS_AT_ONCE[device.type] if self.takes_clips else len(rows)
        with torch.autocast(device.type, torch.float16, enabled=device.type == "cuda"):
            done = torch.cat([self(part.to(device)).half().cpu() for part in torch.split(rows, at_once)])
        features: npt.NDArray[np.float16] = done.numpy()
        return features

    def check(self, settings: SnippetSettings) -> None:
        """Raise UserError if the network cannot take snippets of these settings."""
        if self.stream == "rgb" and self.takes_clips != (settings.clip is not None):
            need, preset = "null", "resnet101"
            if self.takes_clips:
                need, preset = "frames and stride", "r2plus1d_18"
            raise UserError(
                f"features.clip: got {settings.clip}, {self.name} needs {need}; give a preset for networks"
                f" of its kind, as features={preset} features.backbone={self.name}"
            )
        pixels = np.zeros((1, *settings.shape(self.stream)), np.uint8 if self.stream == "rgb" else np.float16)
        try:
            self.features(pixels)
        except (RuntimeError, AssertionError, ValueError) as error:
            reason = str(error).strip().split("\n")[0][:160]
            raise UserError(
                f"features.crop: got {settings.crop}, {self.name} cannot take {self.stream} of"
                f" {pixels.shape[1:]} ({reason}); give features.crop={self._size} and a features.resize"
            ) from error


class _Library(Protocol):
    """What a module of `backbones` offers."""

    def published(self, name: str, weights: str) -> str | None: ...
    def build(self, name: str, channels: int, weights: str | None) -> Network: ...


def _library(name: str) -> _Library:
    if name == efficientnet_lite.NAME:
        return efficientnet_lite
    for library in (timm_networks, open_clip_towers):
        if name.startswith(library.PREFIX):
            return library
    return torchvision_networks


def _of_stream(names: str, stream: str) -> str:
    """The name for a stream, of two names that are joined by +."""
    rgb, _, flow = names.partition("+")
    return flow if flow and stream == "flow" else rgb


def _own(name: str, weights: str, stream: str) -> tuple[str, str]:
    """The network of a stream and its weights."""
    shared = "+" not in name or Path(weights).is_file()
    return _of_stream(name, stream), weights if shared else _of_stream(weights, stream)


def imagenet_weights(name: str, weights: str) -> str | None:
    """The library's own name of published weights, which identifies them; None if it has no such weights.

    `weights`: such a name, or "pretrained", "imagenet" or "kinetics" for the newest weights.
    """
    return _library(name).published(name, weights)


def weights_file(name: str, weights: str, *, stream: str) -> Path | None:
    """The file that `weights` names for a stream; None if it names published weights."""
    path = Path(_own(name, weights, stream)[1])
    return path if path.is_file() else None


def weights_identity(name: str, weights: str) -> str:
    """The identity of weights: their published name or checksum; for two networks, both.

    `load_backbone` takes the names, but no checksum.
    """
    known = []
    for stream in ("rgb", "flow")[: 2 if "+" in name else 1]:
        if path := weights_file(name, weights, stream=stream):
            known.append(f"sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}")
        else:
            own = _own(name, weights, stream)
            known.append(imagenet_weights(*own) or own[1])
    return "+".join(known)


def load_backbone(name: str, *, stream: str, weights: str) -> Backbone:
    """A frozen backbone with published weights or those of a file.

    A file is a state dict, as the library of the network saves it (for flow, the first convolution is then
    inflated from RGB) or as a `Backbone` does. For two networks, `weights` may be two names that are joined
    by +.
    """
    own, source = _own(name, weights, stream), weights_file(name, weights, stream=stream)
    published = None if source else imagenet_weights(*own)
    if not source and not published:
        raise UserError(
            f"features.weights: got {own[1]}, need pretrained, the name of weights that {own[0]} has"
            " (IMAGENET1K_V1), or a file with a state dict"
        )
    backbone = Backbone(name, stream=stream, weights=source or published)
    return backbone.eval().requires_grad_(False)
