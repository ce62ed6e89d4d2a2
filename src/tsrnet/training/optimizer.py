"""Optimisers, and the schedule of their learning rate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic.dataclasses import dataclass
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import nn

from tsrnet.core.settings import KNOWN_KEYS, Count, NonNegative, Positive


@dataclass(frozen=True, config=KNOWN_KEYS)
class OptimizerSettings:
    """`adamw` with a constant rate is for frozen features; `sgd` is the paper's (D14); `adam`, whose weight
    decay is an L2 term of the loss, is used by most authors of the other models.

    With `sgd`, the rate is multiplied by `decay_factor` every `decay_every` steps.
    """

    name: Literal["adamw", "adam", "sgd"] = "adamw"
    learning_rate: Positive = 1e-3
    weight_decay: NonNegative = 0.01
    momentum: NonNegative = 0.9
    decay_every: Count = 5000
    decay_factor: Positive = 0.1


def build_optimizer(
    settings: OptimizerSettings, rate_groups: Sequence[tuple[float, list[nn.Parameter]]]
) -> OptimizerLRScheduler:
    """The optimiser of parameters in groups, each with a factor for the learning rate, and its schedule."""
    groups = [
        {"params": parameters, "lr": factor * settings.learning_rate} for factor, parameters in rate_groups
    ]
    if settings.name != "sgd":
        kind = torch.optim.AdamW if settings.name == "adamw" else torch.optim.Adam
        return kind(groups, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    optimizer = torch.optim.SGD(
        groups,
        lr=settings.learning_rate,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
    )
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, settings.decay_every, settings.decay_factor)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
