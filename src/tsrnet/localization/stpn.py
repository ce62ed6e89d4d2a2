"""STPN's rule, as in its reimplementation bellos1203/STPN.

    classes     p^c > 0.1, separately in each stream
    segments    λ_t sigmoid(A_t^c) >= 0.05, interpolated linearly between snippets; separately in each stream
    score       mean over the segment of λ_t (0.5 A_t^c + 0.5 A'_t^c), A' of the other stream
    overlaps    NMS 0.5 among the segments of both streams

λ is the model's sigmoid attention, A its class activation. A run of one stream has only λ_t A_t^c.
"""

from __future__ import annotations

from typing import Literal

from pydantic.dataclasses import dataclass

from tsrnet.core.settings import KNOWN_KEYS, Count, Share, ShareBelowOne
from tsrnet.localization.rule import DetectedRuns, Run, VideoScores, runs_of, sigmoid, upsampled
from tsrnet.localization.suppression import SuppressionSettings, suppressed


@dataclass(frozen=True, config=KNOWN_KEYS)
class STPNRule(SuppressionSettings):
    """`min_probability` of a class, `threshold` on λ sigmoid(A), `upsampling`: values per snippet."""

    name: Literal["stpn"] = "stpn"
    nms: ShareBelowOne | None = 0.5
    min_probability: Share = 0.1
    threshold: ShareBelowOne = 0.05
    upsampling: Count = 24

    def detect(self, scores: VideoScores) -> DetectedRuns:
        """The segments of a video."""
        likely = scores.probabilities > self.min_probability
        value = scores.weights * scores.activations.mean(axis=0).T[:, None]  # (classes, streams, time)
        found = []
        for label in likely.any(axis=0).nonzero()[0]:
            runs: list[Run] = []
            for stream in likely[:, label].nonzero()[0]:
                signal = scores.weights[stream] * sigmoid(scores.activations[stream, :, label])
                passed = upsampled(signal, self.upsampling) >= self.threshold
                fine = upsampled(value[label, stream], self.upsampling)
                runs += [(start, stop, float(fine[start:stop].mean())) for start, stop in runs_of(passed)]
            found += [(int(label), run) for run in suppressed(runs, self)]
        return DetectedRuns.of(found, scale=self.upsampling)
