"""CO2-Net against its equations, written out with padded convolutions video by video."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tsrnet.core.errors import UserError
from tsrnet.models.co2net import CO2Net, CO2NetSettings, CrossModal
from tsrnet.models.snippets import TemporalConvolution

LENGTHS = (16, 9, 1)
LABELS = torch.tensor([[1, 0], [1, 1], [0, 1]], dtype=torch.float64)


def network(**settings: float) -> CO2Net:
    torch.manual_seed(0)
    made = CO2Net(CO2NetSettings(attention_size=5, hidden_size=7, **settings), num_features=8, num_classes=2)
    for parameter in made.parameters():  # biases, too
        torch.nn.init.normal_(parameter, std=0.4)
    return made.double().eval()


def batch() -> tuple[Tensor, Tensor]:
    features = torch.randn(3, 16, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return features, torch.arange(16) < torch.tensor(LENGTHS)[:, None]


def conv(x: Tensor, layer: TemporalConvolution) -> Tensor:
    """(time, channels), zeros before and after the video."""
    return F.conv1d(x.T[None], layer.conv.weight, layer.conv.bias, padding=1)[0].T


def leaky(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 0.2 * x)


def module(main: Tensor, other: Tensor, layers: CrossModal) -> tuple[Tensor, Tensor]:
    whole = leaky(main.mean(dim=0) @ layers.whole.weight.T + layers.whole.bias)
    filtered = main * torch.sigmoid(leaky(conv(other, layers.local)) * whole)
    hidden = leaky(conv(leaky(conv(filtered, layers.attention1)), layers.attention2))
    return torch.sigmoid(hidden @ layers.attention3.weight[0] + layers.attention3.bias), filtered


def video(x: Tensor, net: CO2Net) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """X, A, a_v, a_f of one video (time, d)."""
    v, f = x[:, :4], x[:, 4:]
    (a_v, v_rows), (a_f, f_rows) = module(v, f, net.rgb), module(f, v, net.flow)
    fused = leaky(torch.cat([v_rows, f_rows], dim=1) @ net.fusion.weight.T + net.fusion.bias)
    scores = leaky(conv(fused, net.hidden)) @ net.classifier.weight.T + net.classifier.bias
    return fused, scores, a_v, a_f


def k_max(scores: Tensor, divisor: int) -> Tensor:
    k = int(np.ceil(len(scores) / divisor))
    return torch.stack([column.sort(descending=True).values[:k].mean() for column in scores.T])


def cosine(a: Tensor, b: Tensor) -> Tensor:
    return 1 - (a * b).sum() / (a.norm() * b.norm())


def test_network_and_losses_are_the_equations() -> None:
    net = network(mutual=0.3, norm=0.6, guide=0.9, similarity=0.7)
    features, mask = batch()
    each = [video(features[row, :length], net) for row, length in enumerate(LENGTHS)]
    terms: dict[str, list[Tensor]] = {n: [] for n in ("base", "suppression", "mutual", "norm", "guide")}
    suppressed = []
    for (_, scores, a_v, a_f), labels in zip(each, LABELS, strict=True):
        a = (a_v + a_f) / 2
        lowest = scores.min(dim=1, keepdim=True).values
        suppressed.append(a[:, None] * (scores - lowest) + lowest)
        for name, some, background in (("base", scores, 1.0), ("suppression", suppressed[-1], 0.0)):
            target = torch.cat([labels, torch.tensor([background], dtype=torch.float64)])
            terms[name].append(-(target / target.sum() * k_max(some, 7).log_softmax(dim=0)).sum())
        terms["mutual"].append(((a_v - a_f) ** 2).mean())
        terms["norm"].append((a.mean() + a_v.mean() + a_f.mean()) / 3)
        background_p = scores.softmax(dim=1)[:, -1]
        terms["guide"].append(sum((1 - some - background_p).abs().mean() for some in (a, a_v, a_f)) / 3)

    hinges = []
    for label, (m, n) in ((0, (0, 1)), (1, (1, 2))):  # the pairs that share a class
        (high_m, low_m), (high_n, low_n) = (
            (weights @ each[row][0], (1 - weights) @ each[row][0])
            for row in (m, n)
            for weights in [suppressed[row][:, label].softmax(dim=0)]
        )
        # One snippet has no low attention: its zero vector is at distance 1.
        to_low_n = cosine(high_m, low_n) if len(each[n][0]) > 1 else torch.ones(()).double()
        high = cosine(high_m, high_n)
        hinges.append(((high - to_low_n + 0.5).relu() + (high - cosine(high_n, low_m) + 0.5).relu()) / 2)
    means = {name: torch.stack(values).mean() for name, values in terms.items()}
    means["similarity"] = torch.stack(hinges).mean()
    weights = {"mutual": 0.3, "norm": 0.6, "guide": 0.9, "similarity": 0.7}
    means["total"] = sum(weights.get(name, 1.0) * value for name, value in means.items())  # type: ignore[assignment]

    output = net(features, mask)
    found = net.loss_terms(output, mask, LABELS)
    assert found.keys() == means.keys()
    for name, value in means.items():
        assert float(found[name].detach()) == pytest.approx(float(value.detach()), rel=1e-9), name
    said = net.predict(features, mask)
    for row, (_, scores, a_v, a_f) in enumerate(each):
        length, a = LENGTHS[row], (a_v + a_f) / 2
        torch.testing.assert_close(said.weights[row, :length, 0], a)
        torch.testing.assert_close(said.activations[row, :length], scores[:, :-1])
        torch.testing.assert_close(said.logits[row, :length, 0].sigmoid(), a)
        p = k_max(a[:, None] * scores, 10).softmax(dim=0)[:-1]
        torch.testing.assert_close(said.probabilities[row], p)


def test_each_attention_learns_from_the_other_as_from_a_constant() -> None:
    net = network()
    features, mask = batch()
    output = net(features, mask)
    (gradient,) = torch.autograd.grad(net.loss_terms(output, mask, LABELS)["mutual"], output.attentions)
    rgb, flow = output.attentions.detach().unbind(dim=-1)
    expected = torch.stack([rgb - flow, flow - rgb], dim=-1) / mask.sum(dim=1)[:, None, None] / 3
    torch.testing.assert_close(gradient, expected * mask.unsqueeze(-1))


def test_features_that_are_not_two_streams_are_refused() -> None:
    with pytest.raises(UserError, match="model=co2net: got 7 features a snippet, need RGB and flow"):
        CO2Net(CO2NetSettings(), num_features=7, num_classes=2)
