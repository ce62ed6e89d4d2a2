"""The network of one stream: attention over snippets, then the classification stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic.dataclasses import dataclass as pydantic_dataclass
from torch import Tensor

from tsrnet.core.settings import KNOWN_KEYS, Count, ShareBelowOne
from tsrnet.models.attention import MeanPooling, SelfAttention, attend, attention_weights
from tsrnet.models.classifier import Classifier
from tsrnet.models.snippets import per_snippet
from tsrnet.models.video_model import SnippetPredictions, VideoModel


@pydantic_dataclass(frozen=True, config=KNOWN_KEYS)
class TSRNetSettings:
    """The settings of TSRNet.

    `attention`: "self" (eq. 1) or "mean" (Two-Stream). `attention_size`: b of eq. (1). `hops`: number of sets
    of attention weights, merged by "concat" or "mean". `hidden_size`: outputs of FC1.
    """

    attention: Literal["self", "mean"] = "self"
    attention_size: Count = 256
    hops: Count = 1
    merge: Literal["concat", "mean"] = "concat"
    hidden_size: Count = 256
    dropout: ShareBelowOne = 0.5


@dataclass(frozen=True)
class TSRNetOutput:
    """What the losses need from a batch.

    `attention_logits` and `attention` (batch, time, hops), `pooled` (batch, m) is m of eq. (1),
    `hidden` (batch, hidden_size) is ReLU(FC1(m)), `logits` (batch, classes). `snippet_scores()` are the class
    activations of each snippet, (batch, time, classes), 0 where masked; a column after the classes is
    background. They are computed when they are needed: L_SA and MMD do without them.
    """

    attention_logits: Tensor
    attention: Tensor
    pooled: Tensor
    hidden: Tensor
    logits: Tensor
    snippet_scores: Callable[[], Tensor]


class TSRNet(VideoModel):
    """The network of teacher, Two-Stream, SRNet and TSRNet; they differ only in settings and losses."""

    def __init__(self, settings: TSRNetSettings, *, num_features: int, num_classes: int) -> None:
        super().__init__()
        self.settings = settings
        self.attention = (
            MeanPooling(hops=settings.hops)
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
        return TSRNetOutput(
            logits,
            attention,
            pooled,
            hidden,
            self.classifier.scores(hidden),
            lambda: per_snippet(self.class_activations, features, mask),
        )

    def predict(self, features: Tensor, mask: Tensor) -> SnippetPredictions:
        output: TSRNetOutput = self(features, mask)
        probabilities = output.logits.softmax(dim=1)
        activations = output.snippet_scores()[..., : probabilities.shape[1]]
        return SnippetPredictions(probabilities, output.attention_logits, output.attention, activations)

    @property
    def classification(self) -> Classifier:
        return self.classifier

    @property
    def class_rows(self) -> tuple[str, ...]:
        return ("classifier.fc2.weight", "classifier.fc2.bias")

    def class_activations(self, features: Tensor) -> Tensor:
        """v_c^T x_i of eq. (10) for every snippet: (..., d) -> (..., classes)."""
        return self.classifier.activations(torch.cat([features] * self._copies, dim=-1))
