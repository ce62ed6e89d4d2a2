"""Regularisers of the attention weights: smoothness (4) and sparsity (5)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def smoothness(attention: Tensor, mask: Tensor) -> Tensor:
    """R_smooth of eq. (4): sum of (a_i - a_{i+1})^2 over neighbouring valid snippets.

    Args:
        attention: (batch, time, hops).
        mask: (batch, time) bool.

    Returns:
        Mean over batch and hops, a scalar.
    """
    valid = (mask[:, 1:] & mask[:, :-1]).unsqueeze(-1)
    steps = (attention[:, 1:] - attention[:, :-1]).square() * valid
    return steps.sum(dim=1).mean()


def l1(attention: Tensor, mask: Tensor) -> Tensor:
    """R_sparsity of eq. (5), ||a||_1; arguments as above. Constant 1 under a softmax (D4)."""
    return _sum(attention.abs(), mask)


def entropy(attention: Tensor, mask: Tensor) -> Tensor:
    """-sum a_i log a_i: 0 for one snippet, log n for all alike (D4)."""
    floor = torch.finfo(attention.dtype).tiny
    return _sum(-attention * attention.clamp_min(floor).log(), mask)


def l_half(attention: Tensor, mask: Tensor) -> Tensor:
    """sum sqrt(a_i): 1 for one snippet, sqrt n for all alike (D4)."""
    return _sum(attention.clamp_min(1e-12).sqrt(), mask)


SPARSITY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"l1": l1, "entropy": entropy, "l_half": l_half}


def _sum(values: Tensor, mask: Tensor) -> Tensor:
    return (values * mask.unsqueeze(-1)).sum(dim=1).mean()
