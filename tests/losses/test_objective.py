"""How the terms add up, eq. (2), (3), (6) and (9), alone and over whole networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args, get_type_hints

import numpy as np
import pytest
import torch
from torch import Tensor

from tsrnet.losses.attention import SPARSITY, entropy, l1, smoothness
from tsrnet.losses.classification import CLASSIFICATION, softmax_cross_entropy
from tsrnet.losses.mmd import transfer_fc1, transfer_fc2
from tsrnet.losses.objective import (
    LossSettings,
    TransferSettings,
    regularisation,
    self_attention_loss,
    total_loss,
    transfer_loss,
)
from tsrnet.models.tsrnet import TSRNet, TSRNetSettings

Sparsity = Callable[[Tensor, Tensor], Tensor]
ALPHA, BETA, BANDWIDTH = 10.0, 0.3, 1.5


def test_sums_of_known_terms() -> None:
    """Eq. (2), (3), (6) with and without weights, and (9)."""
    a, b = torch.tensor(2.0), torch.tensor(5.0)
    assert float(self_attention_loss(a, b)) == 7.0  # eq. (2)
    assert float(regularisation(a, b, alpha=10.0, beta=0.1)) == pytest.approx(20.5)  # eq. (3)
    assert float(transfer_loss(a, b)) == 7.0  # eq. (6)
    assert float(transfer_loss(a, b, weights=(0.5, 3.0))) == 16.0
    assert float(total_loss(a, b)) == 7.0  # eq. (9)


def networks() -> tuple[TSRNet, TSRNet]:
    """(teacher of trimmed videos, network of untrimmed ones)."""
    torch.manual_seed(0)
    settings = TSRNetSettings(attention_size=4, hidden_size=6, hops=2, merge="concat")
    teacher, network = (TSRNet(settings, num_features=5, num_classes=3).double().eval() for _ in range(2))
    return teacher.requires_grad_(False), network


def videos(lengths: tuple[int, ...], *, seed: int, extra: int = 0) -> tuple[Tensor, Tensor]:
    """Features and mask; behind each video's end noise of size 1e3, `extra` snippets more of it."""
    rng = np.random.default_rng(seed)
    features = 1e3 * np.random.default_rng(extra).normal(size=(len(lengths), max(lengths) + extra, 5))
    for row, length in enumerate(lengths):
        features[row, :length] = rng.normal(size=(length, 5))
    mask = np.arange(features.shape[1]) < np.array(lengths)[:, None]
    return torch.from_numpy(features), torch.from_numpy(mask)


LENGTHS, CLIP_LENGTHS = (6, 1, 4), (3, 2)
LABELS = torch.tensor([[1, 0, 1], [0, 1, 0], [0, 0, 1]], dtype=torch.float64)


def objective(teacher: TSRNet, network: TSRNet, *, extra: int = 0, sparsity: Sparsity = l1) -> Tensor:
    """L of eq. (9) for three videos and two clips."""
    features, mask = videos(LENGTHS, seed=1, extra=extra)
    output, source = network(features, mask), teacher(*videos(CLIP_LENGTHS, seed=2, extra=extra))
    terms = smoothness(output.attention, mask), sparsity(output.attention, mask)
    own = self_attention_loss(
        softmax_cross_entropy(output.logits, LABELS), regularisation(*terms, alpha=ALPHA, beta=BETA)
    )
    fc1 = transfer_fc1(source.pooled, output.pooled, bandwidth=BANDWIDTH)
    fc2 = transfer_fc2(source.hidden, output.hidden, bandwidth=BANDWIDTH)
    return total_loss(own, transfer_loss(fc1, fc2))


def reference_objective(teacher: TSRNet, network: TSRNet) -> float:
    """Eq. (9) from features and weights to the sum, video by video."""

    def run(net: TSRNet, lengths: tuple[int, ...], seed: int) -> list[tuple[np.ndarray, ...]]:
        w1, w2, fc1, b1, fc2, b2 = (p.detach().numpy() for p in net.parameters())
        features, _ = videos(lengths, seed=seed)
        results = []
        for row, length in enumerate(lengths):
            x = features[row, :length].numpy().T
            powers = np.exp(w2 @ np.tanh(w1 @ x))
            a = powers / powers.sum(axis=1, keepdims=True)  # (hops, n), eq. (1)
            m = np.concatenate([x @ weights for weights in a])
            hidden = np.maximum(fc1 @ m + b1, 0)
            results.append((a, m, hidden, fc2 @ hidden + b2))
        return results

    def mmd2(t: list[np.ndarray], u: list[np.ndarray]) -> float:
        def mean_kernel(xs: list[np.ndarray], ys: list[np.ndarray]) -> float:
            squares = [((x - y) ** 2).sum() for x in xs for y in ys]
            scales = [2 * s * BANDWIDTH for s in (0.25, 0.5, 1, 2, 4)]
            return sum(np.exp(-square / scale) for square in squares for scale in scales) / len(squares)

        return mean_kernel(t, t) + mean_kernel(u, u) - 2 * mean_kernel(t, u)

    own, clips = run(network, LENGTHS, 1), run(teacher, CLIP_LENGTHS, 2)
    class_loss, smooth, sparse = [], [], []
    for (a, _, _, logits), labels in zip(own, LABELS.numpy(), strict=True):
        log_p = logits - np.log(np.exp(logits).sum())
        class_loss.append(-(log_p * labels).sum() / labels.sum())
        smooth.append(np.mean([sum(np.diff(hop) ** 2) for hop in a]))
        sparse.append(np.mean([np.abs(hop).sum() for hop in a]))
    l_sa = np.mean(class_loss) + ALPHA * np.mean(smooth) + BETA * np.mean(sparse)
    l_fc1 = mmd2([clip[1] for clip in clips], [video[1] for video in own])
    l_fc2 = mmd2([clip[2] for clip in clips], [video[2] for video in own])
    return float(l_sa + l_fc1 + l_fc2)


def test_loss_of_whole_networks_is_eq_9() -> None:
    """Through (1) to (8), on a batch of unequal lengths."""
    teacher, network = networks()
    actual = float(objective(teacher, network).detach())
    assert actual == pytest.approx(reference_objective(teacher, network), rel=1e-10)


@pytest.mark.parametrize("sparsity", [l1, entropy])
def test_extra_masked_snippets_change_neither_loss_nor_gradient(sparsity: Sparsity) -> None:
    results = []
    for extra in (0, 5):
        teacher, network = networks()
        loss = objective(teacher, network, extra=extra, sparsity=sparsity)
        loss.backward()
        results.append((loss.detach(), {name: p.grad for name, p in network.named_parameters()}))
    torch.testing.assert_close(results[0], results[1], rtol=1e-10, atol=1e-11)
    assert all((gradient != 0).any() for gradient in results[0][1].values())


def test_transfer_is_active_when_a_term_has_weight() -> None:
    assert [TransferSettings(*w).active for w in ((0, 0), (1, 0), (0, 0.1), (1, 1))] == [False] + 3 * [True]


def test_the_settings_offer_every_loss_that_there_is() -> None:
    offered = get_type_hints(LossSettings)
    assert get_args(offered["classification"]) == tuple(CLASSIFICATION)
    assert get_args(offered["sparsity"]) == tuple(SPARSITY)
