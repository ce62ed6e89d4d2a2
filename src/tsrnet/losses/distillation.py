"""Distillation: what the frozen teacher sees in single snippets of untrimmed videos. Not from the paper."""

from __future__ import annotations

import torch
from torch import Tensor


def soft_targets(seen: Tensor, mask: Tensor, labels: Tensor, *, confidence: float) -> Tensor:
    """The teacher's probabilities of the classes of the video, in the snippets where it is sure.

    Args:
        seen: (batch, time, classes), the teacher's probabilities; 0 for a class that it does not know.
        mask: (batch, time) bool, True where a snippet is real.
        labels: (batch, classes), 1 for each class of the video.
        confidence: a snippet where the probabilities of these classes sum to less is background.

    Returns:
        (batch, time, classes), 0 for background, for other classes and where masked.
    """
    seen = seen * labels.unsqueeze(1)
    sure = (seen.sum(dim=-1) >= confidence) & mask
    return seen * sure.unsqueeze(-1)


def distillation(scores: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Cross-entropy of the softmax of the class scores of each snippet with soft targets.

    Args:
        scores: (batch, time, classes), or one more for background, which gets the rest of the targets.
            Without it, background teaches nothing.
        targets: (batch, time, classes), of `soft_targets`.
        mask: (batch, time) bool.

    Returns:
        Mean over the snippets of the videos in which the teacher sees a class, a scalar; 0 without such a
        video.
    """
    taught = mask & (targets.sum(dim=(1, 2)) > 0).unsqueeze(1)
    if scores.shape[-1] > targets.shape[-1]:
        background = (1 - targets.sum(dim=-1, keepdim=True)).clamp_min(0)
        targets = torch.cat([targets, background], dim=-1)
    losses = -(targets * scores.log_softmax(dim=-1)).sum(dim=-1)
    return (losses * taught).sum() / taught.sum().clamp_min(1)
