"""Squared maximum mean discrepancy with a Gaussian kernel, eq. (7) and (8)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

BANDWIDTH_FACTORS = {1: (1.0,), 5: (0.25, 0.5, 1.0, 2.0, 4.0)}
"""By the number of kernels: the one Gaussian of the paper, or five of different widths."""


def gaussian_kernel(first: Tensor, second: Tensor, bandwidth: Tensor | float, *, kernels: int = 5) -> Tensor:
    """k(x, y) = sum over the factors s of exp(-|x - y|^2 / (2 s bandwidth)) (D10).

    (n, d), (m, d) -> (n, m); `bandwidth` is a squared length.
    """
    distances = _squared_distances(first, second)
    return torch.stack(
        [torch.exp(-distances / (2 * factor * bandwidth)) for factor in BANDWIDTH_FACTORS[kernels]]
    ).sum(0)


def median_bandwidth(features: Tensor) -> Tensor:
    """Median squared distance between different rows of (n, d), detached; 1 where it is 0 (D10)."""
    distances = _squared_distances(features.detach(), features.detach())
    upper = torch.triu_indices(len(features), len(features), offset=1)
    median = distances[upper[0], upper[1]].median()
    return torch.where(median > 0, median, torch.ones_like(median))


def mmd2(
    trimmed: Tensor,
    untrimmed: Tensor,
    *,
    bandwidth: float | None = None,
    kernels: int = 5,
    classes: Tensor | None = None,
) -> Tensor:
    """MMD^2(T, U) of eq. (7), the biased estimate that the paper writes.

    Args:
        trimmed: (n_T, d).
        untrimmed: (n_U, d).
        bandwidth: squared length of the kernel; None for the median of the joint batch.
        kernels: 1 or 5 Gaussians, which are summed (D10).
        classes: (n,) of pairs, n = n_T = n_U: the mean over the pairs of the MMD^2 between the rows of their
            class, so that each class is pulled to itself. None: between all rows, as in the paper.

    Returns:
        A scalar, at least 0 except for rounding.

    Raises:
        ValueError: fewer than 1 row on a side, different d, or `classes` of another length.
    """
    if trimmed.ndim != 2 or untrimmed.ndim != 2 or trimmed.shape[1] != untrimmed.shape[1]:
        raise ValueError(f"got {tuple(trimmed.shape)} and {tuple(untrimmed.shape)}, need (n, d) and (m, d)")
    if not len(trimmed) or not len(untrimmed):
        raise ValueError("got no rows on a side, need at least 1")
    width = median_bandwidth(torch.cat([trimmed, untrimmed])) if bandwidth is None else bandwidth
    within_t, within_u, between = (
        gaussian_kernel(first, second, width, kernels=kernels)
        for first, second in ((trimmed, trimmed), (untrimmed, untrimmed), (trimmed, untrimmed))
    )
    if classes is None:
        return within_t.mean() + within_u.mean() - 2 * between.mean()
    if not len(classes) == len(trimmed) == len(untrimmed):
        lengths = f"{len(trimmed)} and {len(untrimmed)} rows"
        raise ValueError(f"classes: got {len(classes)} for {lengths}, need one a pair")
    same = (classes.unsqueeze(0) == classes.unsqueeze(1)).to(between)
    # A class with k pairs has k x k entries of weight 1 / k^2 each; the class has weight k / n.
    weights = same / same.sum(dim=1, keepdim=True) / len(classes)
    return (weights * (within_t + within_u - 2 * between)).sum()


def transfer_fc1(trimmed: Tensor, untrimmed: Tensor, **options: Any) -> Tensor:
    """L_FC1 of eq. (7): between the inputs of FC1, the pooled m, (n, d) each; options of `mmd2`."""
    return mmd2(trimmed, untrimmed, **options)


def transfer_fc2(hidden_trimmed: Tensor, hidden_untrimmed: Tensor, **options: Any) -> Tensor:
    """L_FC2 of eq. (8): between FC1(T) and FC1(U), each through its own network's FC1 (D12)."""
    return mmd2(hidden_trimmed, hidden_untrimmed, **options)


def _squared_distances(first: Tensor, second: Tensor) -> Tensor:
    # Differences, not |x|^2 + |y|^2 - 2xy: exact zeros on the diagonal, and batches are small.
    return (first.unsqueeze(1) - second.unsqueeze(0)).square().sum(-1)
