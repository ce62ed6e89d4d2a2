"""A network that ends in features: the pixels that it expects, and how its weights are loaded."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tsrnet.core.errors import UserError
from tsrnet.core.weights import State, load_weights

RGB_CHANNELS = 3
PRETRAINED = frozenset({"pretrained", "imagenet", "kinetics"})
"""Values of `features.weights` that stand for the newest weights which a network's library publishes."""
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Network:
    """A network without its classifier, as a library gives it.

    Args:
        module: (n, channels, h, w) or, with `takes_clips`, (n, 3, t, h, w) -> (n, num_features).
        num_features: d.
        mean, std: of its RGB input, whose pixels are from 0 to 1.
        classifier: names of the removed layers, whose weights in a file are left out.
        tower: its name in a file with the weights of a larger model.
        takes_clips: it takes clips of frames, not single frames.
        size: side of the square that it was trained on, in pixels; many networks take other sizes, too.
    """

    module: nn.Module
    num_features: int
    mean: Sequence[float]
    std: Sequence[float]
    classifier: tuple[str, ...] = ()
    tower: str = ""
    takes_clips: bool = False
    size: int = 224

    def load(self, path: Path, *, need: str) -> None:
        """Load a state dict: of this network, of the model that it is the tower of, or of a `Backbone`.

        RGB kernels of the first convolution are inflated if this network has more channels.
        Raises UserError for anything else; `need` is what the file must hold, for the message.
        """
        load_weights(self.module, path, need=need, change=self._fitted)

    def _fitted(self, state: State) -> State:
        state = {key.removeprefix("network."): value for key, value in state.items()}
        inside = f"{self.tower}."
        if self.tower and any(key.startswith(inside) for key in state):
            state = {key.removeprefix(inside): v for key, v in state.items() if key.startswith(inside)}
        own, cut = self.module.state_dict(), tuple(f"{layer}." for layer in self.classifier)
        return {
            key: inflated(value, own[key].shape[1]) if key in own and _is_rgb(value, own[key]) else value
            for key, value in state.items()
            if not key.startswith(cut)
        }


def _is_rgb(kernels: Tensor, own: Tensor) -> bool:
    if not kernels.ndim == own.ndim == 4 or not kernels.shape[1] == RGB_CHANNELS != own.shape[1]:
        return False
    return kernels.shape[0] == own.shape[0] and kernels.shape[2:] == own.shape[2:]


def inflated(kernels: Tensor, channels: int) -> Tensor:
    """(out, 3, h, w) RGB kernels -> (out, channels, h, w), each with the mean of the RGB kernels.

    Two-stream networks start the flow network from ImageNet in this way (Wang et al. 2016, TSN).
    """
    return kernels.mean(dim=1, keepdim=True).repeat(1, channels, 1, 1)


def inflate_first_convolution(module: nn.Module, channels: int) -> None:
    """Make the first convolution of a module take `channels` channels in place of RGB."""
    first = next(part for part in module.modules() if isinstance(part, nn.Conv2d))
    with torch.no_grad():
        first.weight = nn.Parameter(inflated(first.weight, channels))
    first.in_channels = channels


def cut_classifier(module: nn.Module) -> tuple[str, int]:
    """Remove the last layer that has weights; return its name and the size of its input."""
    layers = nn.Linear | nn.Conv2d | nn.Conv3d
    name, last = [found for found in module.named_modules() if isinstance(found[1], layers)][-1]
    module.set_submodule(name, nn.Identity())
    return name, last.in_features if isinstance(last, nn.Linear) else last.in_channels


def library(module: str, *, name: str, extra: str) -> Any:
    """The library of a backbone. If it is not installed, UserError says how to get it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(
            f"features.backbone: got {name}, which needs {module} ({error}); pip install 'tsrnet[{extra}]'"
        ) from error


@contextmanager
def downloading(name: str, weights: str | None) -> Iterator[None]:
    """Turn any failure of a library to download weights into a UserError."""
    try:
        yield
    except Exception as error:  # each library's client has its own
        if weights is None:
            raise
        reason = str(error).strip().split("\n")[0][:160]
        raise UserError(
            f"features.weights: got {weights}, which cannot be downloaded for {name} ({reason}); give a file"
        ) from error
