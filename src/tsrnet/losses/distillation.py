"""Distillation: the frozen teacher says where an untrimmed video shows its classes. Not from the paper."""

from __future__ import annotations

import torch
from torch import Tensor


def soft_targets(
    activations: Tensor, mask: Tensor, labels: Tensor, *, temperature: float, confidence: float
) -> Tensor:
    """What the teacher sees in single snippets: the probabilities of the classes of the video.

    Args:
        activations: (batch, time, classes), the teacher's output for each snippet.
        mask: (batch, time) bool, True where a snippet is real.
        labels: (batch, classes), 1 for each class of the video.
        temperature: divides the activations before the softmax.
        confidence: a snippet where these probabilities sum to less is background.

    Returns:
        (batch, time, classes), 0 for background, for other classes and where masked.
    """
    seen = (activations / temperature).softmax(dim=-1) * labels.unsqueeze(1)
    sure = (seen.sum(dim=-1) >= confidence) & mask
    return seen * sure.unsqueeze(-1)


def distillation(attention: Tensor, targets: Tensor) -> Tensor:
    """KL divergence of the attention from the share of each snippet in the targets.

    Args:
        attention: (batch, time, hops), sums to 1 over time.
        targets: (batch, time, classes), of `soft_targets`.

    Returns:
        Mean over hops and the videos with a target, a scalar; 0 if no video has one.
    """
    seen = targets.sum(dim=-1)
    taught = seen.sum(dim=1) > 0
    share = (seen[taught] / seen[taught].sum(dim=1, keepdim=True)).unsqueeze(-1)
    floor = torch.finfo(attention.dtype).tiny
    logs = share.clamp_min(floor).log() - attention[taught].clamp_min(floor).log()
    return (share * logs).sum(dim=1).mean() if bool(taught.any()) else attention.sum() * 0
