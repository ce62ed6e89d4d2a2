"""STPN against its formulas, written as loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tsrnet.models.stpn import STPN, STPNSettings

LENGTHS = (6, 4, 1)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def batch(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(3, 6, 5, generator=generator, dtype=torch.float64)
    mask = torch.arange(6) < torch.tensor(LENGTHS)[:, None]
    labels = torch.tensor([[1, 0], [1, 1], [0, 1]], dtype=torch.float64)
    return features.where(mask.unsqueeze(-1), 1e3), mask, labels


def build(**settings: Any) -> STPN:
    torch.manual_seed(0)
    return STPN(STPNSettings(attention_size=4, **settings), num_features=5, num_classes=2).double()


@pytest.mark.parametrize("pooling", ["mean", "sum"])
def test_terms_and_view_follow_the_formulas(pooling: str) -> None:
    model = build(pooling=pooling, beta=0.3)
    features, mask, labels = batch(1)
    terms = model.loss_terms(model(features, mask), mask, labels)
    view = model.predict(features, mask)
    w1, b1, w2, b2, w, b = (p.detach().numpy() for p in model.parameters())
    class_losses, norms = [], []
    for row, length in enumerate(LENGTHS):
        x = features[row, :length].numpy()
        attention = np.array([sigmoid(w2 @ np.maximum(w1 @ x_t + b1, 0) + b2)[0] for x_t in x])
        pooled = sum(a * x_t for a, x_t in zip(attention, x, strict=True))
        p = sigmoid(w @ (pooled / length if pooling == "mean" else pooled) + b)
        y = labels[row].numpy()
        class_losses.append(-np.mean(y * np.log(p) + (1 - y) * np.log(1 - p)))
        norms.append(sum(abs(attention)))
        np.testing.assert_allclose(view.probabilities[row].detach(), p, rtol=1e-12)
        np.testing.assert_allclose(view.weights[row, :length, 0].detach(), attention, rtol=1e-12)
        np.testing.assert_allclose(view.logits[row, :length].sigmoid().detach()[:, 0], attention, rtol=1e-12)
        np.testing.assert_allclose(view.activations[row, :length].detach(), x @ w.T, rtol=1e-11)
    assert terms["class"].item() == pytest.approx(np.mean(class_losses), rel=1e-12)
    assert terms["sparsity"].item() == pytest.approx(np.mean(norms), rel=1e-12)
    assert terms["total"].item() == pytest.approx(np.mean(class_losses) + 0.3 * np.mean(norms), rel=1e-12)


def test_beta_makes_the_attention_smaller() -> None:
    features, mask, labels = batch(2)
    sums = []
    for beta in (0.0, 1.0):
        model = build(beta=beta)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
        for _ in range(30):
            optimizer.zero_grad()
            model.loss_terms(model(features, mask), mask, labels)["total"].backward()
            optimizer.step()
        sums.append(model(features, mask).attention.sum().item())
    assert sums[1] < 0.5 * sums[0]
