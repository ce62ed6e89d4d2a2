"""Detections in training videos as labels of their snippets: what a second stage learns from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tsrnet.core.progress import track
from tsrnet.datasets.batch import Sample, VideoBatch
from tsrnet.datasets.datamodule import VideoDataModule
from tsrnet.evaluation.localize_videos import localize_batch
from tsrnet.evaluation.predictions import PredictionBatch
from tsrnet.localization.rule import DetectedRuns
from tsrnet.localization.settings import LocalizationSettings
from tsrnet.training.module import TSRNetModule


@dataclass(frozen=True)
class PseudoLabels:
    """The labels of a video, (r,) each: class index, snippets [start, stop), confidence in (0, 1]."""

    label: npt.NDArray[np.int64]
    start: npt.NDArray[np.float64]
    stop: npt.NDArray[np.float64]
    confidence: npt.NDArray[np.float64]

    def of_snippets(self, length: int, num_classes: int) -> Tensor:
        """(length, num_classes): highest confidence of a detection over the middle of a snippet, or 0."""
        found = np.zeros((length, num_classes), np.float32)
        middle = np.arange(length) + 0.5
        for label, start, stop, confidence in zip(*vars(self).values(), strict=True):
            inside = (middle >= start) & (middle < stop)
            found[inside, label] = np.maximum(found[inside, label], confidence)
        return torch.from_numpy(found)


def pseudo_labels(
    modules: Mapping[str, TSRNetModule],
    data: Mapping[str, VideoDataModule],
    localization: LocalizationSettings,
) -> dict[str, PseudoLabels]:
    """Detections in all training videos, by id.

    The labels of a video are known. They replace the class probabilities, so only they are localised. The
    confidence of a detection is the share of the detections of its class, in all videos, whose score is not
    higher, because the scores of rules have any scale.

    Args:
        modules: stream -> a trained module; the streams are fused as in a test.
        data: stream -> the data that it was trained on.
        localization: the rule.
    """
    some = next(iter(data.values()))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    videos = {stream: one.training_set for stream, one in data.items()}
    for module in modules.values():
        module.to(device).eval()
    found: dict[str, DetectedRuns] = {}
    for index in track(range(len(some.training_set)), total=len(some.training_set), what="pseudo labels"):
        streams, labels = {}, torch.empty(0)
        for stream, module in modules.items():
            sample: Sample = videos[stream][index]
            labels = sample.labels
            with torch.inference_mode():
                said = module.predict_step(VideoBatch.collate([sample]).to(device))
            streams[stream] = replace(PredictionBatch.of(said), probabilities=labels.unsqueeze(0).clone())
        (result,) = localize_batch(streams, localization, grid_of=some.time_grid)
        runs = result.runs
        known = labels.numpy()[runs.label] > 0
        found[result.id] = DetectedRuns(*(column[known] for column in vars(runs).values()))
    return with_confidence(found)


def with_confidence(found: Mapping[str, DetectedRuns]) -> dict[str, PseudoLabels]:
    """Replace the score of each detection by the rank of the score within its class."""
    pairs = [(runs.label, runs.score) for runs in found.values()]
    labels, scores = (np.concatenate([*column]) for column in zip(*pairs, strict=True))
    ranked = {label: np.sort(scores[labels == label]) for label in np.unique(labels)}
    result = {}
    for video_id, runs in found.items():
        confidence = np.array(
            [
                np.searchsorted(ranked[label], score, side="right") / len(ranked[label])
                for label, score in zip(runs.label, runs.score, strict=True)
            ],
            np.float64,
        )
        result[video_id] = PseudoLabels(runs.label, runs.start, runs.stop, confidence)
    return result
