"""BaS-Net's rule, as in its released code.

    classes     p^c >= 0.25
    scores      A' of the suppression branch, scaled by max(0, min) and max(0, max) over the video,
                interpolated linearly between snippets
    segments    the scaled score > 0 and >= each of 0, 0.025, ..., 0.225
    score       mean inside - mean of a quarter of the length on both sides + 0.2, where what is below the
                threshold counts as 0
    overlaps    NMS 0.7 of each class; a segment is a second longer in its tIoU

A run of two streams takes the mean of their activations and probabilities; the authors feed both into one
network (`stream=joint`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from tsrnet.core.settings import KNOWN_KEYS, Count, NonNegative, Share, ShareBelowOne
from tsrnet.localization.rule import DetectedRuns, Run, VideoScores, contrast, runs_of, upsampled
from tsrnet.localization.suppression import SuppressionSettings, suppressed


@dataclass(frozen=True, config=KNOWN_KEYS)
class BaSNetRule(SuppressionSettings):
    """`min_probability` of a class, `thresholds` on the scaled activation, `upsampling`: values per snippet;
    `bonus`: added to every score.
    """

    name: Literal["basnet"] = "basnet"
    nms: ShareBelowOne | None = 0.7
    min_probability: Share = 0.25
    thresholds: Annotated[tuple[ShareBelowOne, ...], Field(min_length=1)] = tuple(
        round(0.025 * step, 3) for step in range(10)
    )
    upsampling: Count = 24
    bonus: NonNegative = 0.2

    def detect(self, scores: VideoScores) -> DetectedRuns:
        """The segments of a video."""
        probabilities = scores.probabilities.mean(axis=0)
        found = []
        for label in (probabilities >= self.min_probability).nonzero()[0]:
            values = scores.activations[..., label].mean(axis=0)
            low, high = max(0.0, values.min()), max(0.0, values.max())
            fine = upsampled((values - low) / ((high - low) or 1.0), self.upsampling)
            runs: list[Run] = []
            for threshold in self.thresholds:
                kept = fine * (fine >= threshold)
                spans = runs_of(kept > 0)
                runs += [(start, stop, contrast(kept, start, stop) + self.bonus) for start, stop in spans]
            second = scores.rate_hz * self.upsampling
            found += [(int(label), run) for run in suppressed(runs, self, extra=second)]
        return DetectedRuns.of(found, scale=self.upsampling)
