"""The classification stage: FC1, ReLU, dropout, FC2."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tsrnet.core.errors import UserError
from tsrnet.models.snippets import SnippetLinear


class Classifier(nn.Module):
    """Two fully connected layers; `hidden` and `scores` are separate because eq. (8) needs both."""

    def __init__(self, num_inputs: int, *, size: int, num_classes: int, dropout: float) -> None:
        super().__init__()
        self.fc1 = SnippetLinear(num_inputs, size)
        self.dropout = nn.Dropout(dropout)
        self.fc2 = nn.Linear(size, num_classes)

    def hidden(self, inputs: Tensor) -> Tensor:
        """ReLU(FC1(x)): what is fed into FC2, before dropout. (..., inputs) -> (..., size)."""
        hidden: Tensor = self.fc1(inputs)
        return hidden.relu()

    def scores(self, hidden: Tensor) -> Tensor:
        """FC2 after dropout. (..., size) -> (..., classes)."""
        scores: Tensor = self.fc2(self.dropout(hidden))
        return scores

    @torch.no_grad()
    def start_from(self, teacher: Classifier, rows: Mapping[int, int]) -> None:
        """Copy a teacher's FC1 and rows of FC2 (D18). `rows`: class here -> class of the teacher.

        Raises UserError if the layers of the two have other sizes.
        """
        if self.fc1.weight.shape != teacher.fc1.weight.shape:
            ours, theirs = (tuple(one.fc1.weight.shape) for one in (self, teacher))
            raise UserError(
                f"teacher: got FC1 of size {theirs}, the network has {ours}; train the teacher with the same"
                " features, model.hidden_size and model.hops"
            )
        self.fc1.load_state_dict(teacher.fc1.state_dict())
        here, there = list(rows), list(rows.values())
        self.fc2.weight[here] = teacher.fc2.weight[there]
        self.fc2.bias[here] = teacher.fc2.bias[there]

    def activations(self, inputs: Tensor) -> Tensor:
        """FC2(ReLU(FC1(x))) without dropout: v_c^T x_i of eq. (10), see D6 of the fidelity table."""
        activations: Tensor = self.fc2(self.hidden(inputs))
        return activations
