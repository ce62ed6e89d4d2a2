"""CO2-Net: Hong, Feng, Xu, Shan, Zheng, "Cross-modal Consensus Network for Weakly Supervised Temporal Action
Localization", ACM Multimedia 2021. RGB v and flow f side by side (`stream=joint`).

    v' = v sigmoid(conv(f) conv(mean_t v))         cross-modal module, the same   CrossModal.forward
    a_v = sigmoid(conv(conv(conv(v'))))            for f, with v and f swapped    CrossModal.forward
    a = (a_v + a_f) / 2                            attention                      CO2Net.forward
    X = conv([v', f']), A = conv(conv(X))          C actions and background       CO2Net.forward
    S = a (A - min_c A) + min_c A                  suppressed                     CO2Net.loss_terms
    L_base of A, target 1 for background;          k-max, softmax cross-entropy   CO2Net.loss_terms
    L_supp of S, target 0
    L_cas of X and S                               co-activity similarity         wtalc.co_activity_similarity
    L_mutual = 1/2 |a_v - [a_f]|² +                each towards the other, which  CO2Net.loss_terms
        1/2 |a_f - [a_v]|²                         is detached
    L_norm = mean of a, a_v, a_f                   few snippets                   CO2Net.loss_terms
    L_guide = |1 - a - p_background|               the opposite of background     CO2Net.loss_terms
    L = L_base + L_supp + L_cas + mutual L_mutual  objective                      CO2Net.loss_terms
        + norm L_norm + guide L_guide

Means are over the snippets of a video, then over videos; L_norm and L_guide are means over a, a_v and a_f.
k = n / 7, rounded up. The video's class probability is the softmax of the mean of the n / 10 highest a A.
Sizes, dropout and initial weights are those of the release, for features of 1,024 a stream. Deviations: the
convolution of mean_t v sees one snippet, so it is a linear layer here; every two videos of a batch
that share a class are a pair of L_cas.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from pydantic.dataclasses import dataclass as pydantic_dataclass
from torch import Tensor, nn

from tsrnet.core.errors import UserError
from tsrnet.core.settings import KNOWN_KEYS, Count, NonNegative, ShareBelowOne
from tsrnet.losses.classification import softmax_cross_entropy
from tsrnet.models.snippets import SnippetLinear, TemporalConvolution, padded, real_rows, top_k_mean
from tsrnet.models.video_model import SnippetPredictions, VideoModel
from tsrnet.models.wtalc import co_activity_similarity

_SLOPE = 0.2


@pydantic_dataclass(frozen=True, config=KNOWN_KEYS)
class CO2NetSettings:
    """Sizes and loss weights.

    `attention_size`, `hidden_size`: channels of the attention and of the classifier. `gate_dropout`: in the
    cross-modal modules. `pool_divisor`: k is n / this in training; `test_divisor` in the test. `margin`: of
    L_cas. `similarity`, `mutual`, `norm`, `guide`: weights of the terms.
    """

    attention_size: Count = 512
    hidden_size: Count = 2048
    gate_dropout: ShareBelowOne = 0.5
    dropout: ShareBelowOne = 0.7
    pool_divisor: Count = 7
    test_divisor: Count = 10
    margin: NonNegative = 0.5
    similarity: NonNegative = 1.0
    mutual: NonNegative = 1.0
    norm: NonNegative = 0.8
    guide: NonNegative = 0.8


@dataclass(frozen=True)
class CO2NetOutput:
    """All 0 where masked: `hidden` (batch, time, d) is X, `scores` (batch, time, classes + 1) A, background
    last; `attentions` (batch, time, 2) a_v and a_f.
    """

    hidden: Tensor
    scores: Tensor
    attentions: Tensor

    @property
    def attention(self) -> Tensor:
        """(batch, time, 1), their mean."""
        return self.attentions.mean(dim=-1, keepdim=True)


class CrossModal(nn.Module):
    """Filters one stream with the help of the other, and computes its attention."""

    def __init__(self, size: int, settings: CO2NetSettings) -> None:
        super().__init__()
        width = settings.attention_size
        self.local = TemporalConvolution(size, size, kernel=3)
        self.whole = nn.Linear(size, size)
        self.attention1 = TemporalConvolution(size, width, kernel=3)
        self.attention2 = TemporalConvolution(width, width, kernel=3)
        self.attention3 = nn.Linear(width, 1)
        self.dropout = nn.Dropout(settings.gate_dropout)

    def forward(self, main: Tensor, other: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Real snippets (n, d) of both streams -> attention (n, 1), and the filtered main stream (n, d)."""
        video = mask.nonzero()[:, 0]
        sums = main.new_zeros(len(mask), main.shape[1]).index_add(0, video, main)
        whole = self.dropout(_leaky(self.whole(sums / mask.sum(dim=1, keepdim=True))))
        local = self.dropout(_leaky(self.local(other, mask)))
        filtered = main * (local * whole[video]).sigmoid()
        hidden = self.dropout(_leaky(self.attention1(filtered, mask)))
        hidden = _leaky(self.attention2(hidden, mask))
        return self.dropout(self.attention3(hidden)).sigmoid(), filtered


class CO2Net(VideoModel):
    """Two cross-modal modules and a classifier of actions and background on what they let pass."""

    def __init__(self, settings: CO2NetSettings, *, num_features: int, num_classes: int) -> None:
        super().__init__()
        if num_features % 2:
            raise UserError(
                f"model=co2net: got {num_features} features a snippet, need RGB and flow of one width side by"
                " side; give stream=joint"
            )
        self.settings = settings
        size = settings.hidden_size
        self.rgb, self.flow = (CrossModal(num_features // 2, settings) for _ in range(2))
        self.fusion = SnippetLinear(num_features, num_features)
        self.hidden = TemporalConvolution(num_features, size, kernel=3)
        self.classifier = nn.Linear(size, num_classes + 1)
        self.dropout = nn.Dropout(settings.dropout)
        self.apply(_initialise)
        for module in (self.rgb, self.flow):
            # A third of the inputs of its convolution.
            module.whole.weight.data /= math.sqrt(3)

    def forward(self, features: Tensor, mask: Tensor) -> CO2NetOutput:
        """features (batch, time, d), RGB first, mask (batch, time) -> CO2NetOutput."""
        rgb, flow = real_rows(features, mask).chunk(2, dim=1)
        (a_rgb, rgb_rows), (a_flow, flow_rows) = self.rgb(rgb, flow, mask), self.flow(flow, rgb, mask)
        fused = self.dropout(_leaky(self.fusion(torch.cat([rgb_rows, flow_rows], dim=1))))
        hidden = self.dropout(_leaky(self.hidden(self.dropout(fused), mask)))
        attentions = torch.cat([a_rgb, a_flow], dim=1)
        return CO2NetOutput(*(padded(rows, mask) for rows in (fused, self.classifier(hidden), attentions)))

    def predict(self, features: Tensor, mask: Tensor) -> SnippetPredictions:
        """Attention is a, activations are A; features (batch, time, d), mask (batch, time)."""
        output: CO2NetOutput = self(features, mask)
        attention = output.attention
        video = top_k_mean(attention * output.scores, mask, divisor=self.settings.test_divisor)
        logits = attention.logit(eps=1e-6) * mask.unsqueeze(-1)
        return SnippetPredictions(video.softmax(dim=1)[:, :-1], logits, attention, output.scores[..., :-1])

    @property
    def class_rows(self) -> tuple[str, ...]:
        return ("classifier.weight", "classifier.bias")

    def loss_terms(self, output: CO2NetOutput, mask: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The terms of the module docstring and "total"; labels (batch, classes), 1 for each class."""
        s, scores = self.settings, output.scores
        lowest = scores.amin(dim=-1, keepdim=True)
        suppressed = output.attention * (scores - lowest) + lowest
        without, with_background = F.pad(labels, (0, 1), value=0.0), F.pad(labels, (0, 1), value=1.0)
        base, suppression = (
            softmax_cross_entropy(top_k_mean(some, mask, divisor=s.pool_divisor), target)
            for some, target in ((scores, with_background), (suppressed, without))
        )
        similarity = co_activity_similarity(
            output.hidden, suppressed[..., :-1], mask, labels, margin=s.margin
        )
        rgb, flow = output.attentions.unbind(dim=-1)
        mutual = (rgb - flow.detach()).square() / 2 + (flow - rgb.detach()).square() / 2
        all_three = torch.cat([output.attention, output.attentions], dim=-1)
        background = scores.softmax(dim=-1)[..., -1:]
        terms = {
            "base": base,
            "suppression": suppression,
            "similarity": similarity,
            "mutual": _mean(mutual, mask),
            "norm": _mean(all_three.mean(dim=-1), mask),
            "guide": _mean((1 - all_three - background).abs().mean(dim=-1), mask),
        }
        weights = {"similarity": s.similarity, "mutual": s.mutual, "norm": s.norm, "guide": s.guide}
        total = sum((weights.get(name, 1.0) * term for name, term in terms.items()), scores.new_zeros(()))
        return {**terms, "total": total}


def _leaky(values: Tensor) -> Tensor:
    return F.leaky_relu(values, _SLOPE)


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    """(batch, time) -> a scalar: mean over the real snippets of a video, then over videos."""
    return (values.where(mask, 0.0).sum(dim=1) / mask.sum(dim=1)).mean()


def _initialise(layer: nn.Module) -> None:
    if isinstance(layer, nn.Linear | nn.Conv1d):
        nn.init.kaiming_uniform_(layer.weight)
        assert layer.bias is not None
        nn.init.zeros_(layer.bias)
