"""Layers on real snippets only, the mean of the k best, convolutions over time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tsrnet.models.snippets import TemporalConvolution, padded, per_snippet, top_k_mean

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
