"""The network of one stream."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tsrnet.models.tsrnet import TSRNet, TSRNetSettings

SETTINGS = {
    "one hop": TSRNetSettings(attention_size=4, hidden_size=6),
    "concat": TSRNetSettings(attention_size=4, hidden_size=6, hops=3, merge="concat"),
    "mean": TSRNetSettings(attention_size=4, hidden_size=6, hops=3, merge="mean"),
    "two-stream": TSRNetSettings(attention="mean", hidden_size=6),
}
every_kind = pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())


def build(settings: TSRNetSettings) -> TSRNet:
    torch.manual_seed(0)
    return TSRNet(settings, num_features=5, num_classes=3).double().eval()


def batch(seed: int, *, extra: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Two videos of 6 and 4 snippets; `extra` more masked ones, all masked ones noise of size 1e3."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(2, 6, 5, generator=generator, dtype=torch.float64)
    noise = 1e3 * torch.randn(2, 6 + extra, 5, dtype=torch.float64)
    mask = torch.arange(6 + extra) < torch.tensor([[6], [4]])
    features = torch.cat([features, noise[:, 6:]], dim=1)
    return torch.where(mask.unsqueeze(-1), features, noise), mask


@pytest.mark.parametrize("merge", ["concat", "mean"])
def test_output_of_several_hops_follows_eq_1_and_the_classification_stage(merge: str) -> None:
    """D16: m is the weighted sums of eq. (1) side by side, or their mean."""
    network = build(SETTINGS[merge])
    features, mask = batch(1, extra=2)
    output = network(features, mask)
    w1, w2 = (p.detach().numpy() for p in network.attention.parameters())
    fc1, b1, fc2, b2 = (p.detach().numpy() for p in network.classifier.parameters())
    for row, length in enumerate((6, 4)):
        x = features[row, :length].numpy().T
        powers = np.exp(w2 @ np.tanh(w1 @ x))  # (hops, n)
        rows = [x @ (power / power.sum()) for power in powers]
        m = np.concatenate(rows) if merge == "concat" else sum(rows) / len(rows)
        hidden = np.maximum(fc1 @ m + b1, 0)
        np.testing.assert_allclose(output.pooled[row].detach(), m, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(output.hidden[row].detach(), hidden, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(output.logits[row].detach(), fc2 @ hidden + b2, rtol=1e-12)


@every_kind
def test_extra_masked_snippets_change_no_output_and_no_gradient(settings: TSRNetSettings) -> None:
    network = build(settings)
    outputs, gradients = [], []
    for extra in (0, 5):
        network.zero_grad()
        features, mask = batch(2, extra=extra)
        output = network(features, mask)
        (output.logits.square().sum() + output.pooled.sin().sum()).backward()
        gradients.append({name: p.grad.clone() for name, p in network.named_parameters()})
        valid = [output.attention[0, :6], output.attention[1, :4]]
        outputs.append([output.pooled, output.hidden, output.logits, *valid])
    torch.testing.assert_close(outputs[0], outputs[1], rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-10, atol=1e-11)


@every_kind
def test_a_video_gives_the_same_alone_and_in_a_batch(settings: TSRNetSettings) -> None:
    network = build(settings)
    features, mask = batch(3)
    together = network(features, mask)
    alone = network(features[1:, :4], mask[1:, :4])
    for name in ("pooled", "hidden", "logits"):
        torch.testing.assert_close(getattr(together, name)[1:], getattr(alone, name), rtol=1e-11, atol=1e-12)


@every_kind
def test_class_activations_of_a_constant_video_are_its_logits(settings: TSRNetSettings) -> None:
    """D6: for a video of one repeated snippet m is that snippet, so (10) must see the video's scores."""
    network = build(settings)
    snippet = torch.randn(2, 1, 5, dtype=torch.float64)
    features, mask = snippet.expand(2, 7, 5), torch.ones(2, 7, dtype=torch.bool)
    logits = network(features, mask).logits
    activations = network.class_activations(features)
    torch.testing.assert_close(activations, logits.unsqueeze(1).expand(2, 7, 3), rtol=1e-11, atol=1e-12)


@every_kind
def test_class_activations_ignore_dropout_and_the_other_snippets(settings: TSRNetSettings) -> None:
    network = build(settings)
    features, _ = batch(4)
    expected = network.class_activations(features)
    changed = features.clone()
    changed[:, 3:] = 1e3
    actual = network.train().class_activations(changed)
    torch.testing.assert_close(actual[:, :3], expected[:, :3], rtol=1e-11, atol=1e-12)


def test_snippet_order_does_not_change_the_video() -> None:
    """Eq. (1) is a sum over snippets."""
    network = build(SETTINGS["concat"])
    features, mask = batch(5)
    forward = network(features[:1], mask[:1])
    backward = network(features[:1].flip(1), mask[:1])
    for name in ("pooled", "hidden", "logits"):
        torch.testing.assert_close(getattr(forward, name), getattr(backward, name))
    torch.testing.assert_close(forward.attention, backward.attention.flip(1))
    torch.testing.assert_close(forward.snippet_scores(), backward.snippet_scores().flip(1))
