"""Self-attention pooling over the snippets of a video, eq. (1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tsrnet.models.snippets import SnippetLinear, real_rows


def attention_weights(logits: Tensor, mask: Tensor) -> Tensor:
    """The softmax of eq. (1), over the valid snippets only.

    Args:
        logits: (batch, time, hops), w2 tanh(W1 X).
        mask: (batch, time) bool, True where a snippet is real.

    Returns:
        (batch, time, hops), sums to 1 over time, 0 where masked.

    Raises:
        ValueError: a video of the batch has no valid snippet.
    """
    if not bool(mask.any(dim=1).all()):
        raise ValueError("mask: got a video without a valid snippet, need at least one in each")
    return logits.masked_fill(~mask.unsqueeze(-1), float("-inf")).softmax(dim=1)


def attend(features: Tensor, weights: Tensor) -> Tensor:
    """m = X a of eq. (1), one row a hop.

    Args:
        features: (batch, time, d).
        weights: (batch, time, hops).

    Returns:
        (batch, hops, d).
    """
    return torch.einsum("btd,btk->bkd", features, weights)


class SelfAttention(nn.Module):
    """Logits w2 tanh(W1 X) of eq. (1); W1 is (b x d), w2 (hops x b), no biases as in the paper."""

    def __init__(self, num_features: int, *, size: int, hops: int) -> None:
        super().__init__()
        self.first = SnippetLinear(num_features, size, bias=False)
        self.second = nn.Linear(size, hops, bias=False)

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """(batch, time, d) -> (batch, time, hops), 0 where masked."""
        # Only for real snippets: about half of a batch of videos is padding.
        hidden = self.first(real_rows(features, mask))
        logits: Tensor = self.second(torch.tanh(hidden))
        return logits.new_zeros(*mask.shape, logits.shape[-1]).masked_scatter(mask.unsqueeze(-1), logits)


class MeanPooling(nn.Module):
    """Equal logits, so that eq. (1) is the mean: the Two-Stream baseline."""

    def __init__(self, *, hops: int = 1) -> None:
        super().__init__()
        self._hops = hops

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """(batch, time, d) -> (batch, time, hops) zeros."""
        return features.new_zeros(*features.shape[:2], self._hops)
