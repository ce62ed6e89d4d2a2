"""UntrimmedNet's rule, as in its released detection script.

    classes     p^c > 0.1, mean of the streams
    scores      f_t = mean of the streams' class probabilities of snippet t, and of it and the next one
    segments    f_t > half of the video's largest
    score       mean of f_t over the segment + 0.2 p^c

The class probability of a snippet is the sigmoid of the activation, which is the softmax over classes for
`model=untrimmednet`. The attention is not used.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic.dataclasses import dataclass

from tsrnet.core.settings import KNOWN_KEYS, NonNegative, Share, ShareBelowOne
from tsrnet.localization.rule import DetectedRuns, VideoScores, runs_of, sigmoid


@dataclass(frozen=True, config=KNOWN_KEYS)
class UntrimmedNetRule:
    """`min_probability` of a class; `threshold`: share of the largest score; `class_weight` of p."""

    name: Literal["untrimmednet"] = "untrimmednet"
    min_probability: Share = 0.1
    threshold: ShareBelowOne = 0.5
    class_weight: NonNegative = 0.2

    def detect(self, scores: VideoScores) -> DetectedRuns:
        """The segments of a video."""
        probabilities = scores.probabilities.mean(axis=0)
        found = []
        for label in (probabilities > self.min_probability).nonzero()[0]:
            frames = sigmoid(scores.activations[..., label]).mean(axis=0)
            frames = (frames + np.append(frames[1:], frames[-1])) / 2
            bonus = self.class_weight * probabilities[label]
            found += [
                (int(label), (float(start), float(stop), float(frames[start:stop].mean() + bonus)))
                for start, stop in runs_of(frames > self.threshold * frames.max())
            ]
        return DetectedRuns.of(found)
