"""RAFT optical flow by torchvision, on CPU and CUDA."""

from __future__ import annotations

import functools
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import get_model, get_model_weights

from tsrnet.core.errors import UserError
from tsrnet.core.files import fingerprint
from tsrnet.core.weights import load_weights
from tsrnet.video.flow_settings import RAFT

_MIN_SIDE, _MULTIPLE = 128, 8
"""What RAFT's pyramid of correlations needs."""


@torch.inference_mode()
def raft_flow(first: Tensor, second: Tensor, method: RAFT) -> Tensor:
    """Flow from each first frame to its second one.

    Args:
        first, second: (pairs, h, w, 3) uint8 RGB on the same device.
        method: the parameters.

    Returns:
        (pairs, 2, h, w) float32 pixels, x then y.
    """
    height, width = first.shape[1:3]
    more = [max(_MIN_SIDE, -(-side // _MULTIPLE) * _MULTIPLE) - side for side in (width, height)]
    images = torch.stack([first, second]).permute(0, 1, 4, 2, 3).float() / 127.5 - 1
    padded = F.pad(images.flatten(0, 1), (0, more[0], 0, more[1]), mode="replicate").chunk(2)
    network = raft(method, first.device.type)
    flow: Tensor = network(*padded, num_flow_updates=method.updates)[-1]
    return flow[..., :height, :width]


@functools.lru_cache(maxsize=2)
def raft(method: RAFT, device: str = "cpu") -> nn.Module:
    """The network with its weights; UserError if they are not available."""
    file = Path(method.weights)
    published = None if file.is_file() else weights_identity(method)
    try:
        network: nn.Module = get_model(method.method, weights=published)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"features.flow.weights: got {method.weights}, which cannot be downloaded for {method.method}"
            f" ({error}); give a file"
        ) from error
    if published is None:
        load_weights(network, file, need=method.method)
    return network.eval().requires_grad_(False).to(device)


def weights_identity(method: RAFT) -> str:
    """Torchvision's name of the weights, or the checksum of the file."""
    if Path(method.weights).is_file():
        return f"sha256 {fingerprint(Path(method.weights))['sha256']}"
    known = get_model_weights(method.method)
    if method.weights == "pretrained":
        return str(known.DEFAULT.name)
    if method.weights not in known.__members__:
        raise UserError(
            f"features.flow.weights: got {method.weights}, need pretrained, {', '.join(known.__members__)},"
            " or a file with a state dict"
        )
    return method.weights
