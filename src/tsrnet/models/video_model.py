"""What a model of videos must have to be trained, tested and localised with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn


@dataclass(frozen=True)
class SnippetPredictions:
    """What localisation needs to know of a batch.

    `probabilities` (batch, classes); `logits` and `weights` (batch, time, hops), the attention before and
    after its softmax or sigmoid; `activations` (batch, time, classes), v_c^T x_i of eq. (10).
    """

    probabilities: Tensor
    logits: Tensor
    weights: Tensor
    activations: Tensor


class VideoModel(nn.Module):
    """What a model of videos must have to be trained, tested and localised with; a rival subclasses it.

    `forward`: features (batch, time, d) and mask (batch, time) -> an output of its own.
    """

    def predict(self, features: Tensor, mask: Tensor) -> SnippetPredictions:
        """features (batch, time, d), mask (batch, time) -> SnippetPredictions."""
        raise NotImplementedError

    def loss_terms(self, output: Any, mask: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Scalars by name, and as "total" what is minimised; labels (batch, classes), 1 for each class.

        A network with the output of TSRNet's gets L_SA and L_KT besides, and may have none of its own.
        """
        return {}

    @property
    def class_rows(self) -> tuple[str, ...]:
        """Parameters whose first rows are the classes, in order; a row after them is background's."""
        raise NotImplementedError

    def rate_groups(self) -> list[tuple[float, list[nn.Parameter]]]:
        """All parameters, those together that learn at the same factor of the rate."""
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
