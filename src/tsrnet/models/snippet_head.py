"""A small network that predicts the action of every snippet, or none: the student of a second stage.

    A_t = W dropout(ReLU(conv(x_t)))     against background, whose logit is 0    SnippetHead.forward
    p_t = softmax([A_t, 0])              actions and background
    s^c = mean of the k highest A_t^c    of the video, k = n / 8                 snippets.top_k_mean
    L = cross-entropy of softmax(s)      for the labels of the video             SnippetHead.loss_terms

So the sigmoid of A_t^c is p_t^c / (p_t^c + p_t^background), and the attention 1 - p_t^background.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic.dataclasses import dataclass as pydantic_dataclass
from torch import Tensor, nn

from tsrnet.core.settings import KNOWN_KEYS, Count, ShareBelowOne
from tsrnet.losses.classification import softmax_cross_entropy
from tsrnet.models.snippets import Kernel, TemporalConvolution, padded, real_rows, top_k_mean
from tsrnet.models.video_model import SnippetPredictions, VideoModel


@pydantic_dataclass(frozen=True, config=KNOWN_KEYS)
class SnippetHeadSettings:
    """`hidden_size`: channels; `kernel`: snippets that a convolution sees; `pool_divisor`: k is n / this."""

    hidden_size: Count = 256
    kernel: Kernel = 3
    dropout: ShareBelowOne = 0.5
    pool_divisor: Count = 8


@dataclass(frozen=True)
class SnippetHeadOutput:
    """`activations` (batch, time, classes) A, 0 where masked; `logits` (batch, classes) s."""

    activations: Tensor
    logits: Tensor


class SnippetHead(VideoModel):
    """A temporal convolution and a linear layer."""

    def __init__(self, settings: SnippetHeadSettings, *, num_features: int, num_classes: int) -> None:
        super().__init__()
        self.settings = settings
        self.hidden = TemporalConvolution(num_features, settings.hidden_size, kernel=settings.kernel)
        self.classifier = nn.Sequential(
            nn.ReLU(), nn.Dropout(settings.dropout), nn.Linear(settings.hidden_size, num_classes)
        )

    def forward(self, features: Tensor, mask: Tensor) -> SnippetHeadOutput:
        """features (batch, time, d), mask (batch, time) -> SnippetHeadOutput."""
        activations = padded(self.classifier(self.hidden(real_rows(features, mask), mask)), mask)
        logits = top_k_mean(activations, mask, divisor=self.settings.pool_divisor)
        return SnippetHeadOutput(activations, logits)

    def predict(self, features: Tensor, mask: Tensor) -> SnippetPredictions:
        """As `forward`; the attention is 1 minus the probability of background."""
        output: SnippetHeadOutput = self(features, mask)
        odds = output.activations.logsumexp(dim=-1, keepdim=True) * mask.unsqueeze(-1)
        weights = odds.sigmoid() * mask.unsqueeze(-1)
        return SnippetPredictions(output.logits.softmax(dim=1), odds, weights, output.activations)

    @property
    def class_rows(self) -> tuple[str, ...]:
        return ("classifier.2.weight", "classifier.2.bias")

    def loss_terms(self, output: SnippetHeadOutput, mask: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The terms "class" and "total", the same; labels (batch, classes), 1 for each class of a video."""
        class_loss = softmax_cross_entropy(output.logits, labels)
        return {"class": class_loss, "total": class_loss}
