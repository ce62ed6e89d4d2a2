"""Snippets of videos of unequal length: layers on the real ones only, and the mean of the k best."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def per_snippet(layer: Callable[[Tensor], Tensor], features: Tensor, mask: Tensor) -> Tensor:
    """A layer that maps rows (n, d) to rows (n, outputs), on real snippets only.

    Padding then costs nothing and draws no dropout.

    Args:
        layer: applied once, to all real snippets of the batch.
        features: (batch, time, d).
        mask: (batch, time) bool, True where a snippet is real.

    Returns:
        (batch, time, outputs), 0 where masked.

    Raises:
        ValueError: a video of the batch has no valid snippet.
    """
    if not bool(mask.any(dim=1).all()):
        raise ValueError("mask: got a video without a valid snippet, need at least one in each")
    rows = layer(features[mask])
    return rows.new_zeros(*mask.shape, rows.shape[-1]).masked_scatter(mask.unsqueeze(-1), rows)


def top_k_mean(scores: Tensor, mask: Tensor, *, divisor: int) -> Tensor:
    """Mean over the k highest scores of each class of a video, k = its snippets / divisor, rounded up.

    Args:
        scores: (batch, time, classes).
        mask: (batch, time) bool.
        divisor: 8 is the mean over the best eighth; 1 over all.

    Returns:
        (batch, classes).
    """
    counts = (mask.sum(dim=1) + divisor - 1) // divisor  # (batch,)
    valid = mask.unsqueeze(-1)
    best = scores.masked_fill(~valid, float("-inf")).topk(int(counts.max()), dim=1).values
    # Of a shorter video the list is longer than its own k, down to the -inf of its padding.
    ranks = torch.arange(best.shape[1], device=best.device)
    chosen = (ranks < counts.unsqueeze(-1)).unsqueeze(-1)  # (batch, k, 1)
    return best.where(chosen, 0.0).sum(dim=1) / counts.unsqueeze(-1)
