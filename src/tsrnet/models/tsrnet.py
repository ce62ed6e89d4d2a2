"""The network of one stream: attention over snippets, then the classification stage."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tsrnet.models.attention import MeanPooling, SelfAttention, attend, attention_weights
from tsrnet.models.classifier import Classifier
from tsrnet.models.video_model import SnippetPredictions, VideoModel


@dataclass(frozen=True)
class TSRNetSettings:
    """Sizes of a network.

    `attention`: "self" (eq. 1) or "mean" (Two-Stream). `attention_size`: b of eq. (1). `hops`: sets
    of attention weights, merged by "concat" or "mean". `hidden_size`: outputs of FC1.
    """

    attention: str = "self"
    attention_size: int = 256
    hops: int = 1
    merge: str = "concat"
    hidden_size: int = 256
    dropout: float = 0.5

    def __post_init__(self) -> None:
        if self.attention not in ("self", "mean"):
            raise ValueError(f"attention: got {self.attention}, need self or mean")
        if self.merge not in ("concat", "mean"):
            raise ValueError(f"merge: got {self.merge}, need concat or mean")
        if min(self.attention_size, self.hops, self.hidden_size) < 1:
            raise ValueError("attention_size, hops, hidden_size: need at least 1")
        if self.attention == "mean" and self.hops != 1:
            raise ValueError(f"hops: got {self.hops}, need 1 with attention=mean")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout: got {self.dropout}, need a number in [0, 1)")


@dataclass(frozen=True)
class TSRNetOutput:
    """What the losses need of a batch.

    `attention_logits` and `attention` (batch, time, hops), `pooled` (batch, m) is m of eq. (1),
    `hidden` (batch, hidden_size) is ReLU(FC1(m)), `logits` (batch, classes).
    """

    attention_logits: Tensor
    attention: Tensor
    pooled: Tensor
    hidden: Tensor
    logits: Tensor


class TSRNet(VideoModel):
    """Teacher, Two-Stream, SRNet and TSRNet alike: they differ in settings and losses only."""

    def __init__(self, settings: TSRNetSettings, *, num_features: int, num_classes: int) -> None:
        super().__init__()
        self.settings = settings
        self.attention = (
            MeanPooling()
            if settings.attention == "mean"
            else SelfAttention(num_features, size=settings.attention_size, hops=settings.hops)
        )
        self._copies = settings.hops if settings.merge == "concat" else 1
        self.classifier = Classifier(
            num_features * self._copies,
            size=settings.hidden_size,
            num_classes=num_classes,
            dropout=settings.dropout,
        )

    def forward(self, features: Tensor, mask: Tensor) -> TSRNetOutput:
        """features (batch, time, d), mask (batch, time) -> TSRNetOutput."""
        logits = self.attention(features, mask)
        attention = attention_weights(logits, mask)
        rows = attend(features, attention)  # (batch, hops, d)
        pooled = rows.flatten(1) if self.settings.merge == "concat" else rows.mean(dim=1)
        hidden = self.classifier.hidden(pooled)
        return TSRNetOutput(logits, attention, pooled, hidden, self.classifier.scores(hidden))

    def predict(self, features: Tensor, mask: Tensor) -> SnippetPredictions:
        output: TSRNetOutput = self(features, mask)
        probabilities = output.logits.softmax(dim=1)
        activations = self.class_activations(features)
        return SnippetPredictions(probabilities, output.attention_logits, output.attention, activations)

    @property
    def class_rows(self) -> tuple[str, ...]:
        return ("classifier.fc2.weight", "classifier.fc2.bias")

    def class_activations(self, features: Tensor) -> Tensor:
        """v_c^T x_i of eq. (10) for every snippet: (batch, time, d) -> (batch, time, classes)."""
        return self.classifier.activations(torch.cat([features] * self._copies, dim=-1))
