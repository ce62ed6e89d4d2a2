"""The LightningModule adds the losses up as eq. (9) says and leaves the teacher alone."""

from __future__ import annotations

import copy

import pytest
import torch

from tsrnet.datasets.batch import Sample, TrainingBatch
from tsrnet.losses.attention import entropy, smoothness
from tsrnet.losses.classification import softmax_cross_entropy
from tsrnet.losses.mmd import mmd2
from tsrnet.losses.objective import LossSettings, TransferSettings
from tsrnet.models.tsrnet import TSRNet, TSRNetSettings
from tsrnet.training.module import OptimizerSettings, TSRNetModule

SETTINGS = TSRNetSettings(attention_size=5, hidden_size=7, dropout=0.0)


def network(seed: int) -> TSRNet:
    torch.manual_seed(seed)
    return TSRNet(SETTINGS, num_features=4, num_classes=3)


def batch(pairs: int) -> TrainingBatch:
    generator = torch.Generator().manual_seed(0)

    def sample(name: str, length: int, label: int) -> Sample:
        return Sample(name, torch.randn(length, 4, generator=generator), torch.eye(3)[label])

    rows = [(sample(f"u{i}", 4 + i, i % 3), sample(f"t{i}", 3 + i, i % 3)) for i in range(4)]
    return TrainingBatch.collate(
        [(video, clip if i < pairs else None) for i, (video, clip) in enumerate(rows)]
    )


def module(teacher: TSRNet | None, transfer: TransferSettings, **losses: float) -> TSRNetModule:
    made = TSRNetModule(
        network(1),
        losses=LossSettings(losses.get("alpha", 0.0), losses.get("beta", 0.0)),
        transfer=transfer,
        optimizer=OptimizerSettings("adamw", 1e-2),
        teacher=teacher,
    )
    made.log = made.log_dict = lambda *_, **__: None  # type: ignore[method-assign]
    return made


def test_total_is_the_sum_of_the_paper_s_terms() -> None:
    data, teacher = batch(3), network(2)
    loss = module(teacher, TransferSettings(0.5, 2.0), alpha=3.0, beta=0.25).training_step(data, 0)
    student = network(1)
    out = student(data.videos.features, data.videos.mask)
    source = teacher(data.trimmed.features, data.trimmed.mask)
    expected = (
        softmax_cross_entropy(out.logits, data.videos.labels)
        + 3.0 * smoothness(out.attention, data.videos.mask)
        + 0.25 * entropy(out.attention, data.videos.mask)
        + 0.5 * mmd2(source.pooled, out.pooled[:3])
        + 2.0 * mmd2(source.hidden, out.hidden[:3])
    )
    torch.testing.assert_close(loss, expected)


def test_gradient_reaches_the_student_only() -> None:
    teacher = network(2)
    before = copy.deepcopy(teacher.state_dict())
    trained = module(teacher, TransferSettings(1.0, 1.0))
    trained.training_step(batch(4), 0).backward()
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert all(parameter.grad is not None for parameter in trained.network.parameters())
    assert not any(name.startswith(("teacher", "_teacher")) for name in trained.state_dict())
    assert {name.split(".")[0] for name in trained.state_dict()} == {"network"}
    torch.testing.assert_close(teacher.state_dict(), before)


def test_transfer_moves_the_student_s_features() -> None:
    plain = module(None, TransferSettings(0.0, 0.0))
    moved = module(network(2), TransferSettings(0.0, 1.0))
    plain.training_step(batch(4), 0).backward()
    moved.training_step(batch(4), 0).backward()
    assert not torch.allclose(
        plain.network.classifier.fc1.weight.grad, moved.network.classifier.fc1.weight.grad
    )


@pytest.mark.parametrize("pairs", [0, 1])
def test_under_two_pairs_there_is_no_transfer(pairs: int) -> None:
    with_teacher = module(network(2), TransferSettings(1.0, 1.0)).training_step(batch(pairs), 0)
    without = module(None, TransferSettings(0.0, 0.0)).training_step(batch(pairs), 0)
    torch.testing.assert_close(with_teacher, without)


def test_beta_without_effect_is_said() -> None:
    with pytest.warns(UserWarning, match=r"loss\.beta has no effect"):
        TSRNetModule(
            network(1),
            losses=LossSettings(0.0, 0.1, sparsity="l1"),
            transfer=TransferSettings(0.0, 0.0),
            optimizer=OptimizerSettings("sgd", 1e-2),
        )
