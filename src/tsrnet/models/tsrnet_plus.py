"""TSRNet whose class activations must explain the video, too. Not from the paper.

    x̄_t = mean of x over the snippets around t      temporal context             snippets.moving_mean
    TSRNet of x̄, eq. (1) to (9), unchanged          attention, L_SA, L_KT        TSRNet
    A_t = [FC2(h_t), w h_t], h_t = ReLU(FC1(x̄_t))   C actions and background     TSRNetPlus.forward
    s^c = mean of the k highest A_t^c, k = n / 8    multiple instance learning   snippets.top_k_mean
    L = L_SA + L_KT + mil L_MIL                     L_MIL: cross-entropy of      TSRNetPlus.loss_terms
                                                    softmax(s) for the labels
                                                    and background

In TSRNet, FC1 and FC2 learn from m alone, so nothing trains their output for a single snippet in eq. (10).
Here L_MIL (BaS-Net's base branch) trains them on snippets, with a class for background. One snippet of 1/6 s
is noisy, above all in flow, so each one sees its neighbours.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from pydantic.dataclasses import dataclass as pydantic_dataclass
from torch import Tensor, nn

from tsrnet.core.settings import KNOWN_KEYS, Count, NonNegative
from tsrnet.losses.classification import softmax_cross_entropy
from tsrnet.models.snippets import Kernel, moving_mean, per_snippet, top_k_mean
from tsrnet.models.tsrnet import TSRNet, TSRNetOutput, TSRNetSettings


@pydantic_dataclass(frozen=True, config=KNOWN_KEYS)
class TSRNetPlusSettings(TSRNetSettings):
    """As TSRNet; `context`: snippets of the moving mean, about a second; `mil`: weight of L_MIL;
    `pool_divisor`: k is n / this.
    """

    context: Kernel = 7
    mil: NonNegative = 1.0
    pool_divisor: Count = 8


class TSRNetPlus(TSRNet):
    """TSRNet with temporal context, and multiple instance learning on its class activations."""

    settings: TSRNetPlusSettings

    def __init__(self, settings: TSRNetPlusSettings, *, num_features: int, num_classes: int) -> None:
        super().__init__(settings, num_features=num_features, num_classes=num_classes)
        self.background = nn.Linear(settings.hidden_size, 1)

    def forward(self, features: Tensor, mask: Tensor) -> TSRNetOutput:
        """features (batch, time, d), mask (batch, time) -> TSRNetOutput; its `snippet_scores()` are A."""
        features = moving_mean(features, mask, width=self.settings.context)
        scores = per_snippet(self._scores, features, mask)
        return replace(super().forward(features, mask), snippet_scores=lambda: scores)

    def _scores(self, rows: Tensor) -> Tensor:
        """(n, d) -> (n, classes + 1)."""
        hidden = self.classifier.dropout(self.classifier.hidden(torch.cat([rows] * self._copies, dim=-1)))
        return torch.cat([self.classifier.fc2(hidden), self.background(hidden)], dim=-1)

    def loss_terms(self, output: TSRNetOutput, mask: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The terms "mil" and "total", its weighted value; L_SA and L_KT are added to it."""
        pooled = top_k_mean(output.snippet_scores(), mask, divisor=self.settings.pool_divisor)
        mil = softmax_cross_entropy(pooled, F.pad(labels, (0, 1), value=1.0))
        return {"mil": mil, "total": self.settings.mil * mil}
