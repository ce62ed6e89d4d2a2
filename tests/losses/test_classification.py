"""L_class of eq. (2)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from tsrnet.losses.classification import binary_cross_entropy, softmax_cross_entropy

Loss = Callable[[Tensor, Tensor], Tensor]
LOSSES = {"softmax": softmax_cross_entropy, "bce": binary_cross_entropy}
both = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())


def batch(seed: int) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(seed)
    labels = (rng.random((6, 4)) < 0.4).astype(np.float64)
    labels[np.arange(6), rng.integers(4, size=6)] = 1
    return torch.from_numpy(3 * rng.normal(size=(6, 4))), torch.from_numpy(labels)


def test_softmax_cross_entropy_against_numpy() -> None:
    """Multi-label form (D3): each of a video's k labels weighs 1 / k."""
    logits, labels = batch(0)
    total = 0.0
    for scores, present in zip(logits.numpy(), labels.numpy(), strict=True):
        probabilities = np.exp(scores) / np.exp(scores).sum()
        total += -sum(np.log(probabilities[c]) for c in range(4) if present[c]) / present.sum()
    assert float(softmax_cross_entropy(logits, labels)) == pytest.approx(total / 6, rel=1e-12)


def test_binary_cross_entropy_against_numpy() -> None:
    logits, labels = batch(1)
    total = 0.0
    for score, present in zip(logits.numpy().ravel(), labels.numpy().ravel(), strict=True):
        probability = 1 / (1 + np.exp(-score))
        total += -np.log(probability if present else 1 - probability)
    assert float(binary_cross_entropy(logits, labels)) == pytest.approx(total / 6, rel=1e-12)


def test_equal_logits_cost_the_log_of_the_number_of_classes() -> None:
    labels = torch.tensor([[1.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    assert float(softmax_cross_entropy(torch.full((2, 4), 7.0), labels)) == pytest.approx(np.log(4))


def test_zero_logits_cost_one_bit_a_class() -> None:
    labels = torch.tensor([[1.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    assert float(binary_cross_entropy(torch.zeros(2, 4), labels)) == pytest.approx(4 * np.log(2))


def test_gradients_are_prediction_minus_target() -> None:
    logits, labels = batch(2)
    logits.requires_grad_()
    (softmax,) = torch.autograd.grad(softmax_cross_entropy(logits, labels), logits)
    (bce,) = torch.autograd.grad(binary_cross_entropy(logits, labels), logits)
    scores = logits.detach().numpy()
    targets = labels.numpy() / labels.numpy().sum(axis=1, keepdims=True)
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(softmax, (probabilities - targets) / 6, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(bce, (1 / (1 + np.exp(-scores)) - labels.numpy()) / 6, rtol=1e-10, atol=1e-14)


@both
def test_huge_logits_stay_exact(loss: Loss) -> None:
    """One video, label 0: the loss is the margin by which it is wrong."""
    wrong = torch.tensor([[-1e4, -2e4]]), torch.tensor([[0.0, 1.0]])
    assert float(softmax_cross_entropy(*wrong)) == pytest.approx(1e4)
    assert float(binary_cross_entropy(*wrong)) == pytest.approx(2e4)
    assert float(loss(torch.tensor([[1e4, -1e4]]), torch.tensor([[1.0, 0.0]]))) == 0.0


@both
def test_shape_mismatch_and_a_video_without_label_are_refused(loss: Loss) -> None:
    with pytest.raises(ValueError, match="shape"):
        loss(torch.zeros(2, 3), torch.ones(2, 4))
    with pytest.raises(ValueError, match="without a label"):
        loss(torch.zeros(2, 3), torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]))
