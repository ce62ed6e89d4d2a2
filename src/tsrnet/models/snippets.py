"""Snippets of videos of unequal length: layers on the real ones only, and the mean of the k best."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import AfterValidator, Field
from torch import Tensor, nn

from tsrnet.core.settings import NotBool


def _odd(size: int) -> int:
    if size % 2 == 0:
        raise ValueError("an even number of snippets has no middle")
    return size


Kernel = Annotated[int, Field(ge=1, description="an odd number >= 1"), AfterValidator(_odd), NotBool]
"""Snippets that a convolution over time sees."""


_BFLOAT16 = ContextVar("bfloat16_products", default=False)
_ROWS = 1024


@contextmanager
def bfloat16_products(allowed: bool = True) -> Iterator[None]:
    """Let training steps use bfloat16 for large products of snippets, on a CPU with instructions for it."""
    before = _BFLOAT16.set(allowed and torch.cpu._is_avx512_bf16_supported())
    try:
        yield
    finally:
        _BFLOAT16.reset(before)


def product(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`F.linear` for the snippets of a batch, (n, inputs) -> (n, outputs).

    Within `bfloat16_products()`, a training step computes it in bfloat16, in less than half of the time. The
    result is float32.
    """
    num = len(rows)
    if not (_BFLOAT16.get() and torch.is_grad_enabled() and rows.dtype == torch.float32 and num >= _ROWS):
        return F.linear(rows, weight, bias)
    # oneDNN compiles and keeps a product for each number of rows. With one for each batch, memory would grow.
    padding = rows.new_zeros(-num % _ROWS, rows.shape[1], dtype=torch.bfloat16)
    outputs = F.linear(torch.cat([rows.bfloat16(), padding]), weight.bfloat16())[:num].float()
    return outputs if bias is None else outputs + bias


class SnippetLinear(nn.Linear):
    """`nn.Linear` with `product`."""

    def forward(self, rows: Tensor) -> Tensor:
        """(n, inputs) -> (n, outputs)."""
        return product(rows, self.weight, self.bias)


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
    return padded(layer(real_rows(features, mask)), mask)


def real_rows(features: Tensor, mask: Tensor) -> Tensor:
    """(batch, time, d) -> (n, d), the real snippets of a batch, in order. Faster than `features[mask]`."""
    return features.flatten(0, 1).index_select(0, mask.flatten().nonzero().squeeze(1))


def padded(rows: Tensor, mask: Tensor) -> Tensor:
    """Rows (n, d) of the real snippets of a batch, in order -> (batch, time, d), 0 where masked."""
    places = mask.flatten().nonzero().squeeze(1)
    whole = rows.new_zeros(mask.numel(), rows.shape[-1]).index_copy(0, places, rows)
    return whole.view(*mask.shape, -1)


def moving_mean(features: Tensor, mask: Tensor, *, width: int) -> Tensor:
    """Mean over the real snippets within half of `width` (odd) of each: (batch, time, d), 0 where masked."""
    real = mask.unsqueeze(1).to(features)
    values = features.where(mask.unsqueeze(-1), 0.0).transpose(1, 2)
    sums, counts = (F.avg_pool1d(some, width, stride=1, padding=width // 2) for some in (values, real))
    return (sums / counts.where(counts > 0, 1.0) * real).transpose(1, 2)


def top_k_mean(scores: Tensor, mask: Tensor, *, divisor: int) -> Tensor:
    """Mean over the k highest scores of each class of a video, k = its snippets / divisor, rounded up.

    Args:
        scores: (batch, time, classes).
        mask: (batch, time) bool, real snippets, which come first.
        divisor: 8 is the mean over the best eighth; 1 over all.

    Returns:
        (batch, classes).
    """
    lengths = mask.sum(dim=1).tolist()
    # Video by video: in a padded batch, most of the sorting would be of padding.
    best = [
        row[:length].T.topk(-(-length // divisor), dim=1, sorted=False).values.mean(dim=1)
        for row, length in zip(scores, lengths, strict=True)
    ]
    return torch.stack(best)


class TemporalConvolution(nn.Module):
    """A convolution over time, with zeros before and after each video.

    Args:
        num_inputs, num_outputs: channels.
        kernel: snippets that it sees, odd.
    """

    def __init__(self, num_inputs: int, num_outputs: int, *, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(num_inputs, num_outputs, kernel)  # its weights, and their initial values

    def forward(self, rows: Tensor, mask: Tensor) -> Tensor:
        """(n, inputs) of the real snippets of a batch, in order -> (n, outputs).

        `mask` (batch, time) says which they are: the first ones of each video.
        """
        # All videos in one row, with only the zeros between them that the kernel needs: most of a padded
        # batch is padding. One matrix product for each place of the kernel: conv1d would copy the transposed
        # row.
        kernel, bias = self.conv.weight.unbind(dim=-1), self.conv.bias
        assert bias is not None
        half = len(kernel) // 2
        lengths = mask.sum(dim=1) + half
        starts = lengths.cumsum(0) - lengths
        places = (starts.unsqueeze(1) + torch.arange(mask.shape[1], device=mask.device))[mask]
        size = int(lengths.sum())
        line = rows.new_zeros(size + half, rows.shape[-1]).index_copy(0, places + half, rows)
        outputs = torch.stack(
            [product(line[k : k + size - half], part) for k, part in enumerate(kernel)]
        ).sum(dim=0)
        return outputs.index_select(0, places) + bias
