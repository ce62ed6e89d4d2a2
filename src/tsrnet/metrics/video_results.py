"""Results of videos from all processes, each video once, as a torchmetrics metric."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from tsrnet.metrics.detection import Ints, Segments


@dataclass(frozen=True)
class Results:
    """Of the videos with indices `videos`, ascending: detections, and stream -> (videos, classes)."""

    videos: Ints
    detections: Segments
    probabilities: Mapping[str, npt.NDArray[np.float64]]


class VideoResults(Metric):
    """Gathers detections and class probabilities; `results` gives those of all processes.

    A distributed sampler gives some videos to two processes so that all have the same number: the
    second result of a video is left out.
    """

    full_state_update = False
    videos: list[Tensor]
    counts: list[Tensor]
    detections: list[Tensor]

    def __init__(self, streams: tuple[str, ...]) -> None:
        super().__init__()
        self.streams = streams
        for name in ("videos", "counts", "detections", *map(_state, streams)):
            self.add_state(name, [], dist_reduce_fx="cat")

    def update(self, video: int, detections: Tensor, probabilities: Mapping[str, Tensor]) -> None:
        """Add a video by its index: (n, 4) label, start_s, end_s, score, and stream -> (classes,)."""
        self.videos.append(torch.tensor([video], device=self.device))
        self.counts.append(torch.tensor([len(detections)], device=self.device))
        self.detections.append(detections.double().to(self.device))
        for stream in self.streams:
            getattr(self, _state(stream)).append(probabilities[stream].double().to(self.device)[None])

    def compute(self) -> dict[str, npt.NDArray[Any]]:
        """The states of all processes, one after the other; `results` makes sense of them."""
        names = ("videos", "counts", "detections", *map(_state, self.streams))
        return {name: dim_zero_cat(getattr(self, name)).cpu().numpy() for name in names}

    def results(self) -> Results:
        """The results of all processes, each video once."""
        if not self.videos:
            return Results(np.empty(0, np.int64), Segments.of([]), {})
        gathered = self.compute()
        videos, first = np.unique(gathered["videos"], return_index=True)
        owner = np.repeat(np.arange(len(gathered["videos"])), gathered["counts"])
        kept = np.isin(owner, first)
        rows, owner = gathered["detections"][kept], owner[kept]
        order = np.argsort(gathered["videos"][owner], kind="stable")
        rows, video = rows[order], gathered["videos"][owner][order]
        return Results(
            videos,
            Segments(video, rows[:, 0].astype(np.int64), rows[:, 1], rows[:, 2], rows[:, 3]),
            {stream: gathered[_state(stream)][first] for stream in self.streams},
        )


def _state(stream: str) -> str:
    return f"probabilities_{stream}"
