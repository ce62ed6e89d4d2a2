"""Batches: features, mask and labels travel together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Sample:
    """One video: its id, features (time, d), float16 or float32 as stored, and labels (classes,) 0 or 1."""

    id: str
    features: Tensor
    labels: Tensor


@dataclass(frozen=True)
class VideoBatch:
    """Videos padded to the longest.

    `features` (batch, time, d), `mask` (batch, time) True for real snippets, `labels` (batch, classes).
    Features keep their stored type until `to` converts them to float32 on the device.
    """

    ids: tuple[str, ...]
    features: Tensor
    mask: Tensor
    labels: Tensor

    @classmethod
    def collate(cls, samples: Sequence[Sample]) -> VideoBatch:
        lengths = torch.tensor([len(sample.features) for sample in samples])
        videos = [sample.features for sample in samples]
        if len({video.dtype for video in videos}) > 1:
            videos = [video.float() for video in videos]
        shape = (len(videos), int(lengths.max()), *videos[0].shape[1:])
        # NumPy's zeros take memory only where they are written or read, and half of a batch is padding.
        features = torch.from_numpy(np.zeros(shape, videos[0].numpy().dtype))
        for row, video in zip(features, videos, strict=True):
            row[: len(video)] = video
        return cls(
            ids=tuple(sample.id for sample in samples),
            features=features,
            mask=torch.arange(features.shape[1]) < lengths.unsqueeze(1),
            labels=torch.stack([sample.labels for sample in samples]),
        )

    def to(self, device: torch.device | str, non_blocking: bool = False) -> VideoBatch:
        return VideoBatch(
            self.ids,
            self.features.to(device, non_blocking=non_blocking).float(),
            self.mask.to(device, non_blocking=non_blocking),
            self.labels.to(device, non_blocking=non_blocking),
        )


@dataclass(frozen=True)
class TrainingBatch:
    """Videos to train on and, for some of them, a trimmed clip of the same class (D11).

    `paired` (pairs,): the rows of `videos` that the rows of `trimmed` are paired with.
    """

    videos: VideoBatch
    trimmed: VideoBatch | None
    paired: Tensor

    @classmethod
    def collate(cls, samples: Sequence[tuple[Sample, Sample | None]]) -> TrainingBatch:
        paired = [row for row, (_, clip) in enumerate(samples) if clip is not None]
        clips = [clip for _, clip in samples if clip is not None]
        return cls(
            VideoBatch.collate([video for video, _ in samples]),
            VideoBatch.collate(clips) if clips else None,
            torch.tensor(paired, dtype=torch.long),
        )

    def to(self, device: torch.device | str, non_blocking: bool = False) -> TrainingBatch:
        return TrainingBatch(
            self.videos.to(device, non_blocking),
            self.trimmed.to(device, non_blocking) if self.trimmed is not None else None,
            self.paired.to(device, non_blocking=non_blocking),
        )
