"""Scores of snippets, eq. (10) and (11)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from tsrnet.localization.scores import (
    fuse_streams,
    localization_attention,
    smooth_scores,
    standardized,
    weighted_scores,
)
from tsrnet.models.attention import attention_weights
from tsrnet.models.tsrnet import TSRNet, TSRNetSettings

FORMS = ("standardized", "max", "raw")
LENGTHS = (7, 1, 4)


def logits_batch(*, hops: int = 1, extra: int = 0) -> tuple[Tensor, Tensor]:
    """Logits (batch, time, hops) with noise of size 1e3 behind each video's end, and the mask."""
    rng = np.random.default_rng(0)
    logits = 1e3 * np.random.default_rng(extra).normal(size=(len(LENGTHS), max(LENGTHS) + extra, hops))
    for row, length in enumerate(LENGTHS):
        logits[row, :length] = rng.normal(size=(length, hops))
    mask = np.arange(logits.shape[1]) < np.array(LENGTHS)[:, None]
    return torch.from_numpy(logits), torch.from_numpy(mask)


def attention_of(logits: Tensor, mask: Tensor, form: str) -> Tensor:
    return localization_attention(logits, attention_weights(logits, mask), mask, form=form)


def sigmoid(x: np.ndarray | float) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-np.asarray(x))))


def reference_attention(logits: np.ndarray, form: str) -> np.ndarray:
    """D5 for the logits (n, hops) of one video."""
    powers = np.exp(logits)
    a = powers / powers.sum(axis=0)
    if form == "raw":
        return np.asarray(a.mean(axis=1))
    if form == "max":
        return np.asarray((a / a.max(axis=0)).mean(axis=1))
    columns = []
    for z in logits.T:
        deviation = np.sqrt(np.mean((z - z.mean()) ** 2))
        columns.append((z - z.mean()) / deviation if deviation > 0 else np.zeros_like(z))
    return sigmoid(np.mean(columns, axis=0))


@pytest.mark.parametrize("hops", [1, 3])
@pytest.mark.parametrize("form", FORMS)
def test_weighted_scores_follow_eq_10(form: str, hops: int) -> None:
    logits, mask = logits_batch(hops=hops, extra=2)
    activations = torch.from_numpy(np.random.default_rng(1).normal(size=mask.shape))
    scores = weighted_scores(attention_of(logits, mask, form), activations)
    for row, length in enumerate(LENGTHS):
        a = reference_attention(logits[row, :length].numpy(), form)
        for i in range(length):
            expected = a[i] * sigmoid(float(activations[row, i]))
            assert float(scores[row, i]) == pytest.approx(float(expected), rel=1e-11)
        assert (scores[row, length:] == 0).all()


def test_fused_scores_follow_eq_11() -> None:
    rgb, flow = np.random.default_rng(2).random((2, 2, 5, 3))
    for theta in (0.0, 0.3, 0.5, 1.0):
        expected = theta * rgb + (1 - theta) * flow
        actual = fuse_streams(torch.from_numpy(rgb), torch.from_numpy(flow), theta=theta)
        np.testing.assert_allclose(actual, expected, rtol=1e-14)


def test_standardized_attention_does_not_depend_on_scale_and_offset_of_the_logits() -> None:
    logits, mask = logits_batch(hops=2)
    changed = 0.01 * logits - 40
    torch.testing.assert_close(
        attention_of(changed, mask, "standardized"), attention_of(logits, mask, "standardized")
    )


def test_standardized_attention_of_two_snippets_is_known() -> None:
    logits = torch.tensor([[[-1.0], [5.0]]])
    attention = attention_of(logits, torch.ones(1, 2, dtype=torch.bool), "standardized")
    np.testing.assert_allclose(attention, [sigmoid(np.array([-1.0, 1.0]))], rtol=1e-6)


@pytest.mark.parametrize("value", [0.0, 3.7, -30.1])
@pytest.mark.parametrize("n", [1, 50])
def test_standardized_attention_of_equal_logits_is_one_half(value: float, n: int) -> None:
    """A video of one repeated picture: no snippet stands out, whatever the rounding of float32."""
    attention = attention_of(torch.full((1, n, 1), value), torch.ones(1, n, dtype=torch.bool), "standardized")
    torch.testing.assert_close(attention, torch.full((1, n), 0.5), rtol=0, atol=0.01)


def test_largest_snippet_has_attention_one_in_the_max_form() -> None:
    logits, mask = logits_batch()
    attention = attention_of(logits, mask, "max")
    torch.testing.assert_close(attention.amax(dim=1), torch.ones(len(LENGTHS), dtype=torch.float64))


def test_raw_attention_sums_to_one_as_in_the_paper() -> None:
    logits, mask = logits_batch(hops=3)
    attention = attention_of(logits, mask, "raw")
    torch.testing.assert_close(attention.sum(dim=1), torch.ones(len(LENGTHS), dtype=torch.float64))


@pytest.mark.parametrize("form", FORMS)
def test_extra_masked_snippets_change_no_score(form: str) -> None:
    """From features to eq. (11), two streams of two hops."""
    torch.manual_seed(0)
    settings = TSRNetSettings(attention_size=4, hidden_size=6, hops=2)
    networks = [TSRNet(settings, num_features=5, num_classes=3).double().eval() for _ in range(2)]
    real = torch.randn(2, 6, 5, dtype=torch.float64)
    scores = []
    for extra in (0, 5):
        mask = torch.arange(6 + extra) < torch.tensor([[6], [4]])
        features = 1e3 * torch.randn(2, 6 + extra, 5, dtype=torch.float64)
        features[mask] = real[mask[:, :6]]
        streams = []
        for network in networks:
            output = network(features, mask)
            attention = localization_attention(output.attention_logits, output.attention, mask, form=form)
            streams.append(weighted_scores(attention, network.class_activations(features)[..., 1]))
        fused = fuse_streams(*streams, theta=0.4)
        assert (fused[~mask] == 0).all()
        scores.append(fused[mask])
    torch.testing.assert_close(scores[0], scores[1], rtol=1e-11, atol=1e-13)


def test_an_unknown_form_is_refused() -> None:
    logits, mask = logits_batch()
    with pytest.raises(ValueError, match=r"localization\.attention: got softmax"):
        attention_of(logits, mask, "softmax")


def test_attention_none_is_one_where_there_are_snippets() -> None:
    logits, mask = logits_batch(extra=2)
    assert torch.equal(attention_of(logits, mask, "none"), mask.double())


def test_standardized_values_have_mean_0_and_deviation_1_in_each_video() -> None:
    values, mask = logits_batch(hops=3, extra=2)
    exact = standardized(values, mask)
    assert not exact[~mask].any()
    for row, length in enumerate(LENGTHS):
        video = values[row, :length].numpy()
        deviation = video.std(axis=0) if length > 1 else np.ones(3)
        expected = (video - video.mean(axis=0)) / deviation
        np.testing.assert_allclose(exact[row, :length], expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("width", [0.0, 1.9, 3.0, 5.04, 40.0])
def test_smoothing_is_the_mean_of_the_real_neighbours(width: float) -> None:
    values, mask = logits_batch(extra=3)
    scores = values.squeeze(-1)
    smooth = smooth_scores(scores, mask, width=torch.full((len(LENGTHS),), width))
    half = int(width // 2)
    for row, length in enumerate(LENGTHS):
        for i in range(length):
            around = scores[row, max(0, i - half) : min(length, i + half + 1)]
            assert float(smooth[row, i]) == pytest.approx(float(around.mean()), rel=1e-10)
    assert not smooth[~mask].any()
