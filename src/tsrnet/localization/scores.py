"""Snippet scores: attention for localisation, eq. (10) and the fusion of streams, eq. (11)."""

from __future__ import annotations

from torch import Tensor


def localization_attention(logits: Tensor, weights: Tensor, mask: Tensor, *, form: str) -> Tensor:
    """The a_i that enters eq. (10) (D5).

    Args:
        logits: (batch, time, hops) attention before the softmax.
        weights: (batch, time, hops) attention after it.
        mask: (batch, time) bool.
        form: "standardized", the sigmoid of the logits standardised over the valid snippets of
            each video; "max", a_i / max a; "raw", a_i as in the paper.

    Returns:
        (batch, time), 0 where masked; over several hops the mean.

    Raises:
        ValueError: another form.
    """
    valid = mask.unsqueeze(-1)
    if form == "standardized":
        count = valid.sum(dim=1, keepdim=True)
        exact = logits.double()
        mean = exact.where(valid, 0.0).sum(dim=1, keepdim=True) / count
        centred = (exact - mean).where(valid, 0.0)
        deviation = (centred.square().sum(dim=1, keepdim=True) / count).sqrt()
        # Equal logits (mean pooling, a still video) have no deviation but rounding: all are sigmoid(0).
        standard = centred / deviation.clamp_min(1e-4)
        return standard.mean(dim=-1).sigmoid().to(logits.dtype) * mask
    if form == "max":
        peak = weights.where(valid, 0.0).amax(dim=1, keepdim=True)
        return (weights / peak).mean(dim=-1) * mask
    if form == "raw":
        return weights.mean(dim=-1) * mask
    raise ValueError(f"localization.attention: got {form}, need standardized, max or raw")


def weighted_scores(attention: Tensor, activations: Tensor) -> Tensor:
    """w_i^c = a_i sigmoid(v_c^T x_i), eq. (10), for (rows, time) each; a row is a class of a video."""
    return attention * activations.sigmoid()


def fuse_streams(rgb: Tensor, flow: Tensor, *, theta: float) -> Tensor:
    """θ w_RGB + (1 - θ) w_FLOW, eq. (11); tensors of equal shape."""
    return theta * rgb + (1 - theta) * flow
