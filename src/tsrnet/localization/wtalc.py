"""W-TALC's rule, as in its released code.

    classes     s^c > 0, the mean of the n / 8 highest activations
    segments    A_t^c > max - 0.5 (max - min) over the video, at least 2 snippets
    score       largest A_t^c in the segment + 0.7 s^c

A run of two streams takes the mean of their activations; the authors feed both into one network
(`stream=joint`). The release has a smoothing filter for A, but turns it off, so this file has none.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic.dataclasses import dataclass

from tsrnet.core.settings import KNOWN_KEYS, Count, NonNegative, ShareBelowOne
from tsrnet.localization.rule import DetectedRuns, VideoScores, runs_of


@dataclass(frozen=True, config=KNOWN_KEYS)
class WTALCRule:
    """`threshold`: share of the range below the largest activation; `min_snippets` of a segment;
    `pool_divisor`: s is the mean of n / this; `class_weight` of s in the score.
    """

    name: Literal["wtalc"] = "wtalc"
    threshold: ShareBelowOne = 0.5
    min_snippets: Count = 2
    pool_divisor: Count = 8
    class_weight: NonNegative = 0.7

    def detect(self, scores: VideoScores) -> DetectedRuns:
        """The segments of a video."""
        activations = scores.activations.mean(axis=0)  # (time, classes)
        best = max(1, len(activations) // self.pool_divisor)
        pooled = np.sort(activations, axis=0)[-best:].mean(axis=0)
        found = []
        for label in (pooled > 0).nonzero()[0]:
            values, bonus = activations[:, label], self.class_weight * pooled[label]
            bound = values.max() - self.threshold * (values.max() - values.min())
            found += [
                (int(label), (float(start), float(stop), float(values[start:stop].max() + bonus)))
                for start, stop in runs_of(values > bound)
                if stop - start >= self.min_snippets
            ]
        return DetectedRuns.of(found)
