"""TSRNet with a branch that suppresses background.

    TSRNet, eq. (1) to (9), unchanged            attention, L_SA, L_KT           TSRNetPlus.tsrnet
    BaS-Net, both branches                       background class, temporal
                                                 context, L_base, L_supp         TSRNetPlus.suppression
    p = p_BaS                                    of the video                    TSRNetPlus.predict
    s = share * a sigmoid(v) +
        (1 - share) * a' sigmoid(A'')            in place of eq. (10)            TSRNetPlus.predict

a is TSRNet's attention in the form that suits the dataset, a' in its standardised form (D5), A'' the
activations of the suppressing branch, standardised over the video. The two learn side by side from the same
batches and share no weight: transfer makes TSRNet's attention sharp but its class activations are free over
background (D5); BaS-Net's see the snippets around them and have a class for background, and it recognises
better.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic.dataclasses import dataclass as pydantic_dataclass
from torch import Tensor

from tsrnet.core.settings import KNOWN_KEYS, Share
from tsrnet.localization.scores import localization_attention, standardized
from tsrnet.localization.settings import AttentionForm
from tsrnet.models.basnet import BaSNet, BaSNetOutput, BaSNetSettings
from tsrnet.models.classifier import Classifier
from tsrnet.models.tsrnet import TSRNet, TSRNetOutput, TSRNetSettings
from tsrnet.models.video_model import SnippetPredictions, VideoModel


@pydantic_dataclass(frozen=True, config=KNOWN_KEYS)
class TSRNetPlusSettings:
    """The settings of both parts; `share` of TSRNet in the score of a snippet, and the `form` of its
    attention there, as in `localization_attention`.
    """

    tsrnet: TSRNetSettings = field(default_factory=TSRNetSettings)
    suppression: BaSNetSettings = field(default_factory=BaSNetSettings)
    share: Share = 0.5
    form: AttentionForm = "standardized"


@dataclass(frozen=True)
class TSRNetPlusOutput(TSRNetOutput):
    """TSRNet's, for L_SA and L_KT, and what the suppressing branch says."""

    suppression: BaSNetOutput


class TSRNetPlus(VideoModel):
    """TSRNet and a background-suppressing branch, side by side."""

    def __init__(self, settings: TSRNetPlusSettings, *, num_features: int, num_classes: int) -> None:
        super().__init__()
        self.settings = settings
        sizes = {"num_features": num_features, "num_classes": num_classes}
        self.tsrnet = TSRNet(settings.tsrnet, **sizes)
        self.suppression = BaSNet(settings.suppression, **sizes)

    def forward(self, features: Tensor, mask: Tensor) -> TSRNetPlusOutput:
        """features (batch, time, d), mask (batch, time) -> TSRNetPlusOutput."""
        return TSRNetPlusOutput(
            **vars(self.tsrnet(features, mask)), suppression=self.suppression(features, mask)
        )

    def predict(self, features: Tensor, mask: Tensor) -> SnippetPredictions:
        """Attention is TSRNet's; activations are the logits of the fused score, which has it in already."""
        ours, theirs = self.tsrnet.predict(features, mask), self.suppression.predict(features, mask)
        attention, other = (
            localization_attention(ours.logits, ours.weights, mask, form=form).unsqueeze(-1)
            for form in (self.settings.form, "standardized")
        )
        share, activations = self.settings.share, standardized(theirs.activations, mask)
        score = share * attention * ours.activations.sigmoid() + (1 - share) * other * activations.sigmoid()
        return SnippetPredictions(
            theirs.probabilities, ours.logits, ours.weights, score.float().logit(eps=1e-6)
        )

    def loss_terms(self, output: TSRNetPlusOutput, mask: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Those of the suppressing branch; L_SA and L_KT come on top of them."""
        return self.suppression.loss_terms(output.suppression, mask, labels)

    @property
    def classification(self) -> Classifier:
        return self.tsrnet.classifier

    @property
    def class_rows(self) -> tuple[str, ...]:
        return (
            *(f"tsrnet.{name}" for name in self.tsrnet.class_rows),
            *(f"suppression.{name}" for name in self.suppression.class_rows),
        )
