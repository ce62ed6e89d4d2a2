"""L_class: multi-label classification losses on video-level labels."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor


def softmax_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of the softmax with labels normalised to sum 1 (D3; as UntrimmedNet, W-TALC).

    Args:
        logits: (batch, classes).
        labels: (batch, classes), 1 for each class of the video.

    Returns:
        Mean over the batch, a scalar.

    Raises:
        ValueError: shapes differ or a video has no label.
    """
    _check(logits, labels)
    targets = labels / labels.sum(dim=1, keepdim=True)
    return F.cross_entropy(logits, targets)


def binary_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Sum over classes of the binary cross-entropy, mean over the batch; arguments as above."""
    _check(logits, labels)
    return F.binary_cross_entropy_with_logits(logits, labels, reduction="none").sum(dim=1).mean()


CLASSIFICATION: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "softmax": softmax_cross_entropy,
    "bce": binary_cross_entropy,
}


def _check(logits: Tensor, labels: Tensor) -> None:
    if logits.shape != labels.shape:
        raise ValueError(
            f"labels: got shape {tuple(labels.shape)}, need that of logits {tuple(logits.shape)}"
        )
    if not bool((labels.sum(dim=1) > 0).all()):
        raise ValueError("labels: got a video without a label, need at least one in each")
