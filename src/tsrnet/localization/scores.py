"""Snippet scores: attention for localisation, eq. (10) and the fusion of streams, eq. (11)."""

from __future__ import annotations

import torch
from torch import Tensor


def localization_attention(logits: Tensor, weights: Tensor, mask: Tensor, *, form: str) -> Tensor:
    """The a_i that enters eq. (10) (D5).

    Args:
        logits: (batch, time, hops) attention before the softmax.
        weights: (batch, time, hops) attention after it.
        mask: (batch, time) bool.
        form: "standardized", the sigmoid of the logits standardised over the valid snippets of each video;
            "max", a_i / max a; "raw", a_i as in the paper; "none", 1, for activations that already contain
            the attention.

    Returns:
        (batch, time), 0 where masked; the mean over several hops.

    Raises:
        ValueError: another form.
    """
    valid = mask.unsqueeze(-1)
    if form == "standardized":
        return standardized(logits, mask).mean(dim=-1).sigmoid().to(logits.dtype) * mask
    if form == "max":
        peak = weights.where(valid, 0.0).amax(dim=1, keepdim=True)
        return (weights / peak).mean(dim=-1) * mask
    if form == "raw":
        return weights.mean(dim=-1) * mask
    if form == "none":
        return mask.to(weights.dtype)
    raise ValueError(f"localization.attention: got {form}, need standardized, max, raw or none")


def standardized(values: Tensor, mask: Tensor) -> Tensor:
    """(batch, time, k) float64, mean 0 and deviation 1 over the valid snippets of a video, 0 elsewhere."""
    valid = mask.unsqueeze(-1)
    count = valid.sum(dim=1, keepdim=True)
    exact = values.double()
    mean = exact.where(valid, 0.0).sum(dim=1, keepdim=True) / count
    centred = (exact - mean).where(valid, 0.0)
    deviation = (centred.square().sum(dim=1, keepdim=True) / count).sqrt()
    # Equal values (mean pooling, a still video) differ only by rounding: all become 0.
    return centred / deviation.clamp_min(1e-4)


def weighted_scores(attention: Tensor, activations: Tensor) -> Tensor:
    """w_i^c = a_i sigmoid(v_c^T x_i), eq. (10), for (rows, time) each; a row is a class of a video."""
    return attention * activations.sigmoid()


def fuse_streams(rgb: Tensor, flow: Tensor, *, theta: float) -> Tensor:
    """θ w_RGB + (1 - θ) w_FLOW, eq. (11); tensors of equal shape."""
    return theta * rgb + (1 - theta) * flow


def smooth_scores(scores: Tensor, mask: Tensor, *, width: Tensor) -> Tensor:
    """Mean over the real snippets that lie within half of `width` of each.

    Args:
        scores: (rows, time).
        mask: (rows, time) bool, real snippets, which come first.
        width: (rows,) snippets; below 2 a row stays unchanged.

    Returns:
        (rows, time), 0 where masked.
    """
    # float64, because the mean of a few snippets is a difference of two sums over a long video.
    sums = torch.nn.functional.pad(scores.where(mask, 0.0).double().cumsum(dim=1), (1, 0))
    place, half = torch.arange(scores.shape[1], device=scores.device), (width // 2).long().unsqueeze(1)
    length = mask.sum(dim=1, keepdim=True)
    stop = torch.minimum(place + half + 1, length)
    start = torch.minimum((place - half).clamp_min(0), stop - 1).clamp_min(0)
    means = (sums.gather(1, stop) - sums.gather(1, start)) / (stop - start).clamp_min(1)
    return means.to(scores.dtype) * mask
