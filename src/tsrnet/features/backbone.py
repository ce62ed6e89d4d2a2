"""Image networks that turn a snippet into a feature vector, one per stream."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torchvision
from torch import Tensor, nn

from tsrnet.core.errors import UserError
from tsrnet.core.weights import load_weights
from tsrnet.video.snippets import FLOW_CHANNELS

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)


def _resnet10() -> nn.Module:
    """torchvision's ResNet with one basic block a level: small enough to train in a minute."""
    network: nn.Module = torchvision.models.ResNet(torchvision.models.resnet.BasicBlock, [1, 1, 1, 1])
    return network


def inflate_first_convolution(convolution: nn.Conv2d, channels: int) -> nn.Conv2d:
    """The same convolution for `channels` input channels, each with the mean of the RGB kernels.

    The way two-stream networks start the flow network from ImageNet (Wang et al. 2016, TSN).
    """
    inflated = nn.Conv2d(
        channels,
        convolution.out_channels,
        kernel_size=convolution.kernel_size,  # type: ignore[arg-type]
        stride=convolution.stride,  # type: ignore[arg-type]
        padding=convolution.padding,  # type: ignore[arg-type]
        bias=convolution.bias is not None,
    )
    with torch.no_grad():
        inflated.weight.copy_(convolution.weight.mean(dim=1, keepdim=True).expand_as(inflated.weight))
        if inflated.bias is not None and convolution.bias is not None:
            inflated.bias.copy_(convolution.bias)
    return inflated


class Backbone(nn.Module):
    """A network of torchvision that classifies images, without its last layer, for one stream.

    Args:
        name: `resnet10`, or a name of torchvision's (`resnet101`, `vgg16`, `convnext_tiny`, ...).
        stream: "rgb" takes (n, h, w, 3) uint8, "flow" takes (n, 10, h, w) floats in [-1, 1].
        weights: of torchvision, `IMAGENET1K_V1` or `IMAGENET1K_V2` (downloaded once); None: random.
    """

    def __init__(self, name: str, *, stream: str, weights: str | None = None) -> None:
        super().__init__()
        if name == "resnet10":
            network = _resnet10()
        elif name in torchvision.models.list_models(module=torchvision.models):
            network = torchvision.models.get_model(name, weights=weights)
        else:
            raise UserError(
                f"features.backbone: got {name}, need resnet10 or a network of torchvision (resnet101, vgg16)"
            )
        self.stream = stream
        self.classifier = _last_linear(network, name)
        self.first = next(key for key, part in network.named_modules() if isinstance(part, nn.Conv2d))
        self.num_features = int(network.get_submodule(self.classifier).in_features)  # type: ignore[arg-type]
        network.set_submodule(self.classifier, nn.Identity())
        if stream == "flow":
            rgb = network.get_submodule(self.first)
            network.set_submodule(self.first, inflate_first_convolution(rgb, FLOW_CHANNELS))  # type: ignore[arg-type]
        self.network = network
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(_IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(_IMAGENET_STD).view(3, 1, 1), persistent=False)

    def forward(self, snippets: Tensor) -> Tensor:
        """(n, d) features of n snippets."""
        if self.stream == "rgb":
            images = snippets.permute(0, 3, 1, 2).float() / 255
            images = (images - self.mean) / self.std
        else:
            images = snippets.float()
        features: Tensor = self.network(images.contiguous(memory_format=torch.channels_last))
        return features

    @torch.inference_mode()
    def features(self, snippets: npt.NDArray[np.generic]) -> npt.NDArray[np.float16]:
        """(n, d) of n snippets in memory, computed where the weights are, on CUDA in half precision."""
        device = self.mean.device
        with torch.autocast(device.type, torch.float16, enabled=device.type == "cuda"):
            features: npt.NDArray[np.float16] = (
                self(torch.from_numpy(snippets).to(device)).half().cpu().numpy()
            )
        return features


def _last_linear(network: nn.Module, name: str) -> str:
    found = [key for key, part in network.named_modules() if isinstance(part, nn.Linear)]
    if not found:
        raise UserError(f"features.backbone: got {name}, need a network that ends in a linear layer")
    return str(found[-1])


def imagenet_weights(name: str, weights: str) -> str | None:
    """Torchvision's name for `imagenet` (its newest) or IMAGENET1K_V1, ...; None when `weights` is none."""
    if name not in torchvision.models.list_models(module=torchvision.models):
        return None
    known = torchvision.models.get_model_weights(name)
    if weights == "imagenet":
        return str(known.DEFAULT.name)
    return weights if weights in known.__members__ else None


def load_backbone(name: str, *, stream: str, weights: str) -> Backbone:
    """A frozen backbone with the weights of `imagenet` (torchvision's) or of a file.

    A file is a state dict, as torchvision saves it (the flow network's first convolution is then
    inflated from RGB) or as a `Backbone` does.
    """
    if published := imagenet_weights(name, weights):
        try:
            return Backbone(name, stream=stream, weights=published).eval().requires_grad_(False)
        except OSError as error:
            raise UserError(
                f"features.weights: got {weights}, {name}'s cannot be downloaded ({error}); give a file"
            ) from error
    path = Path(weights)
    backbone = Backbone(name, stream=stream)
    if not path.is_file():
        raise UserError(
            f"features.weights: got {weights}, need imagenet, IMAGENET1K_V1 or a file with a state dict"
        )
    kernel = f"{backbone.first}.weight"

    def change(state: dict[str, Tensor]) -> dict[str, Tensor]:
        state = {key.removeprefix("network."): value for key, value in state.items()}
        state = {key: v for key, v in state.items() if not key.startswith(f"{backbone.classifier}.")}
        if stream == "flow" and kernel in state and state[kernel].shape[1] == 3:
            state[kernel] = state[kernel].mean(dim=1, keepdim=True).expand(-1, FLOW_CHANNELS, -1, -1)
        return state

    load_weights(backbone.network, path, need=f"{name} for {stream}", change=change)
    return backbone.eval().requires_grad_(False)
