"""W-TALC: Paul, Roy, Roy-Chowdhury, "W-TALC: Weakly-supervised Temporal Activity Localization and
Classification", ECCV 2018.

    X = dropout(ReLU(FC(x_t)))                        features                    WTALC.hidden
    A = W X                                           class activations (T-CAS)   WTALC.classifier
    s^c = mean of the k highest A^c, k = n / 8        k-max pooling               snippets.top_k_mean
    L_MIL = -Σ_c ȳ_c log softmax(s)_c, ȳ = y/||y||_1  multiple instance loss      WTALC.loss_terms
    H = Σ_t â_t X_t, â = softmax of A^c over time     high attention              co_activity_similarity
    G = Σ_t (1 - â_t) X_t / (n - 1)                   low attention               co_activity_similarity
    1/2 {max(0, d(H_m, H_n) - d(H_m, G_n) + δ)        similarity of videos m, n   co_activity_similarity
        + max(0, d(H_m, H_n) - d(G_m, H_n) + δ)}      of a class, d = 1 - cosine
    λ L_MIL + (1 - λ) L_CAS                           objective                   WTALC.loss_terms

k is rounded up. L_CAS is the mean over the pairs of videos of a class, then over classes. All pairs of a
batch count; classes without a pair do not. `+experiment=wtalc` draws batches with three pairs, crops videos
to 750 snippets and puts the features of both streams side by side, as the authors do. `localization=wtalc`
thresholds A within a video, as they do; our localiser thresholds the sigmoid of A. Initial weights and
dropout are those of the release.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from pydantic.dataclasses import dataclass as pydantic_dataclass
from torch import Tensor, nn

from tsrnet.core.settings import KNOWN_KEYS, Count, NonNegative, Share, ShareBelowOne
from tsrnet.losses.classification import softmax_cross_entropy
from tsrnet.models.attention import attend, attention_weights
from tsrnet.models.snippets import SnippetLinear, per_snippet, top_k_mean
from tsrnet.models.video_model import SnippetPredictions, VideoModel


@pydantic_dataclass(frozen=True, config=KNOWN_KEYS)
class WTALCSettings:
    """Sizes and loss weights.

    `hidden_size`: outputs of FC, None for as many as features. `pool_divisor`: k is n / this, rounded
    up. `margin`: δ. `mil_share`: λ.
    """

    hidden_size: Count | None = None
    dropout: ShareBelowOne = 0.7
    pool_divisor: Count = 8
    margin: NonNegative = 0.5
    mil_share: Share = 0.5


@dataclass(frozen=True)
class WTALCOutput:
    """`hidden` (batch, time, d) is X, `activations` (batch, time, classes) A, `logits` (batch, classes) s."""

    hidden: Tensor
    activations: Tensor
    logits: Tensor


class WTALC(VideoModel):
    """One hidden layer and one linear layer on each snippet, k-max pooling over them; no attention."""

    def __init__(self, settings: WTALCSettings, *, num_features: int, num_classes: int) -> None:
        super().__init__()
        self.settings = settings
        size = settings.hidden_size or num_features
        first, last = SnippetLinear(num_features, size), nn.Linear(size, num_classes)
        self.hidden = nn.Sequential(first, nn.ReLU(), nn.Dropout(settings.dropout))
        self.classifier = last
        for layer in (first, last):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, features: Tensor, mask: Tensor) -> WTALCOutput:
        """features (batch, time, d), mask (batch, time) -> WTALCOutput."""
        hidden = per_snippet(self.hidden, features, mask)
        activations = per_snippet(self.classifier, hidden, mask)
        logits = top_k_mean(activations, mask, divisor=self.settings.pool_divisor)
        return WTALCOutput(hidden, activations, logits)

    def predict(self, features: Tensor, mask: Tensor) -> SnippetPredictions:
        """As `forward`; there is no attention: logits 0, weights 1 (0 where masked)."""
        output: WTALCOutput = self(features, mask)
        weights = mask.unsqueeze(-1).to(features.dtype)
        return SnippetPredictions(
            output.logits.softmax(dim=1), torch.zeros_like(weights), weights, output.activations
        )

    def loss_terms(self, output: WTALCOutput, mask: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The terms "mil", "similarity" and "total"; labels (batch, classes), 1 for each class of a video."""
        mil = softmax_cross_entropy(output.logits, labels)
        similarity = co_activity_similarity(
            output.hidden, output.activations, mask, labels, margin=self.settings.margin
        )
        share = self.settings.mil_share
        return {"mil": mil, "similarity": similarity, "total": share * mil + (1 - share) * similarity}


def co_activity_similarity(
    features: Tensor, activations: Tensor, mask: Tensor, labels: Tensor, *, margin: float
) -> Tensor:
    """The ranking loss over pairs of videos that share a class; 0 where no pair does.

    Args:
        features: (batch, time, d), 0 where masked.
        activations: (batch, time, classes).
        mask: (batch, time) bool.
        labels: (batch, classes).
        margin: δ.
    """
    shared = (labels > 0).sum(dim=0) >= 2
    has = (labels[:, shared] > 0).T  # (shared classes, batch)
    high = attend(features, attention_weights(activations[..., shared], mask))  # (batch, shared, d)
    # Σ (1 - â) X is the sum of X less H; a cosine does not see the factor 1 / (n - 1).
    low = features.sum(dim=1, keepdim=True) - high
    # Not 1e-12: one snippet or dead ReLUs give a vector of zeros, with the gradient of x / eps.
    high, low = F.normalize(high, dim=-1, eps=1e-6), F.normalize(low, dim=-1, eps=1e-6)
    high_high = 1 - torch.einsum("mkd,nkd->kmn", high, high)  # (shared, batch, batch)
    high_low = 1 - torch.einsum("mkd,nkd->kmn", high, low)
    hinges = (high_high - high_low + margin).relu()
    hinges = (hinges + hinges.transpose(1, 2)) / 2
    pairs = (has.unsqueeze(1) & has.unsqueeze(2)).triu(diagonal=1)
    per_class = (hinges * pairs).sum(dim=(1, 2)) / pairs.sum(dim=(1, 2))
    return per_class.sum() / max(len(per_class), 1)
