"""The interface of a model: what training, test and localisation need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from tsrnet.core.errors import UserError
from tsrnet.models.classifier import Classifier


@dataclass(frozen=True)
class SnippetPredictions:
    """What localisation needs for a batch of videos.

    `probabilities` (batch, classes); `logits` and `weights` (batch, time, hops), the attention before and
    after its softmax or sigmoid; `activations` (batch, time, classes), v_c^T x_i of eq. (10).
    """

    probabilities: Tensor
    logits: Tensor
    weights: Tensor
    activations: Tensor


class VideoModel(nn.Module):
    """The base class of all models: what training, test and localisation need.

    `forward`: features (batch, time, d) and mask (batch, time) -> an output of its own type.
    """

    def predict(self, features: Tensor, mask: Tensor) -> SnippetPredictions:
        """features (batch, time, d), mask (batch, time) -> SnippetPredictions."""
        raise NotImplementedError

    def loss_terms(self, output: Any, mask: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The losses by name; "total" is minimised. labels (batch, classes), 1 for each class of a video.

        TSRNet and its variants get L_SA and L_KT from the module and may return nothing here.
        """
        return {}

    @property
    def class_rows(self) -> tuple[str, ...]:
        """Names of parameters whose first rows are the classes, in order; a last row may be background."""
        raise NotImplementedError

    @property
    def classification(self) -> Classifier:
        """FC1 and FC2. UserError if this model has none: knowledge cannot be transferred to or from it."""
        raise UserError(
            f"{type(self).__name__}: has no FC1 and FC2 to transfer between; give no teacher (transfer=none)"
        )

    def rate_groups(self) -> list[tuple[float, list[nn.Parameter]]]:
        """All parameters in groups, each with a factor for the learning rate."""
        return [(1.0, list(self.parameters()))]


def carry_over(source: VideoModel, known: Sequence[str], target: VideoModel, classes: Sequence[str]) -> None:
    """Give `target` all weights of `source`, FC2's rows to the classes of the same name (D13).

    `known` and `classes` are the classes of the two, in the order of their rows; the rows of new
    classes stay as they are.
    """
    state = target.state_dict()
    for name, value in source.state_dict().items():
        if name in source.class_rows:
            for row, label in enumerate(known):
                state[name][classes.index(label)] = value[row]
            state[name][len(classes) :] = value[len(known) :]  # of background
        else:
            state[name] = value
    target.load_state_dict(state)
