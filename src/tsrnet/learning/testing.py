"""Runs trained networks over the test videos: recognition, detections, what a timeline shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from tsrnet.datasets.batch import Sample, VideoBatch
from tsrnet.localization.scores import fuse_streams, localization_attention, weighted_scores
from tsrnet.localization.segments import LocalizationSettings, find_runs, localized_classes
from tsrnet.network.network import Network

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class StreamScores:
    """One stream's view of a batch of videos.

    `probabilities` (batch, classes), `attention` (batch, time) mean over hops of a_i of eq. (1),
    `activations` (batch, time, classes) v_c^T x_i, `scores` w_i^c of eq. (10).
    """

    probabilities: Tensor
    attention: Tensor
    activations: Tensor
    scores: Tensor


@dataclass(frozen=True)
class DetectedRun:
    """A detection on the snippet grid: class index, snippets [start, stop), score in [0, 1]."""

    label: int
    start: int
    stop: int
    score: float


@dataclass(frozen=True)
class VideoResult:
    """All that is reported of one video.

    `probabilities`: stream or "fusion" -> (classes,), the fusion last. `attention`: stream ->
    (time,). `activations`: stream -> (time, classes). `scores` (time, classes), fused, eq. (11).
    """

    id: str
    probabilities: Mapping[str, Floats]
    attention: Mapping[str, Floats]
    activations: Mapping[str, Floats]
    scores: Floats
    runs: tuple[DetectedRun, ...]


@torch.inference_mode()
def stream_scores(network: Network, batch: VideoBatch, settings: LocalizationSettings) -> StreamScores:
    """What one stream says of a batch; the network must be in eval mode."""
    output = network(batch.features, batch.mask)
    activations = network.class_activations(batch.features)
    attention = localization_attention(
        output.attention_logits, output.attention, batch.mask, form=settings.attention
    )
    return StreamScores(
        probabilities=output.logits.softmax(dim=1),
        attention=output.attention.mean(dim=-1),
        activations=activations,
        scores=weighted_scores(attention, activations),
    )


def fuse_probabilities(streams: Sequence[Tensor]) -> Tensor:
    """Softmax over the sum of the streams' class probabilities (D8); one stream stays as it is."""
    return torch.stack(list(streams)).sum(dim=0).softmax(dim=1) if len(streams) > 1 else streams[0]


def run_test(
    networks: Mapping[str, Network],
    loaders: Mapping[str, DataLoader[Sample]],
    settings: LocalizationSettings,
    *,
    device: torch.device,
) -> Iterator[VideoResult]:
    """Results of the test videos, one after the other; streams are read side by side.

    Args:
        networks, loaders: stream -> trained network, test batches in the same order.
        settings: constants of the localisation.
        device: where to compute.
    """
    for network in networks.values():
        network.eval().to(device)
    for batches in zip(*loaders.values(), strict=True):
        by_stream = {stream: batch.to(device) for stream, batch in zip(loaders, batches, strict=True)}
        results = {
            stream: stream_scores(networks[stream], batch, settings) for stream, batch in by_stream.items()
        }
        batch = next(iter(by_stream.values()))
        yield from _results(batch, results, settings)


def _results(
    batch: VideoBatch, streams: Mapping[str, StreamScores], settings: LocalizationSettings
) -> Iterator[VideoResult]:
    each = list(streams.values())
    probability = torch.stack([scores.probabilities for scores in each]).mean(dim=0)
    if {"rgb", "flow"} <= streams.keys():
        fused = fuse_streams(streams["rgb"].scores, streams["flow"].scores, theta=settings.theta)
    else:
        fused = each[0].scores
    classes = localized_classes(probability, min_probability=settings.min_probability)
    runs = find_runs(fused, batch.mask, classes, threshold=settings.threshold)
    probabilities = {name: scores.probabilities for name, scores in streams.items()}
    if len(each) > 1:
        probabilities["fusion"] = fuse_probabilities([s.probabilities for s in each])
    rows = list(zip(*(column.tolist() for column in vars(runs).values()), strict=True))
    for row, video_id in enumerate(batch.ids):
        length = int(batch.mask[row].sum())
        yield VideoResult(
            id=video_id,
            probabilities={name: value[row].cpu().numpy() for name, value in probabilities.items()},
            attention={name: s.attention[row, :length].cpu().numpy() for name, s in streams.items()},
            activations={name: s.activations[row, :length].cpu().numpy() for name, s in streams.items()},
            scores=fused[row, :length].cpu().numpy(),
            runs=tuple(DetectedRun(*run) for video, *run in rows if video == row),
        )
