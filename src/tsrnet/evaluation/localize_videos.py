"""Turns the predictions of the streams into the results of each test video."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tsrnet.core.errors import UserError
from tsrnet.evaluation.predictions import PredictionBatch, PredictionStore
from tsrnet.localization.rule import DetectedRuns, VideoScores
from tsrnet.localization.scores import fuse_streams, localization_attention, smooth_scores, weighted_scores
from tsrnet.localization.segments import Runs, localize, localized_classes
from tsrnet.localization.settings import LocalizationSettings
from tsrnet.video.time_grid import TimeGrid

Floats = npt.NDArray[np.float32]
_BATCH_ELEMENTS = 16_000_000
"""Snippets x classes of a batch, padded: 64 MB."""


@dataclass(frozen=True)
class VideoResult:
    """The results of one video.

    `probabilities`: stream or "fusion" -> (classes,), the fusion last. `attention`: stream -> (time,),
    mean over hops of a_i of eq. (1). Of the `top` class: `activations`, stream -> (time,), and the
    fused `score` (time,) of eq. (11). `grid` says when the snippets are.
    """

    id: str
    grid: TimeGrid
    probabilities: Mapping[str, Floats]
    attention: Mapping[str, Floats]
    top: int
    activations: Mapping[str, Floats]
    score: Floats
    runs: DetectedRuns


def fuse_probabilities(streams: Sequence[Tensor]) -> Tensor:
    """Softmax over the sum of the streams' class probabilities (D8); one stream stays as it is."""
    return torch.stack(list(streams)).sum(dim=0).softmax(dim=1) if len(streams) > 1 else streams[0]


GridOf = Callable[[str, int], TimeGrid]
"""The time grid of a video, by its id and number of snippets."""


def localize_videos(
    stores: Mapping[str, PredictionStore], settings: LocalizationSettings, *, grid_of: GridOf
) -> Iterator[VideoResult]:
    """Results of the videos, one after the other.

    `stores`: stream -> predictions, of the same videos in the same order.
    """
    some = next(iter(stores.values()))
    ids, lengths = some.ids, some.lengths
    if any((store.ids, store.lengths) != (ids, lengths) for store in stores.values()):
        raise UserError(
            f"{' and '.join(stores)}: their test videos or lengths differ; extract the features of both again"
        )
    width = len(next(some.batches([[0]])).probabilities[0]) if ids else 1
    groups = _groups(lengths, _BATCH_ELEMENTS // width)
    for batches in zip(*(store.batches(groups) for store in stores.values()), strict=True):
        yield from localize_batch(dict(zip(stores, batches, strict=True)), settings, grid_of=grid_of)


def _groups(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Group the positions in order, as long as number x longest stays below `size`."""
    groups: list[list[int]] = [[]]
    longest = 0
    for position, length in enumerate(lengths):
        longest = max(longest, length)
        if groups[-1] and (len(groups[-1]) + 1) * longest > size:
            groups.append([])
            longest = length
        groups[-1].append(position)
    return [group for group in groups if group]


def localize_batch(
    streams: Mapping[str, PredictionBatch], settings: LocalizationSettings, *, grid_of: GridOf
) -> Iterator[VideoResult]:
    """Results of the videos of a batch; arguments as for `localize_videos`."""
    each = list(streams.values())
    batch = each[0]
    probabilities = {name: one.probabilities for name, one in streams.items()}
    mean = torch.stack(list(probabilities.values())).mean(dim=0)
    if len(each) > 1:
        probabilities["fusion"] = fuse_probabilities([one.probabilities for one in each])
    top = list(probabilities.values())[-1].argmax(dim=1)
    lengths = batch.mask.sum(dim=1).tolist()
    grids = [grid_of(name, n) for name, n in zip(batch.ids, lengths, strict=True)]
    rates = torch.tensor([grid.rate_hz for grid in grids])
    attention = {
        name: localization_attention(one.logits, one.weights, batch.mask, form=settings.attention)
        for name, one in streams.items()
    }
    if settings.rule is None:
        classes = localized_classes(mean, min_probability=settings.min_probability)
        video, label = classes.nonzero(as_tuple=True)
        scores = _fused(streams, attention, video, label, settings, rates)
        runs = localize(scores, batch.mask[video], settings, rate_hz=rates[video])
        runs = replace(runs, score=runs.score * mean[video, label][runs.row] ** settings.class_power)
        found = _by_video(runs, video, label, len(batch.ids))
    else:
        found = [settings.rule.detect(_scores_of(each, row, grid.rate_hz)) for row, grid in enumerate(grids)]
    rows = torch.arange(len(batch.ids))
    top_scores = _fused(streams, attention, rows, top, settings, rates)
    top_activations = {
        name: s.activations_of(rows, top, form=settings.activation) for name, s in streams.items()
    }
    for row, video_id in enumerate(batch.ids):
        length = lengths[row]
        yield VideoResult(
            id=video_id,
            grid=grids[row],
            probabilities={name: value[row].numpy() for name, value in probabilities.items()},
            attention={name: s.weights[row, :length].mean(dim=-1).numpy() for name, s in streams.items()},
            top=int(top[row]),
            activations={name: values[row, :length].numpy() for name, values in top_activations.items()},
            score=top_scores[row, :length].numpy(),
            runs=found[row],
        )


def _fused(
    streams: Mapping[str, PredictionBatch],
    attention: Mapping[str, Tensor],
    video: Tensor,
    label: Tensor,
    settings: LocalizationSettings,
    rates: Tensor,
) -> Tensor:
    """(rows, time) scores of eq. (11) for pairs of a video and a class; for one stream those of (10)."""
    scores = {
        name: weighted_scores(
            attention[name][video], one.activations_of(video, label, form=settings.activation)
        )
        for name, one in streams.items()
    }
    one = next(iter(scores.values()))
    both = {"rgb", "flow"} <= scores.keys()
    fused = fuse_streams(scores["rgb"], scores["flow"], theta=settings.theta) if both else one
    if not settings.smoothing_s:
        return fused
    mask = next(iter(streams.values())).mask[video]
    return smooth_scores(fused, mask, width=settings.smoothing_s * rates[video])


def _scores_of(streams: Sequence[PredictionBatch], row: int, rate_hz: float) -> VideoScores:
    """The predictions of all streams for one video of their batch."""
    length = len(streams[0].activations[row])
    return VideoScores(
        np.stack([one.probabilities[row].double().numpy() for one in streams]),
        np.stack([one.weights[row, :length].double().mean(dim=-1).numpy() for one in streams]),
        np.stack([one.activations[row].astype(np.float64) for one in streams]),
        rate_hz,
    )


def _by_video(runs: Runs, video: Tensor, label: Tensor, num_videos: int) -> list[DetectedRuns]:
    """Split the runs by video. The rows are in the order of the videos, so the runs are, too."""
    ends = torch.bincount(video[runs.row], minlength=num_videos).cumsum(0).tolist()
    columns = [c.numpy() for c in (label[runs.row], runs.start.double(), runs.stop.double(), runs.score)]
    split = [np.split(column, ends[:-1]) for column in columns]
    return [DetectedRuns(*some) for some in zip(*split, strict=True)]
