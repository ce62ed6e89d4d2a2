"""How the terms add up: eq. (2), (3), (6) and (9)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from tsrnet.losses.attention import SPARSITY
from tsrnet.losses.classification import CLASSIFICATION


@dataclass(frozen=True)
class LossSettings:
    """Weights and forms of the losses: α and β of eq. (3), D3's and D4's choices."""

    alpha: float
    beta: float
    classification: str = "softmax"
    sparsity: str = "entropy"

    def __post_init__(self) -> None:
        for name, value in (("alpha", self.alpha), ("beta", self.beta)):
            if not 0 <= value < float("inf"):
                raise ValueError(f"loss.{name}: got {value}, need a number >= 0")
        if self.classification not in CLASSIFICATION:
            raise ValueError(
                f"loss.classification: got {self.classification}, need one of {', '.join(CLASSIFICATION)}"
            )
        if self.sparsity not in SPARSITY:
            raise ValueError(f"loss.sparsity: got {self.sparsity}, need one of {', '.join(SPARSITY)}")


@dataclass(frozen=True)
class TransferSettings:
    """Weights of L_FC1 and L_FC2 (1 and 1 in the paper, 0 turns a term off); kernel width (D10)."""

    fc1: float
    fc2: float
    bandwidth: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("fc1", self.fc1), ("fc2", self.fc2)):
            if not 0 <= value < float("inf"):
                raise ValueError(f"transfer.{name}: got {value}, need a number >= 0")
        if self.bandwidth is not None and not self.bandwidth > 0:
            raise ValueError(f"transfer.bandwidth: got {self.bandwidth}, need null or a number above 0")

    @property
    def active(self) -> bool:
        return self.fc1 > 0 or self.fc2 > 0


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
