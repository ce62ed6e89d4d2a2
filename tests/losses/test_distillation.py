"""Distillation: what the teacher sees in single snippets, and what the class scores learn from it."""

from __future__ import annotations

import math

import pytest
import torch

from tsrnet.losses.distillation import distillation, soft_targets

SEEN = torch.tensor([[[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.4, 0.3, 0.3], [1.0, 0.0, 0.0]]])
"""One video: sure of class 0, sure of class 1, unsure, padding."""
MASK = torch.tensor([[True, True, True, False]])


def targets(*labels: float, confidence: float = 0.5) -> torch.Tensor:
    return soft_targets(SEEN, MASK, torch.tensor([labels]), confidence=confidence)


def test_targets_are_the_probabilities_of_the_video_s_classes_where_the_teacher_is_sure() -> None:
    found = targets(1, 0, 0)
    assert found[0, 0].tolist() == pytest.approx([0.7, 0, 0])
    assert not found[0, 1:].any()  # another class, unsure, padding
    assert targets(0, 1, 1)[0, 1].tolist() == pytest.approx([0, 0.6, 0.3])


def test_confidence_decides_what_is_background() -> None:
    assert targets(1, 0, 0, confidence=0.3)[0, :, 0].tolist() == pytest.approx([0.7, 0, 0.4, 0])
    assert targets(1, 0, 0, confidence=0.0)[0, :, 0].tolist() == pytest.approx([0.7, 0.1, 0.4, 0])


@pytest.mark.parametrize("background", [False, True])
def test_distillation_is_the_cross_entropy_of_the_snippets(background: bool) -> None:
    torch.manual_seed(0)
    scores = torch.randn(1, 4, 3 + background)
    total = 0.0
    for row, (target, other) in enumerate([([0.7, 0, 0], 0.3), ([0, 0, 0], 1.0), ([0, 0, 0], 1.0)]):
        logs = scores[0, row].log_softmax(dim=0).tolist()
        wanted = [*target, other] if background else target
        total -= sum(p * log for p, log in zip(wanted, logs, strict=True))
    assert float(distillation(scores, targets(1, 0, 0), MASK)) == pytest.approx(total / 3, rel=1e-5)


def test_snippets_move_to_what_the_teacher_sees_in_them() -> None:
    scores = torch.zeros(1, 4, 4, requires_grad=True)
    distillation(scores, targets(1, 0, 0), MASK).backward()
    assert scores.grad is not None
    moved = -3 * scores.grad[0]
    assert moved[0].tolist() == pytest.approx(
        [0.45, -0.25, -0.25, 0.05]
    )  # to class 0, a little to background
    assert moved[1].tolist() == pytest.approx([-0.25, -0.25, -0.25, 0.75])  # to background
    assert not moved[3].any()  # padding


def test_a_video_in_which_the_teacher_sees_nothing_teaches_nothing() -> None:
    scores = torch.zeros(2, 4, 4, requires_grad=True)
    mask = MASK.expand(2, 4)
    blind = torch.cat([targets(1, 0, 0), torch.zeros(1, 4, 3)])
    one = distillation(scores, blind, mask)
    torch.testing.assert_close(one, distillation(scores[:1], blind[:1], MASK))
    nothing = distillation(scores, torch.zeros(2, 4, 3), mask)
    nothing.backward()
    assert float(nothing.detach()) == 0
    assert scores.grad is not None
    assert not scores.grad.any()
    assert math.isclose(float(one.detach()), math.log(4), rel_tol=1e-6)
