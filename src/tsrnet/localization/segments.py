"""From scores of snippets to segments: threshold, runs, score of a run."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class LocalizationSettings:
    """Constants of the localisation: θ of eq. (11), the paper's threshold, D5's and D9's choices."""

    theta: float = 0.5
    threshold: float = 0.2
    attention: str = "standardized"
    min_probability: float = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.theta <= 1:
            raise ValueError(f"localization.theta: got {self.theta}, need a number in [0, 1]")
        if not 0 < self.threshold < 1:
            raise ValueError(f"localization.threshold: got {self.threshold}, need a number in (0, 1)")
        if self.attention not in ("standardized", "max", "raw"):
            raise ValueError(f"localization.attention: got {self.attention}, need standardized, max or raw")
        if not 0 <= self.min_probability <= 1:
            raise ValueError(
                f"localization.min_probability: got {self.min_probability}, need a number in [0, 1]"
            )


@dataclass(frozen=True)
class Runs:
    """Runs of snippets, all (r,): row of the batch, class, first snippet, one past the last, score."""

    video: Tensor
    label: Tensor
    start: Tensor
    stop: Tensor
    score: Tensor


def localized_classes(probabilities: Tensor, *, min_probability: float) -> Tensor:
    """(batch, classes) bool: the top class and every class of at least `min_probability` (D9)."""
    top = torch.zeros_like(probabilities, dtype=torch.bool)
    top.scatter_(1, probabilities.argmax(dim=1, keepdim=True), True)
    return top | (probabilities >= min_probability)


def find_runs(scores: Tensor, mask: Tensor, classes: Tensor, *, threshold: float) -> Runs:
    """Maximal runs of snippets above the threshold; the score of a run is its mean.

    Args:
        scores: (batch, time, classes) fused scores of eq. (11).
        mask: (batch, time) bool.
        classes: (batch, classes) bool, which to localise.
        threshold: a snippet passes when its score is above it.
    """
    passed = (scores > threshold) & mask.unsqueeze(-1) & classes.unsqueeze(1)
    passed = passed.transpose(1, 2)  # (batch, classes, time): runs come out ordered by video, class, time
    edge = passed.new_zeros(*passed.shape[:2], 1)
    change = torch.diff(torch.cat([edge, passed, edge], dim=2).to(torch.int8), dim=2)
    video, label, start = (change == 1).nonzero(as_tuple=True)
    stop = (change == -1).nonzero(as_tuple=True)[2]
    # float64: the difference of two sums over a long video must not show in the mean of a short run.
    sums = torch.nn.functional.pad(scores.transpose(1, 2).double().cumsum(dim=2), (1, 0))
    mean = (sums[video, label, stop] - sums[video, label, start]) / (stop - start)
    return Runs(video, label, start, stop, mean.to(scores.dtype))
