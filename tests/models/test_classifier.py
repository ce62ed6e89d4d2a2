"""The classification stage: FC1, ReLU, dropout, FC2."""

from __future__ import annotations

import numpy as np
import torch

from tsrnet.models.classifier import Classifier


def classifier(*, dropout: float, num_classes: int = 3) -> Classifier:
    torch.manual_seed(0)
    return Classifier(4, size=6, num_classes=num_classes, dropout=dropout).double()


def test_scores_are_fc2_of_the_rectified_fc1() -> None:
    stage = classifier(dropout=0.8).eval()
    inputs = np.random.default_rng(0).normal(size=(5, 4))
    w1, b1, w2, b2 = (parameter.detach().numpy() for parameter in stage.parameters())

    hidden = stage.hidden(torch.from_numpy(inputs))
    scores = stage.scores(hidden)

    for row, x in enumerate(inputs):
        h = np.array([max(0.0, w1[j] @ x + b1[j]) for j in range(6)])
        np.testing.assert_allclose(hidden[row].detach(), h, rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(scores[row].detach(), w2 @ h + b2, rtol=1e-12)


def test_dropout_sits_between_hidden_and_fc2_only() -> None:
    """While training, an FC2 that copies its input shows each unit dropped or scaled by 1 / (1 - p)."""
    stage = classifier(dropout=0.8, num_classes=6).train()
    with torch.no_grad():
        stage.fc2.weight.copy_(torch.eye(6))
        stage.fc2.bias.zero_()
    inputs = torch.randn(200, 4, dtype=torch.float64)

    hidden = stage.hidden(inputs)
    scores = stage.scores(hidden)

    torch.testing.assert_close(hidden, stage.eval().hidden(inputs), rtol=0, atol=0)
    dropped = (scores == 0) & (hidden > 0)
    torch.testing.assert_close(scores[~dropped], 5 * hidden[~dropped])
    assert 0.75 < dropped.sum() / (hidden > 0).sum() < 0.85


def test_activations_are_the_scores_without_dropout_in_either_mode() -> None:
    """D6: the classifier applied to one snippet, for any number of leading dimensions."""
    stage = classifier(dropout=0.8)
    snippets = torch.randn(2, 7, 4, dtype=torch.float64)
    training = stage.train().activations(snippets)
    stage.eval()
    for row in range(2):
        for i in range(7):
            expected = stage.scores(stage.hidden(snippets[row, i]))
            torch.testing.assert_close(training[row, i], expected, rtol=1e-12, atol=1e-14)
