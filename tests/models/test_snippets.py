"""Layers on real snippets only, the mean of the k best, convolutions over time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tsrnet.models.snippets import (
    SnippetLinear,
    TemporalConvolution,
    bfloat16_products,
    padded,
    per_snippet,
    top_k_mean,
)

LENGTHS = (9, 1, 4, 8)
MASK = torch.arange(9) < torch.tensor(LENGTHS)[:, None]


def scores(seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(4, 9, 3, generator=generator, dtype=torch.float64)
    return noise.where(MASK.unsqueeze(-1), 1e3)


@pytest.mark.parametrize(
    ("divisor", "k"), [(8, (2, 1, 1, 1)), (3, (3, 1, 2, 3)), (1, LENGTHS), (20, (1,) * 4)]
)
def test_top_k_mean_takes_the_k_of_each_video(divisor: int, k: tuple[int, ...]) -> None:
    values = scores(0)
    means = top_k_mean(values, MASK, divisor=divisor)
    for row, (length, count) in enumerate(zip(LENGTHS, k, strict=True)):
        ordered = np.sort(values[row, :length].numpy(), axis=0)
        np.testing.assert_allclose(means[row], ordered[-count:].mean(axis=0), rtol=1e-13)


def test_gradient_of_top_k_mean_is_one_over_k_at_the_best() -> None:
    values = scores(1).requires_grad_()
    (gradient,) = torch.autograd.grad(top_k_mean(values, MASK, divisor=4)[0, 0], values)
    best = values[0, :, 0].topk(3).indices
    expected = torch.zeros_like(values)
    expected[0, best, 0] = 1 / 3
    torch.testing.assert_close(gradient, expected)


def test_a_layer_sees_the_real_snippets_only() -> None:
    seen = []

    def layer(rows: torch.Tensor) -> torch.Tensor:
        seen.append(rows)
        return rows[:, :1] + 1

    features = scores(2).where(MASK.unsqueeze(-1), float("nan"))
    outputs = per_snippet(layer, features, MASK)
    assert len(seen) == 1
    assert torch.equal(seen[0], features[MASK])
    assert torch.equal(outputs, (features[..., :1] + 1).where(MASK.unsqueeze(-1), 0.0))


def test_a_video_without_snippets_is_refused() -> None:
    mask = torch.tensor([[True, False], [False, False]])
    with pytest.raises(ValueError, match="without a valid snippet"):
        per_snippet(torch.relu, torch.zeros(2, 2, 3), mask)


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_a_convolution_sees_each_video_alone(kernel: int) -> None:
    torch.manual_seed(0)
    layer = TemporalConvolution(3, 2, kernel=kernel).double()
    features = scores(3)
    outputs = padded(layer(features[MASK], MASK), MASK)
    for row, length in enumerate(LENGTHS):
        alone = torch.nn.functional.conv1d(
            features[row, :length].T, layer.conv.weight, layer.conv.bias, padding=kernel // 2
        )
        torch.testing.assert_close(outputs[row, :length], alone.T, rtol=1e-12, atol=1e-12)
    assert not outputs[~MASK].any()


@pytest.fixture
def bfloat16_sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of rows of products in bfloat16, as on a processor that has it."""
    linear, sizes = F.linear, []

    def noted(rows: Tensor, *rest: Tensor | None) -> Tensor:
        if rows.dtype == torch.bfloat16:
            sizes.append(len(rows))
        return linear(rows, *rest)

    monkeypatch.setattr(F, "linear", noted)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    return sizes


def test_a_product_in_bfloat16_is_that_of_rounded_factors(bfloat16_sizes: list[int]) -> None:
    torch.manual_seed(0)
    layer, rows = SnippetLinear(5, 4), torch.randn(1500, 5)
    exact, bias = layer(rows), layer.bias.detach()
    exact.sum().backward()
    gradients = [part.grad.clone() for part in layer.parameters()]
    layer.zero_grad()
    with bfloat16_products():
        outputs = layer(rows)
    outputs.sum().backward()
    expected = rows.bfloat16().double() @ layer.weight.detach().bfloat16().double().T + bias
    torch.testing.assert_close(outputs.detach(), expected.float(), rtol=1e-2, atol=1e-2)
    assert outputs.dtype == torch.float32
    assert not torch.equal(outputs, exact)
    for part, gradient in zip(layer.parameters(), gradients, strict=True):
        torch.testing.assert_close(part.grad, gradient, rtol=1e-2, atol=0.2)


def test_bfloat16_is_for_large_products_of_training_only(bfloat16_sizes: list[int]) -> None:
    layer, rows = SnippetLinear(5, 4), torch.randn(1500, 5)
    layer(rows)
    with bfloat16_products(allowed=False):
        layer(rows)
    with bfloat16_products():
        layer(rows[:1000])
        layer.double()(rows.double())
        layer.float()
        with torch.no_grad():
            layer(rows)
    assert bfloat16_sizes == []


def test_products_in_bfloat16_have_few_sizes(bfloat16_sizes: list[int]) -> None:
    """The library behind torch keeps a compiled product for each size, so memory would grow."""
    linear, convolution = SnippetLinear(5, 4), TemporalConvolution(5, 4, kernel=3)
    with bfloat16_products():
        for length in range(1100, 2000, 50):
            mask = torch.ones(1, length, dtype=torch.bool)
            assert linear(torch.randn(length, 5)).shape == (length, 4)
            assert convolution(torch.randn(length, 5), mask).shape == (length, 4)
    assert bfloat16_sizes == [2048] * 18 * (
        1 + 3
    )  # the convolution has a product for each place of its kernel
