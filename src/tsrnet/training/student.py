"""The second stage: a student that learns the detections of the first one snippet by snippet.

    p_t = softmax([A_t, 0])                   A_t: the student's class activations; 0: background
    L = L_own + L_pseudo + λ L_mean
    L_own                                     of the student's model, for the labels of the video
    L_pseudo = mean of w_t CE(p_t, y_t)       y_t: the detected class, w_t its confidence; or background
    L_mean = mean of |p_t - p'_t|²            p'_t: the mean teacher's, an exponential average of the student

The mean of L_pseudo is taken over the snippets with a detection and over those without, then over the two,
because most of a video is background. λ grows to its value over the first third of the training. The mean
teacher (Tarvainen, Valpola, NeurIPS 2017) is tested.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from tsrnet.core.settings import KNOWN_KEYS, NonNegative, Share, ShareBelowOne
from tsrnet.datasets.batch import TrainingBatch, VideoBatch
from tsrnet.models.video_model import SnippetPredictions
from tsrnet.training.module import TSRNetModule
from tsrnet.training.pseudo_labels import PseudoLabels

_RAMP = 1 / 3


@dataclass(frozen=True, config=KNOWN_KEYS)
class StudentSettings:
    """`average`: share of the mean teacher that a step keeps. `consistency`: λ. `background`: weight of the
    snippets without a detection.
    """

    average: ShareBelowOne = 0.99
    consistency: NonNegative = 1.0
    background: Share = 0.5


class StudentModule(TSRNetModule):
    """Trains a model on pseudo labels; arguments as for TSRNetModule.

    Args:
        labels: video id -> detections of the first stage in it.
        student: settings of the loss.
    """

    def __init__(
        self, *, labels: Mapping[str, PseudoLabels], student: StudentSettings, **options: Any
    ) -> None:
        super().__init__(**options)
        self._labels, self.student = labels, student
        self.mean_teacher = copy.deepcopy(self.model).requires_grad_(False)

    def loss(self, batch: TrainingBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """L of the module docstring, and its terms by name."""
        videos = batch.videos
        own, own_terms = super().loss(batch)
        log_p = _log_probabilities(self.model.predict(videos.features, videos.mask))
        with torch.no_grad():
            said = self.mean_teacher.eval().predict(videos.features, videos.mask)
        apart = (log_p.exp() - _log_probabilities(said).exp()).square().sum(dim=-1)
        terms = {
            "pseudo": pseudo_label_loss(
                log_p, self._targets(videos), videos.mask, background=self.student.background
            ),
            "consistency": apart[videos.mask].mean(),
        }
        ramp = min(1.0, self.global_step / (_RAMP * max(1, self.trainer.max_steps)))
        loss = own + terms["pseudo"] + ramp * self.student.consistency * terms["consistency"]
        return loss, {**own_terms, "own": own, **terms}

    def on_train_batch_start(self, batch: TrainingBatch, batch_idx: int) -> None:
        super().on_train_batch_start(batch, batch_idx)
        if batch_idx % self.trainer.accumulate_grad_batches == 0:  # once a step
            self._update_mean_teacher()  # not at the end of a batch, where checkpoints are written before it

    def _update_mean_teacher(self) -> None:
        # At first the average is over fewer steps, because the student is still poor.
        kept = min(self.student.average, (1 + self.global_step) / (10 + self.global_step))
        with torch.no_grad():
            for mean, value in zip(self.mean_teacher.parameters(), self.model.parameters(), strict=True):
                mean.lerp_(value, 1 - kept)

    def take_average(self) -> None:
        """The mean teacher becomes the model, after the last step."""
        self._update_mean_teacher()
        self.model.load_state_dict(self.mean_teacher.state_dict())

    def _targets(self, videos: VideoBatch) -> Tensor:
        """(batch, time, classes) confidences."""
        length, width = videos.mask.shape[1], videos.labels.shape[1]
        rows = [self._labels[video_id].of_snippets(length, width) for video_id in videos.ids]
        return torch.stack(rows).to(videos.features)


def _log_probabilities(said: SnippetPredictions) -> Tensor:
    """(batch, time, classes + 1) of softmax([A, 0]), background last."""
    activations = said.activations
    return torch.cat([activations, torch.zeros_like(activations[..., :1])], dim=-1).log_softmax(dim=-1)


def pseudo_label_loss(log_p: Tensor, targets: Tensor, mask: Tensor, *, background: float) -> Tensor:
    """L_pseudo of the module docstring.

    Args:
        log_p: (batch, time, classes + 1), background last.
        targets: (batch, time, classes) confidence of the detection that covers a snippet; 0: none does.
        mask: (batch, time) bool.
        background: weight of the snippets without a detection.
    """
    confidence = targets.amax(dim=-1)
    shares = targets / targets.sum(dim=-1, keepdim=True).clamp_min(1e-12)  # of several classes at a time
    detected, empty = mask & (confidence > 0), mask & (confidence == 0)
    action = -(confidence * (shares * log_p[..., :-1]).sum(dim=-1))[detected]
    nothing = -background * log_p[..., -1][empty]
    means = [some.mean() for some in (action, nothing) if len(some)]
    return torch.stack(means).sum() / 2
