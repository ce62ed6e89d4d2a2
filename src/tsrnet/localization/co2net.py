"""CO2-Net's rule, as in its released code; DELU, PVLR and SAL have it with other thresholds.

    classes     p^c >= 0.2, or the best class
    segments    attention a_t > each of 0.1, ..., 0.9 (ten of them), the same for all classes
    score       mean inside - mean of a quarter of the length on both sides, of a_t A_t^c, + 0.2 p^c
    overlaps    soft-NMS of each class, σ = 0.3; a segment is a snippet longer in its tIoU

p is the softmax over actions and background of the mean of the n / 10 highest a_t A_t^c: what
`model=co2net` predicts. A run of two streams takes means over them.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from tsrnet.core.settings import KNOWN_KEYS, NonNegative, Positive, Share, ShareBelowOne
from tsrnet.localization.rule import DetectedRuns, Run, VideoScores, contrast, runs_of
from tsrnet.localization.suppression import SuppressionSettings, suppressed


@dataclass(frozen=True, config=KNOWN_KEYS)
class CO2NetRule(SuppressionSettings):
    """`min_probability` of a class, `thresholds` on the attention, `class_weight` of p in the score."""

    name: Literal["co2net"] = "co2net"
    soft_nms: Positive | None = 0.3
    min_probability: Share = 0.2
    thresholds: Annotated[tuple[ShareBelowOne, ...], Field(min_length=1)] = tuple(
        round(0.1 + 0.8 * step / 9, 4) for step in range(10)
    )
    class_weight: NonNegative = 0.2

    def detect(self, scores: VideoScores) -> DetectedRuns:
        """The segments of a video."""
        probabilities, attention = scores.probabilities.mean(axis=0), scores.weights.mean(axis=0)
        likely = (probabilities >= self.min_probability).nonzero()[0]
        spans = [span for threshold in self.thresholds for span in runs_of(attention > threshold)]
        found = []
        for label in likely if len(likely) else [probabilities.argmax()]:
            values = attention * scores.activations[..., label].mean(axis=0)
            bonus = float(self.class_weight * probabilities[label])
            runs: list[Run] = [(start, stop, contrast(values, start, stop) + bonus) for start, stop in spans]
            found += [(int(label), run) for run in suppressed(runs, self, extra=1.0)]
        return DetectedRuns.of(found)
