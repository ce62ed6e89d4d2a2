"""TSRNet with temporal context, whose class activations learn from the labels, too."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tsrnet.datasets.batch import Sample, TrainingBatch
from tsrnet.losses.objective import LossSettings
from tsrnet.models.snippets import moving_mean
from tsrnet.models.tsrnet import TSRNet, TSRNetSettings
from tsrnet.models.tsrnet_plus import TSRNetPlus, TSRNetPlusSettings
from tsrnet.models.video_model import carry_over
from tsrnet.training.module import TSRNetModule

LENGTHS = (9, 1, 5)
MASK = torch.arange(9) < torch.tensor(LENGTHS)[:, None]
SMALL = {"attention_size": 8, "hidden_size": 16, "dropout": 0.0}


def build(seed: int = 0, *, num_classes: int = 3, hops: int = 1) -> TSRNetPlus:
    torch.manual_seed(seed)
    settings = TSRNetPlusSettings(**SMALL, hops=hops, context=3, pool_divisor=4, mil=0.7)
    return TSRNetPlus(settings, num_features=6, num_classes=num_classes).double()


def features(garbage: float = 1e3) -> torch.Tensor:
    values = torch.randn(3, 9, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return values.where(MASK.unsqueeze(-1), garbage)


def averaged(video: np.ndarray, width: int) -> np.ndarray:
    half = width // 2
    return np.stack([video[max(0, t - half) : t + half + 1].mean(axis=0) for t in range(len(video))])


@pytest.mark.parametrize("width", [1, 3, 7])
def test_the_moving_mean_is_over_the_real_snippets_around(width: int) -> None:
    found = moving_mean(features(float("nan")), MASK, width=width)
    for row, length in enumerate(LENGTHS):
        np.testing.assert_allclose(found[row, :length], averaged(features()[row, :length].numpy(), width))
    assert not found[~MASK].any()


@pytest.mark.parametrize("hops", [1, 2])
def test_the_predictions_are_those_of_tsrnet_on_averaged_features(hops: int) -> None:
    model = build(hops=hops).eval()
    plain = TSRNet(TSRNetSettings(**SMALL, hops=hops), num_features=6, num_classes=3).double().eval()
    plain.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith("background")})
    found = model.predict(features(), MASK)
    for row, length in enumerate(LENGTHS):
        video = torch.from_numpy(averaged(features()[row, :length].numpy(), 3)).unsqueeze(0)
        expected = plain.predict(video, torch.ones(1, length, dtype=torch.bool))
        torch.testing.assert_close(found.probabilities[row], expected.probabilities[0])
        for name in ("logits", "weights", "activations"):
            torch.testing.assert_close(getattr(found, name)[row, :length], getattr(expected, name)[0])


def test_the_multiple_instance_loss_knows_background() -> None:
    model, labels = build().eval(), torch.eye(3, dtype=torch.float64)
    output = model(features(), MASK)
    terms = model.loss_terms(output, MASK, labels)
    losses = []
    for row, length in enumerate(LENGTHS):
        scores = output.snippet_scores()[row, :length].detach().numpy()
        k = -(-length // 4)
        pooled = np.sort(scores, axis=0)[-k:].mean(axis=0)
        log_p = pooled - np.log(np.exp(pooled).sum())
        losses.append(-(log_p[row] + log_p[3]) / 2)  # the label and background, half each
    np.testing.assert_allclose(terms["mil"].item(), np.mean(losses))
    np.testing.assert_allclose(terms["total"].item(), 0.7 * np.mean(losses))


def test_the_loss_comes_on_top_of_tsrnet_s_and_reaches_every_parameter() -> None:
    model = build().float()
    samples = [
        Sample(f"v{row}", features()[row, :length].float(), torch.eye(3)[row])
        for row, length in enumerate(LENGTHS)
    ]
    module = TSRNetModule(
        num_features=6,
        classes=("climb", "jump", "run"),
        model={"name": "tsrnet_plus", **SMALL},
        network=model,
        losses=LossSettings(3.0, 0.5),
    )
    logged: dict[str, torch.Tensor] = {}
    module.log_dict = lambda terms, **_: logged.update(terms)  # type: ignore[method-assign, assignment]
    module.log = lambda *_, **__: None  # type: ignore[method-assign, assignment]
    total = module.training_step(TrainingBatch.collate([(sample, None) for sample in samples]), 0)
    own = logged["loss/class"] + 3.0 * logged["loss/smoothness"] + 0.5 * logged["loss/sparsity"]
    torch.testing.assert_close(total, own + 0.7 * logged["loss/mil"])
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
    for name in old.keys() - set(source.class_rows):  # that of background among them
        assert torch.equal(new[name], old[name])
