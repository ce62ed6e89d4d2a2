"""Regularisers of the attention weights, eq. (4) and (5)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from tsrnet.losses.attention import entropy, l1, l_half, smoothness

Regulariser = Callable[[Tensor, Tensor], Tensor]
REGULARISERS = {"smoothness": smoothness, "l1": l1, "entropy": entropy, "l_half": l_half}
every_one = pytest.mark.parametrize("regulariser", REGULARISERS.values(), ids=REGULARISERS.keys())
LENGTHS = (6, 1, 4)


def weights_batch(seed: int, *, hops: int = 1, extra: int = 0) -> tuple[Tensor, Tensor]:
    """Weights (batch, time, hops) that sum to 1 over the valid snippets, noise elsewhere; the mask."""
    rng = np.random.default_rng(seed)
    weights = 1e3 * np.random.default_rng(extra).random((len(LENGTHS), max(LENGTHS) + extra, hops))
    for row, length in enumerate(LENGTHS):
        weights[row, :length] = rng.dirichlet(np.ones(length), size=hops).T
    mask = np.arange(weights.shape[1]) < np.array(LENGTHS)[:, None]
    return torch.from_numpy(weights), torch.from_numpy(mask)


def mean_over_videos_and_hops(weights: Tensor, of_vector: Callable[[np.ndarray], float]) -> float:
    """D16: the regularisers are means over videos and hops of their value for one vector a."""
    values = [
        of_vector(weights[row, :length, hop].numpy())
        for row, length in enumerate(LENGTHS)
        for hop in range(weights.shape[2])
    ]
    return float(np.mean(values))


@pytest.mark.parametrize("hops", [1, 3])
def test_smoothness_is_the_sum_of_eq_4(hops: int) -> None:
    weights, mask = weights_batch(0, hops=hops, extra=2)
    expected = mean_over_videos_and_hops(
        weights, lambda a: sum((a[i] - a[i + 1]) ** 2 for i in range(len(a) - 1))
    )
    assert float(smoothness(weights, mask)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_smoothness_is_the_matrix_form_of_eq_4(n: int) -> None:
    """2 a'a - a'P1 a - a'P2 a - 2 a'P3 P4' a with all four matrices n by n.

    P1 and P2 hold a single 1, first and last on the diagonal; P3 is the identity without its last 1;
    P4 has its ones just BELOW the diagonal (its last row is printed "0 0 1 0"). Then P3 P4' has them
    just above it, and a'P3 P4' a = sum a_i a_{i+1}. The transpose matters: P3 P4 would lose
    the last product, since P3 clears the last row.
    """
    a = np.random.default_rng(n).dirichlet(np.ones(n))
    p1, p2 = np.zeros((n, n)), np.zeros((n, n))
    p1[0, 0] = p2[-1, -1] = 1
    p3, p4 = np.eye(n), np.eye(n, k=-1)
    p3[-1, -1] = 0
    expected = 2 * a @ a - a @ p1 @ a - a @ p2 @ a - 2 * a @ p3 @ p4.T @ a

    actual = smoothness(torch.from_numpy(a).reshape(1, n, 1), torch.ones(1, n, dtype=torch.bool))
    assert float(actual) == pytest.approx(expected, rel=1e-12, abs=1e-15)


def test_smoothness_of_known_weights() -> None:
    a = torch.tensor([[0.0, 1.0, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25]]).unsqueeze(-1)
    mask = torch.ones(2, 4, dtype=torch.bool)
    assert float(smoothness(a[:1], mask[:1])) == 2.0
    assert float(smoothness(a[1:], mask[1:])) == 0.0
    assert float(smoothness(a, mask)) == 1.0


@pytest.mark.parametrize("hops", [1, 3])
def test_l1_is_eq_5(hops: int) -> None:
    weights, mask = weights_batch(1, hops=hops, extra=2)
    weights = weights * torch.linspace(-2, 3, weights.numel()).reshape(weights.shape)
    expected = mean_over_videos_and_hops(weights, lambda a: sum(abs(value) for value in a))
    assert float(l1(weights, mask)) == pytest.approx(expected, rel=1e-12)


def test_l1_of_eq_5_is_constant_under_a_softmax() -> None:
    """D4: the value is 1 whatever the logits, and so they get no gradient."""
    logits = torch.from_numpy(3 * np.random.default_rng(0).normal(size=(4, 9, 2))).requires_grad_()
    value = l1(logits.softmax(dim=1), torch.ones(4, 9, dtype=torch.bool))
    (gradient,) = torch.autograd.grad(value, logits)
    assert float(value.detach()) == pytest.approx(1.0, rel=1e-12)
    assert float(gradient.abs().max()) < 1e-15


@pytest.mark.parametrize("regulariser", [entropy, l_half])
def test_the_other_forms_of_eq_5_push_a_softmax_towards_fewer_snippets(regulariser: Regulariser) -> None:
    """D4: a step against the gradient raises the largest weight."""
    logits = torch.tensor([[0.3, -0.2, 0.0, 0.1]], dtype=torch.float64).unsqueeze(-1).requires_grad_()
    mask = torch.ones(1, 4, dtype=torch.bool)
    (gradient,) = torch.autograd.grad(regulariser(logits.softmax(dim=1), mask), logits)
    before, after = (z.detach().softmax(dim=1).max() for z in (logits, logits - gradient))
    assert float(after) > float(before) + 0.005


def test_entropy_against_numpy() -> None:
    weights, mask = weights_batch(2, hops=2, extra=2)
    expected = mean_over_videos_and_hops(weights, lambda a: -sum(v * np.log(v) for v in a))
    assert float(entropy(weights, mask)) == pytest.approx(expected, rel=1e-12)


def test_l_half_against_numpy() -> None:
    weights, mask = weights_batch(3, hops=2, extra=2)
    expected = mean_over_videos_and_hops(weights, lambda a: sum(np.sqrt(v) for v in a))
    assert float(l_half(weights, mask)) == pytest.approx(expected, rel=1e-12)


def test_sparsity_forms_of_one_snippet_and_of_all_alike() -> None:
    mask = torch.ones(1, 16, dtype=torch.bool)
    alone = torch.zeros(1, 16, 1, dtype=torch.float64)
    alone[0, 3] = 1
    alike = torch.full((1, 16, 1), 1 / 16, dtype=torch.float64)
    assert float(entropy(alone, mask)) == 0.0
    assert float(entropy(alike, mask)) == pytest.approx(np.log(16), rel=1e-12)
    assert float(l_half(alone, mask)) == pytest.approx(1.0, abs=1e-4)  # its zeros are clamped at 1e-12
    assert float(l_half(alike, mask)) == pytest.approx(4.0, rel=1e-12)


@every_one
def test_gradients(regulariser: Regulariser) -> None:
    weights, mask = weights_batch(4, hops=2)
    # Central differences cannot resolve the regularisers at the noise behind a video's end.
    weights = weights.where(mask.unsqueeze(-1), 0.5).requires_grad_()
    assert torch.autograd.gradcheck(lambda a: regulariser(a, mask), (weights,))


@every_one
def test_masked_positions_change_neither_value_nor_gradient(regulariser: Regulariser) -> None:
    results = []
    for extra in (0, 5):
        weights, mask = weights_batch(5, hops=2, extra=extra)
        weights.requires_grad_()
        value = regulariser(weights, mask)
        (gradient,) = torch.autograd.grad(value, weights)
        assert (gradient[~mask] == 0).all()
        results.append((value, gradient[mask]))
    torch.testing.assert_close(results[0], results[1], rtol=1e-12, atol=1e-14)


@every_one
def test_gradient_stays_finite_where_the_softmax_underflows(regulariser: Regulariser) -> None:
    logits = torch.tensor([[0.0, -300.0, -90.0]]).unsqueeze(-1).requires_grad_()
    (gradient,) = torch.autograd.grad(
        regulariser(logits.softmax(dim=1), torch.ones(1, 3, dtype=torch.bool)), logits
    )
    assert gradient.isfinite().all()
