"""STPN: Nguyen, Liu, Prasad, Han, "Weakly Supervised Action Localization by Sparse Temporal Pooling
Network", CVPR 2018.

    λ_t = sigmoid(FC(ReLU(FC(x_t))))           attention module           STPN.attention
    a_t^c = w_c · x_t                          T-CAM                      STPN.forward
    s^c = w_c · Σ λ_t x_t + b_c                weighted temporal pooling  STPN.forward
    p^c = sigmoid(s^c)                         video class probability    STPN.predict
    ψ_t^c = λ_t sigmoid(a_t^c)                 weighted T-CAM             localisation, attention=raw
    L = L_class + β ||λ||_1                    objective                  STPN.loss_terms

L_class is the multi-label cross-entropy: binary, mean over classes. ||λ||_1 is the sum over the snippets of a
video, as written. Bias, means and β are those of the reimplementation bellos1203/STPN; as there, the pooling
is divided by the number of snippets (`pooling=mean`; `sum` is the formula as written). `+experiment=stpn`
samples 400 snippets, as the paper does. The streams are fused by eq. (11) of TSRNet, or by
`localization=stpn`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic.dataclasses import dataclass as pydantic_dataclass
from torch import Tensor, nn

from tsrnet.core.settings import KNOWN_KEYS, Count, NonNegative
from tsrnet.losses.attention import l1
from tsrnet.losses.classification import binary_cross_entropy
from tsrnet.models.attention import attend
from tsrnet.models.snippets import SnippetLinear, per_snippet
from tsrnet.models.video_model import SnippetPredictions, VideoModel


@pydantic_dataclass(frozen=True, config=KNOWN_KEYS)
class STPNSettings:
    """Sizes and loss weights.

    `attention_size`: outputs of the attention module's first layer. `pooling`: "mean" or "sum" of the
    weighted snippets. `beta`: of ||λ||_1.
    """

    attention_size: Count = 256
    pooling: Literal["mean", "sum"] = "mean"
    beta: NonNegative = 1e-4


@dataclass(frozen=True)
class STPNOutput:
    """What losses and localisation need: `attention_logits`, `attention` (batch, time, 1), `activations`
    (batch, time, classes), the T-CAM, all 0 where masked; `logits` (batch, classes).
    """

    attention_logits: Tensor
    attention: Tensor
    activations: Tensor
    logits: Tensor


class STPN(VideoModel):
    """Sigmoid attention, weighted temporal pooling, one linear classifier."""

    def __init__(self, settings: STPNSettings, *, num_features: int, num_classes: int) -> None:
        super().__init__()
        self.settings = settings
        self.attention = nn.Sequential(
            SnippetLinear(num_features, settings.attention_size),
            nn.ReLU(),
            nn.Linear(settings.attention_size, 1),
        )
        self.classifier = nn.Linear(num_features, num_classes)

    def forward(self, features: Tensor, mask: Tensor) -> STPNOutput:
        """features (batch, time, d), mask (batch, time) -> STPNOutput."""
        attention_logits = per_snippet(self.attention, features, mask)
        attention = attention_logits.sigmoid() * mask.unsqueeze(-1)
        weight, bias = self.classifier.weight, self.classifier.bias
        activations = per_snippet(lambda rows: rows @ weight.T, features, mask)  # the T-CAM has no bias
        logits = attend(activations, attention).squeeze(1)  # (batch, classes)
        if self.settings.pooling == "mean":
            logits = logits / mask.sum(dim=1, keepdim=True)
        logits = logits + bias
        return STPNOutput(attention_logits, attention, activations, logits)

    def predict(self, features: Tensor, mask: Tensor) -> SnippetPredictions:
        """As `forward`, with the sigmoid of the video's logits."""
        output: STPNOutput = self(features, mask)
        return SnippetPredictions(
            output.logits.sigmoid(), output.attention_logits, output.attention, output.activations
        )

    def loss_terms(self, output: STPNOutput, mask: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The terms "class", "sparsity" and "total"; labels (batch, classes), 1 for each class of a video."""
        class_loss = binary_cross_entropy(output.logits, labels) / labels.shape[1]
        sparsity = l1(output.attention, mask)
        total = class_loss + self.settings.beta * sparsity
        return {"class": class_loss, "sparsity": sparsity, "total": total}
