"""Distillation: what the teacher sees in single snippets, and what the attention learns from it."""

from __future__ import annotations

import math

import pytest
import torch

from tsrnet.losses.distillation import distillation, soft_targets

LOGITS = torch.tensor([[[2.0, 0.0, 0.0], [0.0, 2.0, 1.0], [0.1, 0.0, 0.0], [9.0, 0.0, 0.0]]])
"""One video: sure of class 0, sure of class 1, unsure, padding."""
MASK = torch.tensor([[True, True, True, False]])


def targets(labels: list[float], temperature: float = 1.0, confidence: float = 0.5) -> torch.Tensor:
    given = torch.tensor([labels])
    return soft_targets(LOGITS, MASK, given, temperature=temperature, confidence=confidence)


def test_targets_are_the_probabilities_of_the_video_s_classes_where_the_teacher_is_sure() -> None:
    found = targets([1, 0, 0])
    sure = math.exp(2) / (math.exp(2) + 2)
    assert found.shape == LOGITS.shape
    assert found[0, 0].tolist() == pytest.approx([sure, 0, 0])
    assert not found[0, 1:].any()  # another class, unsure, padding


def test_several_classes_of_a_video_are_seen_together() -> None:
    found = targets([0, 1, 1])[0, 1]
    whole = 1 + math.exp(2) + math.e
    assert found.tolist() == pytest.approx([0, math.exp(2) / whole, math.e / whole])


def test_confidence_and_temperature_decide_what_is_background() -> None:
    assert targets([1, 0, 0], confidence=0.3)[0, :, 0].gt(0).tolist() == [True, False, True, False]
    assert not targets([1, 0, 0], temperature=10.0).any()  # 0.38 for class 0
    assert targets([1, 0, 0], confidence=0.0)[0, :, 0].gt(0).tolist() == [True, True, True, False]


def test_distillation_is_the_divergence_of_the_attention_from_the_targets() -> None:
    seen = torch.tensor([[[0.6, 0.3], [0.0, 0.0], [0.1, 0.0]], [[0.0, 0.0]] * 3])  # nothing in the second
    attention = torch.tensor([[[0.5, 0.9], [0.25, 0.0], [0.25, 0.1]], [[0.1, 0.1]] * 3])
    share = [0.9, 0.1]
    expected = [
        sum(p * math.log(p / float(q)) for p, q in zip(share, attention[0, [0, 2], hop], strict=True))
        for hop in range(2)
    ]
    assert float(distillation(attention, seen)) == pytest.approx(sum(expected) / 2, abs=1e-6)
    assert expected[1] == pytest.approx(0, abs=1e-6)  # the attention is the target


def test_the_attention_moves_to_what_the_teacher_sees() -> None:
    logits = torch.zeros(1, 3, 1, requires_grad=True)
    distillation(logits.softmax(dim=1), torch.tensor([[[0.0], [0.9], [0.0]]])).backward()
    assert logits.grad is not None
    assert logits.grad.flatten().tolist() == pytest.approx([1 / 3, -2 / 3, 1 / 3])


def test_without_a_target_there_is_nothing_to_learn() -> None:
    logits = torch.zeros(2, 3, 1, requires_grad=True)
    loss = distillation(logits.softmax(dim=1), torch.zeros(2, 3, 4))
    loss.backward()
    assert float(loss.detach()) == 0
    assert logits.grad is not None
    assert not logits.grad.any()
