"""BaS-Net: Lee, Uh, Byun, "Background Suppression Network for Weakly-supervised Temporal Action
Localization", AAAI 2020.

    W = sigmoid(two temporal convolutions of X)      filtering module            BaSNet.filter
    A = convolutions of X, C actions and background  base branch                 BaSNet.classify
    A' = the same convolutions of W ⊗ X              suppression branch          BaSNet.classify
    a^c = mean of the k highest A^c, k = n / 8       top-k mean, either branch   snippets.top_k_mean
    L_base, target 1 for background; L_supp, 0       cross-entropy of softmax    BaSNet.loss_terms
    L_norm = ||W||_1                                 sum over a video            BaSNet.loss_terms
    L = α L_base + β L_supp + γ L_norm               objective                   BaSNet.loss_terms

The cross-entropy takes labels, background included, normalised to sum 1. Inference is the suppression branch:
softmax of a' without its background column, and A' of the actions. Channels, kernels, dropout, biases, α, β
and γ are those of the authors' release; `+experiment=basnet` samples 750 snippets and has the release's
binary cross-entropy. `localization=basnet` thresholds A' scaled within a video, as the authors do; our
localiser thresholds the sigmoid of A', times W or, by default, W with its logits standardised over the video.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from pydantic.dataclasses import dataclass as pydantic_dataclass
from torch import Tensor, nn

from tsrnet.core.settings import KNOWN_KEYS, Count, NonNegative, ShareBelowOne
from tsrnet.losses.attention import l1
from tsrnet.losses.classification import softmax_cross_entropy
from tsrnet.models.snippets import Kernel, TemporalConvolution, padded, real_rows, top_k_mean
from tsrnet.models.video_model import SnippetPredictions, VideoModel


@pydantic_dataclass(frozen=True, config=KNOWN_KEYS)
class BaSNetSettings:
    """Sizes and loss weights.

    `filter_size`, `hidden_size`: channels; `filter_kernel`, `kernel`: snippets that a convolution sees, odd.
    `pool_divisor`: k is n / this, rounded up. `classification`: "softmax" is the cross-entropy of the paper,
    "bce" the binary one of the release, of the softmax. `alpha`, `beta`, `gamma`: weights of L_base, L_supp,
    L_norm.
    """

    filter_size: Count = 512
    filter_kernel: Kernel = 1
    hidden_size: Count = 2048
    kernel: Kernel = 3
    dropout: ShareBelowOne = 0.7
    pool_divisor: Count = 8
    classification: Literal["softmax", "bce"] = "softmax"
    alpha: NonNegative = 1.0
    beta: NonNegative = 1.0
    gamma: NonNegative = 1e-4


@dataclass(frozen=True)
class BaSNetOutput:
    """`base` and `suppression` (batch, classes + 1) are a and a', background last; `weights`
    (batch, time, 1) is W, 0 where masked.
    """

    base: Tensor
    suppression: Tensor
    weights: Tensor


class BaSNet(VideoModel):
    """One classifier of actions and background, on all features and on those that the filter lets pass."""

    def __init__(self, settings: BaSNetSettings, *, num_features: int, num_classes: int) -> None:
        super().__init__()
        self.settings = settings
        size, kernel = settings.hidden_size, settings.kernel
        self.filter1 = TemporalConvolution(num_features, settings.filter_size, kernel=settings.filter_kernel)
        self.filter2 = TemporalConvolution(settings.filter_size, 1, kernel=settings.filter_kernel)
        self.conv1 = TemporalConvolution(num_features, size, kernel=kernel)
        self.conv2 = TemporalConvolution(size, size, kernel=kernel)
        self.classifier = nn.Sequential(
            nn.Dropout(settings.dropout), nn.Linear(size, num_classes + 1, bias=False)
        )

    def filter(self, rows: Tensor, mask: Tensor) -> Tensor:
        """W before its sigmoid, (n, 1), of the real snippets of a batch (n, d)."""
        logits: Tensor = self.filter2(F.leaky_relu(self.filter1(rows, mask)), mask)
        return logits

    def classify(self, rows: Tensor, mask: Tensor) -> Tensor:
        """(n, d) real snippets of a batch -> (batch, time, classes + 1), 0 where masked; background last."""
        hidden = F.leaky_relu(self.conv2(F.leaky_relu(self.conv1(rows, mask)), mask))
        return padded(self.classifier(hidden), mask)

    def forward(self, features: Tensor, mask: Tensor) -> BaSNetOutput:
        """features (batch, time, d), mask (batch, time) -> BaSNetOutput."""
        rows = real_rows(features, mask)
        weights = self.filter(rows, mask).sigmoid()
        branches = (self.classify(inputs, mask) for inputs in (rows, weights * rows))
        base, suppression = (top_k_mean(s, mask, divisor=self.settings.pool_divisor) for s in branches)
        return BaSNetOutput(base, suppression, padded(weights, mask))

    def predict(self, features: Tensor, mask: Tensor) -> SnippetPredictions:
        """The suppression branch; features (batch, time, d), mask (batch, time)."""
        rows = real_rows(features, mask)
        logits = self.filter(rows, mask)
        weights = logits.sigmoid()
        scores = self.classify(weights * rows, mask)
        video = top_k_mean(scores, mask, divisor=self.settings.pool_divisor)
        return SnippetPredictions(
            video.softmax(dim=1)[:, :-1], padded(logits, mask), padded(weights, mask), scores[..., :-1]
        )

    @property
    def class_rows(self) -> tuple[str, ...]:
        return ("classifier.1.weight",)

    def loss_terms(self, output: BaSNetOutput, mask: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The terms "base", "suppression", "norm" and "total"; labels (batch, classes)."""
        with_background, without = F.pad(labels, (0, 1), value=1.0), F.pad(labels, (0, 1), value=0.0)
        loss = softmax_cross_entropy if self.settings.classification == "softmax" else _binary_of_softmax
        base, suppression = loss(output.base, with_background), loss(output.suppression, without)
        norm = l1(output.weights, mask)
        s = self.settings
        total = s.alpha * base + s.beta * suppression + s.gamma * norm
        return {"base": base, "suppression": suppression, "norm": norm, "total": total}


def _binary_of_softmax(logits: Tensor, labels: Tensor) -> Tensor:
    """Binary cross-entropy of the softmax over classes with labels of sum 1, mean over classes and batch."""
    targets = labels / labels.sum(dim=1, keepdim=True)
    log_p = logits.log_softmax(dim=1)
    log_rest = (-log_p.exp()).clamp_min(1e-6 - 1).log1p()
    return -(targets * log_p + (1 - targets) * log_rest).mean()
