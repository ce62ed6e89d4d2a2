"""Annotations drawn from published statistics of a dataset, for a simulation without the real ones."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from tsrnet.core.errors import UserError
from tsrnet.datasets.records import Segment, VideoDataset, VideoRecord
from tsrnet.synthetic.factors import seeded_rng
from tsrnet.synthetic.simulated import CLIP_S


@dataclass(frozen=True)
class Statistics:
    """Published statistics of a dataset: enough to draw similar annotations.

    `train_videos`, `test_videos`: videos of each class (of its commonest class, for a video of
    several). `mean_segments`: segments per video. `covered`: part of all time that lies in segments.
    `durations_s`: (mean, median) of the videos; None for trimmed clips, which have no segments.
    """

    classes: tuple[str, ...]
    train_videos: tuple[int, ...]
    test_videos: tuple[int, ...]
    mean_segments: float
    covered: float
    durations_s: tuple[float, float] | None


def published_statistics(name: str) -> Statistics:
    """The statistics of thumos14, activitynet or ucf101 (split 1); UserError for another name."""
    known = json.loads(
        resources.files("tsrnet.synthetic").joinpath("data/statistics.json").read_text(encoding="utf-8")
    )
    if name not in known:
        raise UserError(
            f"dataset.name: got {name}, need one of {', '.join(sorted(known))} to draw annotations"
        )
    fields: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in known[name].items()
    }
    return Statistics(**fields)


def drawn_collection(name: str, *, seed: int, statistics: Statistics) -> VideoDataset:
    """Videos without files, with one class each and segments that do not overlap.

    Subsets are "training" and "testing", ids `<name>_<subset>_<number>`; the folder of the videos
    does not exist.
    """
    subsets = {}
    for subset, counts in (("training", statistics.train_videos), ("testing", statistics.test_videos)):
        rng = seeded_rng(seed, "annotations", name, subset)
        labels = [c for c, count in zip(statistics.classes, counts, strict=True) for _ in range(count)]
        subsets[subset] = tuple(
            _drawn_record(rng, f"{name}_{subset}_{number:05d}", subset, label, statistics)
            for number, label in enumerate(labels)
        )
    return VideoDataset(
        name,
        statistics.classes,
        subsets["training"],
        subsets["testing"],
        Path("no_videos_of_a_simulation"),
        remarks=(f"SIMULATED: the annotations of {name} are drawn from published statistics, seed {seed}.",),
    )


def _drawn_record(
    rng: np.random.Generator, video_id: str, subset: str, label: str, statistics: Statistics
) -> VideoRecord:
    if statistics.durations_s is None:
        return VideoRecord(video_id, subset, round(float(rng.uniform(*CLIP_S)), 2), (label,), ())
    mean_s, median_s = statistics.durations_s
    spread = np.sqrt(2 * np.log(mean_s / median_s))  # of a log-normal distribution
    duration_s = round(max(5.0, float(rng.lognormal(np.log(median_s), spread))), 2)
    covered = min(max(rng.beta(2 * statistics.covered, 2 - 2 * statistics.covered), 0.02), 0.98)
    # more segments rather than longer ones where a video is long or much of it is covered
    plenty = duration_s / mean_s * covered / statistics.covered
    count = 1 + int(rng.poisson((statistics.mean_segments - 1) * plenty))
    lengths_s = rng.dirichlet(np.full(count, 3.0)) * covered * duration_s
    gaps_s = rng.dirichlet(np.ones(count + 1)) * (1 - covered) * duration_s
    starts_s = np.cumsum(gaps_s[:-1]) + np.cumsum(lengths_s) - lengths_s
    segments = tuple(
        Segment(round(float(start), 2), round(float(start + length), 2), label)
        for start, length in zip(starts_s, lengths_s, strict=True)
        if length >= 0.1
    )
    return VideoRecord(video_id, subset, duration_s, (label,), segments)
