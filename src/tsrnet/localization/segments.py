"""From scores of snippets to segments, for many videos and classes at once.

A row is one class of one video. Times are in snippets here; eq. (12) converts them to seconds later.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from tsrnet.localization.settings import LocalizationSettings
from tsrnet.localization.suppression import soft_nms


@dataclass(frozen=True)
class Runs:
    """Runs of snippets, all (r,): row of the scores, first snippet, one past the last, score."""

    row: Tensor
    start: Tensor
    stop: Tensor
    score: Tensor

    def __getitem__(self, kept: Tensor) -> Runs:
        return Runs(*(column[kept] for column in vars(self).values()))


def localized_classes(probabilities: Tensor, *, min_probability: float) -> Tensor:
    """(batch, classes) bool: the top class and every class of at least `min_probability` (D9)."""
    top = torch.zeros_like(probabilities, dtype=torch.bool)
    top.scatter_(1, probabilities.argmax(dim=1, keepdim=True), True)
    return top | (probabilities >= min_probability)


def localize(scores: Tensor, mask: Tensor, settings: LocalizationSettings, *, rate_hz: Tensor) -> Runs:
    """Segments of every row, ordered by row, then by start.

    Args:
        scores: (rows, time) fused scores of eq. (11).
        mask: (rows, time) bool, real snippets, which come first.
        settings: the constants.
        rate_hz: (rows,) snippets a second.
    """
    found = []
    for threshold in settings.thresholds:
        row, start, stop = find_runs(scores, mask, threshold=threshold)
        row, start, stop = fill_gaps(row, start, stop, max_gap=settings.max_gap_s * rate_hz)
        found.append(Runs(row, start, stop, score_runs(scores, mask, row, start, stop, form=settings.score)))
    columns = zip(*(vars(runs).values() for runs in found), strict=True)
    runs = Runs(*(torch.cat(column) for column in columns))
    runs = runs[runs.stop - runs.start >= settings.min_duration_s * rate_hz[runs.row]]
    if settings.nms is not None:
        runs = suppress(runs, tiou=settings.nms)
    if settings.soft_nms is not None:
        runs = soften(runs, sigma=settings.soft_nms)
    return runs[torch.argsort(runs.row * (scores.shape[1] + 1) + runs.start, stable=True)]


def find_runs(scores: Tensor, mask: Tensor, *, threshold: float) -> tuple[Tensor, Tensor, Tensor]:
    """(row, start, stop) of the maximal runs of snippets above the threshold, by row and start."""
    passed = (scores > threshold) & mask
    edge = passed.new_zeros(len(passed), 1)
    change = torch.diff(torch.cat([edge, passed, edge], dim=1).to(torch.int8), dim=1)
    row, start = (change == 1).nonzero(as_tuple=True)
    return row, start, (change == -1).nonzero(as_tuple=True)[1]


def fill_gaps(row: Tensor, start: Tensor, stop: Tensor, *, max_gap: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Join runs of a row that are at most max_gap[row] snippets apart."""
    if not len(row):
        return row, start, stop
    near = (row[1:] == row[:-1]) & (start[1:] - stop[:-1] <= max_gap[row[1:]])
    first = torch.cat([near.new_ones(1), ~near])
    last = torch.cat([~near, near.new_ones(1)])
    return row[first], start[first], stop[last]


def score_runs(
    scores: Tensor, mask: Tensor, row: Tensor, start: Tensor, stop: Tensor, *, form: str
) -> Tensor:
    """(r,) scores of runs; `form` as in LocalizationSettings."""
    if form == "max":
        lengths = stop - start
        run = torch.repeat_interleave(torch.arange(len(row), device=row.device), lengths)
        within = torch.arange(len(run), device=row.device) - (lengths.cumsum(0) - lengths)[run]
        inside = scores[row[run], start[run] + within]
        return scores.new_zeros(len(row)).scatter_reduce(0, run, inside, "amax", include_self=False)
    # float64, because the mean of a short run is a difference of two sums over a long video.
    sums = torch.nn.functional.pad(scores.where(mask, 0.0).double().cumsum(dim=1), (1, 0))
    inside = sums[row, stop] - sums[row, start]
    mean = inside / (stop - start)
    if form == "mean":
        return mean.to(scores.dtype)
    margin = ((stop - start + 3) // 4).clamp_min(1)
    before, after = (start - margin).clamp_min(0), torch.minimum(stop + margin, mask.sum(dim=1)[row])
    outside = sums[row, after] - sums[row, before] - inside
    around = (after - before) - (stop - start)
    return (mean - outside / around.clamp_min(1)).to(scores.dtype)


def suppress(runs: Runs, *, tiou: float) -> Runs:
    """Keep only the better one of two runs of a row that overlap by more than `tiou`."""
    boxes = torch.stack([runs.start, runs.row * 0, runs.stop, runs.row * 0 + 1], dim=1)
    return runs[batched_nms(boxes.double(), runs.score.double(), runs.row, tiou)]


def soften(runs: Runs, *, sigma: float) -> Runs:
    """Lower the score of the worse one of two runs of a row that overlap: soft-NMS."""
    columns = []
    for row in torch.unique(runs.row):
        some = runs[runs.row == row]
        spans = torch.stack([some.start, some.stop, some.score], dim=1).tolist()
        kept = torch.tensor(soft_nms(spans, sigma=sigma), dtype=torch.float64)
        columns.append(torch.cat([row.expand(len(kept), 1), kept], dim=1))
    if not columns:
        return runs
    row, start, stop, score = torch.cat(columns).unbind(dim=1)
    return Runs(row.long(), start.long(), stop.long(), score.to(runs.score.dtype))
