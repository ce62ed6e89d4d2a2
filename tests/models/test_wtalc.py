"""W-TALC against its formulas, written as loops."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch

from tsrnet.models.wtalc import WTALC, WTALCSettings, co_activity_similarity

LENGTHS = (17, 5, 2, 9)
TOP = (3, 1, 1, 2)
"""k of each video: a eighth of its snippets, rounded up."""
LABELS = torch.tensor([[1, 0, 0], [1, 1, 0], [1, 1, 0], [0, 0, 1]], dtype=torch.float64)
MASK = torch.arange(17) < torch.tensor(LENGTHS)[:, None]


def softmax(x: np.ndarray) -> np.ndarray:
    powers = np.exp(x - x.max())
    return powers / powers.sum()


def distance(x: np.ndarray, y: np.ndarray) -> float:
    return float(1 - x @ y / (np.linalg.norm(x) * np.linalg.norm(y)))


def noise(seed: int, size: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(4, 17, size, generator=generator, dtype=torch.float64)


def similarity(hidden: torch.Tensor, activations: torch.Tensor, margin: float) -> float:
    """Class by class, pair by pair, of LABELS."""
    of_classes = []
    for c in range(3):
        high, low = {}, {}
        for m in np.flatnonzero(LABELS[:, c]):
            x = hidden[m, : LENGTHS[m]].numpy()
            attention = softmax(activations[m, : LENGTHS[m], c].numpy())
            high[m] = sum(a * x_t for a, x_t in zip(attention, x, strict=True))
            low[m] = sum((1 - a) * x_t for a, x_t in zip(attention, x, strict=True)) / (LENGTHS[m] - 1)
        hinges = [
            0.5 * max(0, distance(high[m], high[n]) - distance(high[m], low[n]) + margin)
            + 0.5 * max(0, distance(high[m], high[n]) - distance(low[m], high[n]) + margin)
            for m, n in combinations(high, 2)
        ]
        if hinges:
            of_classes.append(np.mean(hinges))
    return float(np.mean(of_classes))


def test_terms_and_view_follow_the_formulas() -> None:
    torch.manual_seed(0)
    model = WTALC(WTALCSettings(hidden_size=6, mil_share=0.3), num_features=5, num_classes=3).double().eval()
    features = noise(0, 5).where(MASK.unsqueeze(-1), 1e3)
    output = model(features, MASK)
    terms = model.loss_terms(output, MASK, LABELS)
    view = model.predict(features, MASK)
    w1, b1, w2, b2 = (p.detach().numpy() for p in model.parameters())
    losses = []
    for row, (length, k) in enumerate(zip(LENGTHS, TOP, strict=True)):
        scores = np.maximum(features[row, :length].numpy() @ w1.T + b1, 0) @ w2.T + b2
        p = softmax(np.sort(scores, axis=0)[-k:].mean(axis=0))
        y = LABELS[row].numpy()
        losses.append(-sum(y / y.sum() * np.log(p)))
        np.testing.assert_allclose(view.activations[row, :length].detach(), scores, rtol=1e-10)
        np.testing.assert_allclose(view.probabilities[row].detach(), p, rtol=1e-11)
    expected = similarity(output.hidden.detach(), output.activations.detach(), 0.5)
    assert terms["mil"].item() == pytest.approx(np.mean(losses), rel=1e-12)
    assert terms["similarity"].item() == pytest.approx(expected, rel=1e-12)
    assert terms["total"].item() == pytest.approx(0.3 * np.mean(losses) + 0.7 * expected, rel=1e-12)
    assert torch.equal(view.weights[..., 0], MASK.double())
    assert not view.logits.any()


@pytest.mark.parametrize("margin", [0.0, 0.2, 1.5])
def test_similarity_is_the_mean_over_pairs_then_over_classes(margin: float) -> None:
    hidden, activations = noise(1, 6) * MASK.unsqueeze(-1), 3 * noise(2, 3)
    actual = co_activity_similarity(hidden, activations, MASK, LABELS, margin=margin)
    assert float(actual) == pytest.approx(similarity(hidden, activations, margin), rel=1e-12)


@pytest.mark.parametrize(("background", "expected"), [([0.0, 1.0], 0.0), ([1.0, 0.0], 0.5)])
def test_similarity_of_two_videos_whose_background_differs_or_not(
    background: list[float], expected: float
) -> None:
    """High attention is on (1, 0) in both: a low of (0, 1) is 1 away, a low of (1, 0) gives the margin."""
    hidden = torch.tensor([[[1.0, 0.0], background]] * 2)
    activations = torch.tensor([[[50.0], [-50.0]]] * 2)
    mask = torch.ones(2, 2, dtype=torch.bool)
    value = co_activity_similarity(hidden, activations, mask, torch.ones(2, 1), margin=0.5)
    assert float(value) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("case", ["no pair", "one snippet", "dead features"])
def test_gradient_stays_finite(case: str) -> None:
    hidden, activations = noise(3, 6) * MASK.unsqueeze(-1), noise(4, 3).requires_grad_()
    mask, labels = MASK, LABELS
    if case == "no pair":
        labels = LABELS * torch.tensor([[0.0], [1.0], [0.0], [1.0]])
    elif case == "one snippet":
        mask = (torch.arange(17) < 1).expand(4, 17)
        hidden = hidden * mask.unsqueeze(-1)
    else:
        hidden[1] = 0  # of one video: the others' directions pull at it
    value = co_activity_similarity(hidden.requires_grad_(), activations, mask, labels, margin=0.5)
    gradients = torch.autograd.grad(value, (hidden, activations))
    assert value.isfinite()
    assert (value == 0) == (case == "no pair")
    assert all(gradient.isfinite().all() and gradient.abs().max() < 1e7 for gradient in gradients)
