"""What holds for each rival: padding is inert, all of it learns, and it finds a simple action."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from tsrnet.models.basnet import BaSNet, BaSNetSettings
from tsrnet.models.co2net import CO2Net, CO2NetSettings
from tsrnet.models.stpn import STPN, STPNSettings
from tsrnet.models.untrimmednet import UntrimmedNet, UntrimmedNetSettings
from tsrnet.models.video_model import SnippetPredictions
from tsrnet.models.wtalc import WTALC, WTALCSettings

SIZES: dict[str, Any] = {"num_features": 6, "num_classes": 3}
RIVALS: dict[str, Callable[[], torch.nn.Module]] = {
    "stpn": lambda: STPN(STPNSettings(attention_size=8), **SIZES),
    "untrimmednet, soft": lambda: UntrimmedNet(UntrimmedNetSettings(selection="soft", dropout=0.0), **SIZES),
    "untrimmednet, hard": lambda: UntrimmedNet(UntrimmedNetSettings(selection="hard", dropout=0.0), **SIZES),
    "wtalc": lambda: WTALC(WTALCSettings(hidden_size=64), **SIZES),
    "basnet": lambda: BaSNet(
        BaSNetSettings(filter_size=8, filter_kernel=3, hidden_size=16, dropout=0.3), **SIZES
    ),
    "co2net": lambda: CO2Net(CO2NetSettings(attention_size=8, hidden_size=32, dropout=0.3), **SIZES),
}
every_rival = pytest.mark.parametrize("build", RIVALS.values(), ids=RIVALS.keys())
LENGTHS = (12, 5, 1, 9)
LABELS = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 1], [1, 0, 0]], dtype=torch.float64)


def batch(seed: int, *, extra: int = 0, garbage: float = 1e3) -> tuple[torch.Tensor, torch.Tensor]:
    """Four videos, `extra` more masked snippets; `garbage` where masked."""
    features = torch.randn(4, 12, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    features = torch.cat([features, torch.zeros(4, extra, 6, dtype=torch.float64)], dim=1)
    mask = torch.arange(12 + extra) < torch.tensor(LENGTHS)[:, None]
    return features.where(mask.unsqueeze(-1), garbage), mask


def tensors_of(view: SnippetPredictions) -> list[torch.Tensor]:
    return [view.probabilities, view.logits, view.weights, view.activations]


@every_rival
@pytest.mark.parametrize("garbage", [1e3, float("nan")])
def test_padding_changes_no_term_no_gradient_and_no_view(
    build: Callable[[], torch.nn.Module], garbage: float
) -> None:
    torch.manual_seed(0)
    model = build().double()
    terms, gradients, views = [], [], []
    for extra, value in ((0, 0.0), (0, garbage), (5, garbage)):
        features, mask = batch(1, extra=extra, garbage=value)
        torch.manual_seed(1)  # dropout, too, is to be the same
        model.train().zero_grad()
        terms.append(model.loss_terms(model(features, mask), mask, LABELS))
        terms[-1]["total"].backward()
        gradients.append({name: p.grad.clone() for name, p in model.named_parameters()})
        view = tensors_of(model.eval().predict(features, mask))
        assert all(not tensor[~mask].any() for tensor in view[1:])
        views.append([view[0], *(tensor[:, :12] for tensor in view[1:])])
    for other in (1, 2):
        torch.testing.assert_close(terms[other], terms[0], rtol=1e-11, atol=1e-12)
        torch.testing.assert_close(gradients[other], gradients[0], rtol=1e-10, atol=1e-11)
        torch.testing.assert_close(views[other], views[0], rtol=1e-11, atol=1e-12)


@every_rival
def test_a_video_looks_the_same_alone_and_in_a_batch(build: Callable[[], torch.nn.Module]) -> None:
    torch.manual_seed(0)
    model = build().double().eval()
    features, mask = batch(2)
    together = tensors_of(model.predict(features, mask))
    for row, length in enumerate(LENGTHS):
        alone = tensors_of(model.predict(features[row : row + 1, :length], mask[row : row + 1, :length]))
        cut = [together[0][row : row + 1], *(tensor[row : row + 1, :length] for tensor in together[1:])]
        torch.testing.assert_close(alone, cut, rtol=1e-11, atol=1e-12)


@every_rival
def test_the_gradient_of_the_total_reaches_every_parameter(build: Callable[[], torch.nn.Module]) -> None:
    torch.manual_seed(0)
    model = build().double()
    features, mask = batch(3)
    model.loss_terms(model(features, mask), mask, LABELS)["total"].backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def videos(seed: int, count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Features, mask, class and where the action is: the middle third points along the class's axis,
    the rest along one of three other axes.
    """
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    lengths = torch.randint(9, 31, (count, 1), generator=generator)
    times = torch.arange(30)
    inside = (times >= lengths // 3) & (times < 2 * lengths // 3)
    other = torch.randint(3, 6, (count, 30), generator=generator)
    axis = labels[:, None].where(inside, other)
    features = 2 * torch.eye(6)[axis] + 0.5 * torch.randn(count, 30, 6, generator=generator)
    return features, times < lengths, labels, inside


def order(model: torch.nn.Module) -> float:
    """Share of the pairs of a snippet inside and one outside an action that (10) orders right."""
    features, mask, labels, inside = videos(1, 12)
    with torch.inference_mode():
        view = model.eval().predict(features, mask)
    shares = []
    for row, label in enumerate(labels.tolist()):
        scores = view.weights[row].mean(-1) * view.activations[row, :, label].sigmoid()
        within, without = scores[inside[row] & mask[row]], scores[~inside[row] & mask[row]]
        shares.append((within[:, None] > without).float().mean())
    return float(torch.stack(shares).mean())


@every_rival
def test_training_on_video_labels_finds_the_action(build: Callable[[], torch.nn.Module]) -> None:
    torch.manual_seed(0)
    model = build()
    untrained = order(model)
    features, mask, labels, _ = videos(0, 24)
    targets = torch.eye(3)[labels]
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    model.train()
    for _ in range(150):
        optimizer.zero_grad()
        model.loss_terms(model(features, mask), mask, targets)["total"].backward()
        optimizer.step()
    assert untrained < 0.8
    assert order(model) > 0.9
    features, mask, labels, _ = videos(1, 12)
    assert (model.predict(features, mask).probabilities.argmax(dim=1) == labels).sum() >= 10
