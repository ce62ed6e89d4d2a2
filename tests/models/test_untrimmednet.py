"""UntrimmedNet against its formulas, written as loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tsrnet.models.untrimmednet import UntrimmedNet, UntrimmedNetSettings, log_odds

LENGTHS = (7, 5, 1)
TOP = {1: LENGTHS, 3: (3, 2, 1), 8: (1, 1, 1)}
"""By the divisor: k of each video."""


def softmax(x: np.ndarray) -> np.ndarray:
    powers = np.exp(x - x.max())
    return powers / powers.sum()


def batch(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(3, 7, 5, generator=generator, dtype=torch.float64)
    mask = torch.arange(7) < torch.tensor(LENGTHS)[:, None]
    labels = torch.tensor([[1, 0, 0], [1, 0, 1], [0, 1, 0]], dtype=torch.float64)
    return features.where(mask.unsqueeze(-1), 1e3), mask, labels


def build(**settings: Any) -> UntrimmedNet:
    torch.manual_seed(0)
    return UntrimmedNet(UntrimmedNetSettings(**settings), num_features=5, num_classes=3).double()


def cross_entropy(predictions: list[np.ndarray], labels: torch.Tensor) -> float:
    """With each video's labels normalised to sum 1."""
    return float(
        np.mean([-sum(y / y.sum() * np.log(p)) for p, y in zip(predictions, labels.numpy(), strict=True)])
    )


def test_soft_selection_follows_the_formulas() -> None:
    model = build(selection="soft").eval()
    features, mask, labels = batch(1)
    view = model.predict(features, mask)
    w, b, attention = (p.detach().numpy() for p in model.parameters())
    predictions = []
    for row, length in enumerate(LENGTHS):
        x = features[row, :length].numpy()
        classes = np.array([softmax(w @ x_t + b) for x_t in x])
        weights = softmax(x @ attention[0])
        predictions.append(sum(a * p for a, p in zip(weights, classes, strict=True)))
        np.testing.assert_allclose(view.weights[row, :length, 0].detach(), weights, rtol=1e-11)
        np.testing.assert_allclose(view.logits[row, :length, 0].detach(), x @ attention[0], rtol=1e-11)
        np.testing.assert_allclose(view.activations[row, :length].sigmoid().detach(), classes, rtol=1e-11)
        np.testing.assert_allclose(view.probabilities[row].detach(), predictions[-1], rtol=1e-11)
    terms = model.loss_terms(model(features, mask), mask, labels)
    assert terms["total"].item() == pytest.approx(cross_entropy(predictions, labels), rel=1e-12)


@pytest.mark.parametrize("divisor", TOP)
def test_hard_selection_follows_the_formulas(divisor: int) -> None:
    model = build(selection="hard", pool_divisor=divisor).eval()
    features, mask, labels = batch(2)
    view = model.predict(features, mask)
    w, b = (p.detach().numpy() for p in model.parameters())
    predictions = []
    for row, (length, k) in enumerate(zip(LENGTHS, TOP[divisor], strict=True)):
        scores = features[row, :length].numpy() @ w.T + b
        predictions.append(softmax(np.sort(scores, axis=0)[-k:].mean(axis=0)))
        np.testing.assert_allclose(view.probabilities[row].detach(), predictions[-1], rtol=1e-11)
    terms = model.loss_terms(model(features, mask), mask, labels)
    assert terms["total"].item() == pytest.approx(cross_entropy(predictions, labels), rel=1e-12)
    assert torch.equal(view.weights[..., 0], mask.double())
    assert not view.logits.any()


def test_log_odds_of_a_certain_class_are_finite() -> None:
    odds = log_odds(torch.tensor([200.0, 0.0, -200.0]))
    assert odds.isfinite().all()
    torch.testing.assert_close(odds.sigmoid(), torch.tensor([1.0, 0.0, 0.0]), rtol=0, atol=1e-6)
