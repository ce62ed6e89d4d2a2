"""How the terms add up: eq. (2), (3), (6) and (9)."""

from __future__ import annotations

from typing import Literal

from pydantic.dataclasses import dataclass
from torch import Tensor

from tsrnet.core.settings import KNOWN_KEYS, NonNegative, Positive, Share


@dataclass(frozen=True, config=KNOWN_KEYS)
class LossSettings:
    """Weights and forms of the losses: α and β of eq. (3), and the choices of D3 and D4."""

    alpha: NonNegative = 30.0
    beta: NonNegative = 0.0
    classification: Literal["softmax", "bce"] = "softmax"
    sparsity: Literal["l1", "entropy", "l_half"] = "entropy"


@dataclass(frozen=True, config=KNOWN_KEYS)
class TransferSettings:
    """How the teacher's knowledge is transferred: by MMD, by distillation, or by both. A weight of 0 turns a
    term off.

    `fc1`, `fc2`: weights of L_FC1 and L_FC2 (1 in the paper). `bandwidth` of the kernel (D10): squared
    length, None for the median of the batch. `kernels`: Gaussians of different widths that are summed; (7)
    has one. `per_class`: between the clips and videos of one class, then the mean (D11). `classifier`: FC1
    and FC2 start from the teacher's, or from random weights (D18). `distill`: weight of the distillation.
    `temperature` divides the teacher's activations before their softmax; `confidence`: see
    `tsrnet.losses.distillation.soft_targets`.
    """

    fc1: NonNegative = 0.2
    fc2: NonNegative = 0.2
    bandwidth: Positive | None = None
    kernels: Literal[1, 5] = 1
    per_class: bool = True
    classifier: Literal["teacher", "fresh"] = "teacher"
    distill: NonNegative = 0.0
    temperature: Positive = 1.0
    confidence: Share = 0.5

    @property
    def matches(self) -> bool:
        """Whether clips and videos are matched by MMD."""
        return self.fc1 > 0 or self.fc2 > 0

    @property
    def active(self) -> bool:
        return self.matches or self.distill > 0


def self_attention_loss(class_loss: Tensor, regularisation: Tensor) -> Tensor:
    """L_SA = L_class + R_SA, eq. (2)."""
    return class_loss + regularisation


def regularisation(smoothness: Tensor, sparsity: Tensor, *, alpha: float, beta: float) -> Tensor:
    """R_SA = α R_smooth + β R_sparsity, eq. (3)."""
    return alpha * smoothness + beta * sparsity


def transfer_loss(fc1: Tensor, fc2: Tensor, *, weights: tuple[float, float] = (1.0, 1.0)) -> Tensor:
    """L_KT = L_FC1 + L_FC2, eq. (6), with a weight for each that is 1 in the paper."""
    return weights[0] * fc1 + weights[1] * fc2


def total_loss(self_attention: Tensor, transfer: Tensor) -> Tensor:
    """L = L_SA + L_KT, eq. (9)."""
    return self_attention + transfer
