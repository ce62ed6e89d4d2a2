"""Of overlapping segments of a class, NMS removes the worse ones; soft-NMS lowers their scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from pydantic import model_validator
from pydantic.dataclasses import dataclass
from torchvision.ops import nms

from tsrnet.core.settings import KNOWN_KEYS, Positive, ShareBelowOne
from tsrnet.localization.rule import Run


@dataclass(frozen=True, config=KNOWN_KEYS)
class SuppressionSettings:
    """`nms`: the tIoU above which the worse of two segments is removed. `soft_nms`: σ; its score is
    multiplied by exp(-tIoU² / σ) instead. At most one of the two; None: off.
    """

    nms: ShareBelowOne | None = None
    soft_nms: Positive | None = None

    @model_validator(mode="after")
    def _check_one(self) -> SuppressionSettings:
        if self.nms is not None and self.soft_nms is not None:
            raise ValueError(
                f"soft_nms: got {self.soft_nms:g} beside nms {self.nms:g}, need one of the two;"
                " set the other to null"
            )
        return self


def suppressed(runs: Sequence[Run], settings: SuppressionSettings, *, extra: float = 0.0) -> list[Run]:
    """The runs that are left, with their scores, best first.

    Args:
        runs: of one class of a video.
        settings: NMS, soft-NMS or neither.
        extra: snippets by which each run is longer in the tIoU: released code counts the last unit twice.
    """
    if settings.soft_nms is not None:
        return soft_nms(runs, sigma=settings.soft_nms, extra=extra)
    if settings.nms is None or not runs:
        return sorted(runs, key=lambda run: -run[2])
    rows = torch.tensor(runs, dtype=torch.float64)
    zero = torch.zeros(len(rows), dtype=torch.float64)
    boxes = torch.stack([rows[:, 0], zero, rows[:, 1] + extra, zero + 1], dim=1)
    return [runs[place] for place in nms(boxes, rows[:, 2], settings.nms).tolist()]


def soft_nms(runs: Sequence[Run], *, sigma: float, extra: float = 0.0) -> list[Run]:
    """Soft-NMS with a Gaussian (Bodla et al., ICCV 2017): all runs, best first; overlaps lower scores.

    Arguments as for `suppressed`.
    """
    left = np.array(runs, np.float64).reshape(-1, 3)
    found: list[Run] = []
    while len(left):
        best = int(left[:, 2].argmax())
        start, stop, score = left[best]
        found.append((float(start), float(stop), float(score)))
        left = np.delete(left, best, axis=0)
        both = np.minimum(stop, left[:, 1]) - np.maximum(start, left[:, 0]) + extra
        both = both.clip(min=0)
        tiou = both / (stop - start + left[:, 1] - left[:, 0] + 2 * extra - both)
        left[:, 2] *= np.exp(-(tiou**2) / sigma)
    return found
