"""The constants of the localisation, checked."""

from __future__ import annotations

from dataclasses import dataclass

ATTENTION_FORMS = ("standardized", "max", "raw", "none")
SCORES = ("mean", "max", "contrast")


@dataclass(frozen=True)
class LocalizationSettings:
    """θ of eq. (11), the paper's threshold, D5's and D9's choices; then what goes beyond the paper.

    `threshold`: one, or several whose segments compete by `nms`: of two of a class that overlap by more
    than this tIoU the one with the lower score goes. `max_gap_s`: gaps up to this length are filled.
    `min_duration_s`: shorter segments go. `score` of a segment: "mean" or "max" of its snippets, or
    "contrast", the mean minus that of its surroundings, a quarter of its length on each side; times the
    probability of its class in the video to the power of `class_power`. `smoothing_s`: width of a moving
    mean over the scores of the snippets.
    """

    theta: float = 0.5
    threshold: float | tuple[float, ...] = 0.2
    attention: str = "standardized"
    min_probability: float = 0.1
    nms: float | None = None
    max_gap_s: float = 0.0
    min_duration_s: float = 0.0
    score: str = "mean"
    class_power: float = 0.0
    smoothing_s: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.theta <= 1:
            raise ValueError(f"localization.theta: got {self.theta}, need a number in [0, 1]")
        if not self.thresholds or not all(0 < value < 1 for value in self.thresholds):
            raise ValueError(
                f"localization.threshold: got {self.threshold}, need a number in (0, 1) or a list of some"
            )
        if self.attention not in ATTENTION_FORMS:
            raise ValueError(
                f"localization.attention: got {self.attention}, need one of {', '.join(ATTENTION_FORMS)}"
            )
        if not 0 <= self.min_probability <= 1:
            raise ValueError(
                f"localization.min_probability: got {self.min_probability}, need a number in [0, 1]"
            )
        if self.nms is not None and not 0 <= self.nms < 1:
            raise ValueError(f"localization.nms: got {self.nms}, need null or a tIoU in [0, 1)")
        if self.nms is None and len(self.thresholds) > 1:
            raise ValueError(
                "localization.nms: got null, need a tIoU with several thresholds, whose segments overlap"
            )
        if min(self.max_gap_s, self.min_duration_s, self.smoothing_s) < 0:
            raise ValueError("localization.max_gap_s, min_duration_s, smoothing_s: need 0 or more seconds")
        if self.class_power < 0:
            raise ValueError(f"localization.class_power: got {self.class_power}, need a number >= 0")
        if self.score not in SCORES:
            raise ValueError(f"localization.score: got {self.score}, need one of {', '.join(SCORES)}")

    @property
    def thresholds(self) -> tuple[float, ...]:
        return self.threshold if isinstance(self.threshold, tuple) else (self.threshold,)
