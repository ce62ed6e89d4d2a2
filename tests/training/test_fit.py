"""Fitting with Lightning's Trainer."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import tsrnet.training.fit
from tsrnet.models.snippets import product


@pytest.mark.parametrize(
    ("precision", "device", "dtype"),
    [
        ("auto", "cpu", torch.bfloat16),
        ("32-true", "cpu", torch.float32),
        ("auto", "cuda", torch.float32),
    ],
)
def test_auto_is_bfloat16_for_large_products_on_a_cpu(
    precision: Any, device: str, dtype: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    linear, seen = F.linear, []

    def noted(rows: Tensor, *rest: Tensor | None) -> Tensor:
        seen.append(rows.dtype)
        return linear(rows, *rest)

    def a_training_step(*_: object, **__: object) -> None:
        product(torch.zeros(2000, 2), torch.zeros(1, 2))

    strategy = SimpleNamespace(root_device=torch.device(device), barrier=lambda: None)
    trainer = SimpleNamespace(strategy=strategy, fit=a_training_step)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    monkeypatch.setattr(F, "linear", noted)
    monkeypatch.setattr(tsrnet.training.fit, "_trainer", lambda *_, **__: trainer)
    settings = tsrnet.training.fit.TrainerSettings(precision=precision)
    unused: Any = None
    tsrnet.training.fit.fit(unused, unused, settings, folder=tmp_path)
    a_training_step()
    assert seen == [dtype, torch.float32]  # afterwards, nothing is left turned on
