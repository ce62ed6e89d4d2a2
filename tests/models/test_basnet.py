"""BaS-Net against its formulas, written as loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tsrnet.models.basnet import BaSNet, BaSNetSettings

LENGTHS = (9, 4, 1)
TOP = (3, 1, 1)
"""k of each video: a quarter of its snippets, rounded up."""
MASK = torch.arange(9) < torch.tensor(LENGTHS)[:, None]
LABELS = torch.tensor([[1, 0], [1, 1], [0, 1]], dtype=torch.float64)


def build(**settings: Any) -> BaSNet:
    torch.manual_seed(0)
    sizes = {"filter_size": 4, "filter_kernel": 3, "hidden_size": 5, "kernel": 3, "pool_divisor": 4}
    return BaSNet(BaSNetSettings(**sizes | settings), num_features=3, num_classes=2).double().eval()


def batch(seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(3, 9, 3, generator=generator, dtype=torch.float64)
    return features.where(MASK.unsqueeze(-1), 1e3)


def softmax(x: np.ndarray) -> np.ndarray:
    powers = np.exp(x - x.max())
    return powers / powers.sum()


def convolve(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """x (n, d), weight (outputs, d, kernel): beyond the ends of the video are zeros."""
    half = weight.shape[2] // 2
    outputs = np.tile(bias, (len(x), 1))
    for t in range(len(x)):
        for offset in range(-half, half + 1):
            if 0 <= t + offset < len(x):
                outputs[t] += weight[:, :, offset + half] @ x[t + offset]
    return outputs


def leaky(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, 0.01 * x)


@pytest.mark.parametrize("classification", ["softmax", "bce"])
def test_terms_and_view_follow_the_formulas(classification: str) -> None:
    model = build(alpha=2.0, beta=3.0, gamma=0.1, classification=classification)
    features = batch(0)
    terms = model.loss_terms(model(features, MASK), MASK, LABELS)
    view = model.predict(features, MASK)
    f1, fb1, f2, fb2, c1, cb1, c2, cb2, w = (p.detach().numpy() for p in model.parameters())

    def classify(x: np.ndarray) -> np.ndarray:
        return leaky(convolve(leaky(convolve(x, c1, cb1)), c2, cb2)) @ w.T

    losses: dict[str, list[float]] = {"base": [], "suppression": [], "norm": []}
    for row, (length, k) in enumerate(zip(LENGTHS, TOP, strict=True)):
        x = features[row, :length].numpy()
        logits = convolve(leaky(convolve(x, f1, fb1)), f2, fb2)
        weights = 1 / (1 + np.exp(-logits))
        suppressed = classify(weights * x)
        for name, scores, background in (("base", classify(x), 1.0), ("suppression", suppressed, 0.0)):
            p = softmax(np.sort(scores, axis=0)[-k:].mean(axis=0))
            y = np.array([*LABELS[row].numpy(), background])
            target = y / y.sum()
            binary = target * np.log(p) + (1 - target) * np.log(1 - p)
            losses[name].append(-sum(target * np.log(p)) if classification == "softmax" else -binary.mean())
        losses["norm"].append(float(weights.sum()))
        np.testing.assert_allclose(view.probabilities[row].detach(), p[:2], rtol=1e-11)
        np.testing.assert_allclose(view.logits[row, :length].detach(), logits, rtol=1e-10)
        np.testing.assert_allclose(view.weights[row, :length].detach(), weights, rtol=1e-11)
        np.testing.assert_allclose(view.activations[row, :length].detach(), suppressed[:, :2], rtol=1e-10)
    means = {name: np.mean(values) for name, values in losses.items()}
    for name, mean in means.items():
        assert terms[name].item() == pytest.approx(mean, rel=1e-11)
    total = 2 * means["base"] + 3 * means["suppression"] + 0.1 * means["norm"]
    assert terms["total"].item() == pytest.approx(total, rel=1e-11)


def test_what_the_filter_holds_back_the_suppression_branch_does_not_see() -> None:
    model = build()
    torch.nn.init.constant_(model.filter2.conv.bias, -1e3)
    first, second = model(batch(1), MASK), model(batch(2), MASK)
    torch.testing.assert_close(first.suppression, second.suppression, rtol=0, atol=0)
    assert (first.base - second.base).abs().min() > 1e-3


def test_an_open_filter_makes_the_branches_one() -> None:
    model = build()
    torch.nn.init.constant_(model.filter2.conv.bias, 1e3)
    output = model(batch(3), MASK)
    torch.testing.assert_close(output.suppression, output.base, rtol=0, atol=0)
