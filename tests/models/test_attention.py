"""Self-attention pooling, eq. (1)."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tsrnet.models.attention import (
    MeanPooling,
    SelfAttention,
    attend,
    attention_weights,
)

LENGTHS = (7, 1, 4)


def padded_batch(seed: int, *, num_features: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    """Features (batch, time, d) with noise of size 1e3 behind each video's end, and the mask."""
    rng = np.random.default_rng(seed)
    features = 1e3 * rng.normal(size=(len(LENGTHS), max(LENGTHS) + 2, num_features))
    for row, length in enumerate(LENGTHS):
        features[row, :length] = rng.normal(size=(length, num_features))
    mask = np.arange(features.shape[1]) < np.array(LENGTHS)[:, None]
    return torch.from_numpy(features), torch.from_numpy(mask)


def reference_weights(x: np.ndarray, w1: np.ndarray, w2: np.ndarray) -> np.ndarray:
    """a of eq. (1) for X (d, n), W1 (b, d) and one row w2 (b,): (n,)."""
    logits = np.array([w2 @ np.tanh(w1 @ x[:, i]) for i in range(x.shape[1])])
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


@pytest.mark.parametrize("hops", [1, 3])
def test_weights_and_pooled_features_follow_eq_1(hops: int) -> None:
    torch.manual_seed(0)
    attention = SelfAttention(5, size=4, hops=hops).double()
    features, mask = padded_batch(1)

    weights = attention_weights(attention(features, mask), mask)
    pooled = attend(features, weights)

    w1, w2 = (parameter.detach().numpy() for parameter in attention.parameters())
    for row, length in enumerate(LENGTHS):
        x = features[row, :length].numpy().T  # d by n as in the paper
        for hop in range(hops):
            a = reference_weights(x, w1, w2[hop])
            np.testing.assert_allclose(weights[row, :length, hop].detach(), a, rtol=1e-12)
            np.testing.assert_allclose(pooled[row, hop].detach(), x @ a, rtol=1e-12, atol=1e-14)


def test_weights_of_each_hop_sum_to_one_and_vanish_where_masked() -> None:
    torch.manual_seed(0)
    _, mask = padded_batch(2)
    weights = attention_weights(1e3 * torch.randn(*mask.shape, 2, dtype=torch.float64), mask)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(3, 2, dtype=torch.float64))
    assert (weights[~mask] == 0).all()


def test_weights_of_known_logits() -> None:
    logits = torch.tensor([[0.0, np.log(3.0), 50.0]], dtype=torch.float64).unsqueeze(-1)
    weights = attention_weights(logits, torch.tensor([[True, True, False]]))
    np.testing.assert_allclose(weights.squeeze(), [0.25, 0.75, 0.0], rtol=1e-12)


def test_masked_logits_receive_no_gradient() -> None:
    torch.manual_seed(0)
    features, mask = padded_batch(3)
    logits = torch.randn(*mask.shape, 1, dtype=torch.float64, requires_grad=True)
    attend(features, attention_weights(logits, mask)).square().sum().backward()
    assert logits.grad is not None
    assert (logits.grad[~mask] == 0).all()
    assert (logits.grad[0, : LENGTHS[0]] != 0).all()


def test_equal_logits_make_eq_1_the_mean_over_valid_snippets() -> None:
    features, mask = padded_batch(4)
    pooled = attend(features, attention_weights(MeanPooling()(features, mask), mask))[:, 0]
    for row, length in enumerate(LENGTHS):
        np.testing.assert_allclose(pooled[row], features[row, :length].numpy().mean(axis=0), rtol=1e-12)


def test_a_video_without_a_valid_snippet_is_refused() -> None:
    with pytest.raises(ValueError, match="valid snippet"):
        attention_weights(torch.zeros(2, 3, 1), torch.tensor([[True, False, False], [False] * 3]))
