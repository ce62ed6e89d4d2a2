"""UntrimmedNet: Wang, Xiong, Lin, Van Gool, "UntrimmedNets for Weakly Supervised Action Recognition and
Detection", CVPR 2017.

    x^c(t) = W x_t                                 classification module      UntrimmedNet.forward
    x̄^c(t) = softmax of x^c(t) over classes        clip's class scores        log_odds, forward
    hard: softmax over classes of the mean of x^c  selection of the k best    snippets.top_k_mean
        over the class's k highest
    soft: x̄^s = softmax over time of w · x_t,      selection by attention     UntrimmedNet.forward
        prediction Σ_t x̄^s(t) x̄^c(t)
    L = -Σ_c ȳ_c log(prediction), ȳ = y / ||y||_1  objective                  UntrimmedNet.loss_terms

Deviations: the paper trains its backbone end to end on a few sampled clip proposals and takes a fixed k
of them; here the features are frozen, the clips are all snippets, and k is a share of them. The
activations are the log-odds of x̄^c, so that the sigmoid of our localiser gives x̄^c itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from pydantic.dataclasses import dataclass as pydantic_dataclass
from torch import Tensor, nn

from tsrnet.core.settings import KNOWN_KEYS, Count, ShareBelowOne
from tsrnet.losses.classification import softmax_cross_entropy
from tsrnet.models.attention import attention_weights
from tsrnet.models.snippets import per_snippet, top_k_mean
from tsrnet.models.video_model import SnippetPredictions, VideoModel


@pydantic_dataclass(frozen=True, config=KNOWN_KEYS)
class UntrimmedNetSettings:
    """`selection`: "soft" or "hard". `pool_divisor`: hard selection takes 1 / this of the snippets.
    `dropout`: of the features, before either layer.
    """

    selection: Literal["soft", "hard"] = "soft"
    pool_divisor: Count = 8
    dropout: ShareBelowOne = 0.8


@dataclass(frozen=True)
class UntrimmedNetOutput:
    """What the loss and the localisation need from a batch.

    `scores` (batch, time, classes) is x^c, `attention_logits` (batch, time, 1), 0 for hard selection;
    `logits` (batch, classes), whose softmax is the prediction for the video.
    """

    scores: Tensor
    attention_logits: Tensor
    logits: Tensor


class UntrimmedNet(VideoModel):
    """A linear classification module on each snippet, and a selection module over them."""

    def __init__(self, settings: UntrimmedNetSettings, *, num_features: int, num_classes: int) -> None:
        super().__init__()
        self.settings = settings
        self.classifier = nn.Sequential(nn.Dropout(settings.dropout), nn.Linear(num_features, num_classes))
        # No bias: it has no effect on a softmax over time.
        attention = nn.Sequential(nn.Dropout(settings.dropout), nn.Linear(num_features, 1, bias=False))
        self.attention = attention if settings.selection == "soft" else None

    def forward(self, features: Tensor, mask: Tensor) -> UntrimmedNetOutput:
        """features (batch, time, d), mask (batch, time) -> UntrimmedNetOutput."""
        scores = per_snippet(self.classifier, features, mask)
        if self.attention is None:
            logits = top_k_mean(scores, mask, divisor=self.settings.pool_divisor)
            return UntrimmedNetOutput(scores, scores.new_zeros(*mask.shape, 1), logits)
        attention_logits = per_snippet(self.attention, features, mask)
        # In logarithms. The softmax of the result is its exponential, because its exponentials sum to 1.
        log_attention = attention_logits.masked_fill(~mask.unsqueeze(-1), float("-inf")).log_softmax(dim=1)
        logits = (log_attention + scores.log_softmax(dim=-1)).logsumexp(dim=1)
        return UntrimmedNetOutput(scores, attention_logits, logits)

    def predict(self, features: Tensor, mask: Tensor) -> SnippetPredictions:
        """As `forward`; weights are the attention, or all 1 for hard selection."""
        output: UntrimmedNetOutput = self(features, mask)
        valid = mask.unsqueeze(-1)
        weights = valid.to(features.dtype)
        if self.attention is not None:
            weights = attention_weights(output.attention_logits, mask)
        activations = log_odds(output.scores) * valid
        return SnippetPredictions(output.logits.softmax(dim=1), output.attention_logits, weights, activations)

    def loss_terms(self, output: UntrimmedNetOutput, mask: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The terms "class" and "total", the same; labels (batch, classes), 1 for each class of a video."""
        class_loss = softmax_cross_entropy(output.logits, labels)
        return {"class": class_loss, "total": class_loss}


def log_odds(scores: Tensor) -> Tensor:
    """log(p / (1 - p)) of p, the softmax over the last dimension; (..., classes) -> (..., classes)."""
    log_p = scores.log_softmax(dim=-1).clamp_max(-torch.finfo(scores.dtype).eps)  # p = 1 by rounding
    return log_p - (-torch.expm1(log_p)).log()
