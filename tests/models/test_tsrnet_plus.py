"""TSRNet beside background suppression: two networks that share a batch, and one score."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tsrnet.datasets.batch import Sample, TrainingBatch
from tsrnet.losses.objective import LossSettings
from tsrnet.models.basnet import BaSNetSettings
from tsrnet.models.tsrnet import TSRNetSettings
from tsrnet.models.tsrnet_plus import TSRNetPlus, TSRNetPlusSettings
from tsrnet.models.video_model import VideoModel, carry_over
from tsrnet.training.module import TSRNetModule

LENGTHS = (9, 1, 5)
MASK = torch.arange(9) < torch.tensor(LENGTHS)[:, None]


def build(seed: int = 0, *, num_classes: int = 3, form: str = "standardized") -> TSRNetPlus:
    torch.manual_seed(seed)
    settings = TSRNetPlusSettings(
        TSRNetSettings(attention_size=8, hidden_size=16, dropout=0.0),
        BaSNetSettings(filter_size=8, filter_kernel=3, hidden_size=16, dropout=0.0),
        share=0.3,
        form=form,
    )
    return TSRNetPlus(settings, num_features=6, num_classes=num_classes).double()


def features(garbage: float = 1e3) -> torch.Tensor:
    values = torch.randn(3, 9, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return values.where(MASK.unsqueeze(-1), garbage)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-x)))


def standard(x: np.ndarray) -> np.ndarray:
    return (x - x.mean(axis=0)) / (x.std(axis=0) if len(x) > 1 else 1.0)


@pytest.mark.parametrize("form", ["standardized", "max"])
def test_the_score_is_made_of_both_parts(form: str) -> None:
    model = build(form=form).eval()
    view = model.predict(features(), MASK)
    ours, theirs = model.tsrnet.predict(features(), MASK), model.suppression.predict(features(), MASK)
    torch.testing.assert_close(view.probabilities, theirs.probabilities)
    for row, length in enumerate(LENGTHS):
        a, logits = (x[row, :length, 0].detach().numpy() for x in (ours.weights, ours.logits))
        attention = a / a.max() if form == "max" else sigmoid(standard(logits))
        v, other = (x.activations[row, :length].detach().numpy() for x in (ours, theirs))
        expected = 0.3 * attention[:, None] * sigmoid(v)
        expected += 0.7 * sigmoid(standard(logits))[:, None] * sigmoid(standard(other))
        found = view.activations[row, :length].sigmoid().detach().numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_padding_changes_nothing() -> None:
    model = build().eval()
    one, other = model.predict(features(0.0), MASK), model.predict(features(1e6), MASK)
    for name in ("probabilities", "logits", "weights"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name))
    torch.testing.assert_close(one.activations[MASK], other.activations[MASK])


def test_the_loss_is_that_of_both_and_reaches_every_parameter() -> None:
    model = build().float()
    samples = [
        Sample(f"v{row}", features()[row, :length].float(), torch.eye(3)[row])
        for row, length in enumerate(LENGTHS)
    ]
    batch = TrainingBatch.collate([(sample, None) for sample in samples])

    def loss_of(network: VideoModel, name: str) -> torch.Tensor:
        sizes: dict[str, Any] = {"num_features": 6, "classes": ("climb", "jump", "run")}
        module = TSRNetModule(**sizes, model=name, network=network, losses=LossSettings(3.0, 0.5))
        module.log = module.log_dict = lambda *_, **__: None  # type: ignore[method-assign, assignment]
        return module.training_step(batch, 0)

    total = loss_of(model, "tsrnet_plus")
    parts = loss_of(model.tsrnet, "tsrnet") + loss_of(model.suppression, "basnet")
    torch.testing.assert_close(total, parts)
    total.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_known_classes_keep_their_rows_and_background_its_own() -> None:
    source, target = build(1), build(2, num_classes=4)
    before = {name: value.clone() for name, value in target.state_dict().items()}
    carry_over(source, ("run", "jump", "climb"), target, ("climb", "fly", "jump", "run"))
    old, new = source.state_dict(), target.state_dict()
    for name in source.class_rows:
        for row, place in ((0, 3), (1, 2), (2, 0)):
            assert torch.equal(new[name][place], old[name][row])
        assert torch.equal(new[name][1], before[name][1])
    name = "suppression.classifier.1.weight"
    assert torch.equal(new[name][4], old[name][3])  # of background
    for name in old.keys() - set(source.class_rows):
        assert torch.equal(new[name], old[name])
