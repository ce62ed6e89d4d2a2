"""The classification stage: FC1, ReLU, dropout, FC2."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class Classifier(nn.Module):
    """Two fully connected layers; `hidden` and `scores` are called apart because eq. (8) needs both."""

    def __init__(self, num_inputs: int, *, size: int, num_classes: int, dropout: float) -> None:
        super().__init__()
        self.fc1 = nn.Linear(num_inputs, size)
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
        """Copy a teacher's FC1 and rows of FC2 (D18). `rows`: class here -> class of the teacher."""
        self.fc1.load_state_dict(teacher.fc1.state_dict())
        ours, theirs = list(rows), list(rows.values())
        self.fc2.weight[ours] = teacher.fc2.weight[theirs]
        self.fc2.bias[ours] = teacher.fc2.bias[theirs]

    def activations(self, inputs: Tensor) -> Tensor:
        """FC2(ReLU(FC1(x))) without dropout: v_c^T x_i of eq. (10), see D6 of the fidelity table."""
        activations: Tensor = self.fc2(self.hidden(inputs))
        return activations
