"""Named protocols: the rule and the thresholds that a reported figure stands for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tsrnet.metrics.detection import Segments, class_average_precisions


@dataclass(frozen=True)
class Protocol:
    """ActivityNet's matching rule at these tIoU thresholds."""

    name: str
    thresholds: tuple[float, ...]

    def detection_figures(
        self, detections: Segments, truth: Segments, classes: tuple[str, ...]
    ) -> dict[str, object]:
        """mAP per threshold, its mean over thresholds, AP per class at 0.50; fractions."""
        thresholds = np.array(self.thresholds)
        by_class = class_average_precisions(detections, truth, thresholds)
        mean = np.mean(list(by_class.values()), axis=0)
        half = int(np.argmin(np.abs(thresholds - 0.5)))
        return {
            "mAP": {f"{t:.2f}": float(value) for t, value in zip(self.thresholds, mean, strict=True)},
            "average_mAP": float(mean.mean()),
            f"AP@{self.thresholds[half]:.2f}": {
                classes[label]: float(values[half]) for label, values in by_class.items()
            },
        }


_TENTHS = tuple(round(0.1 * i, 1) for i in range(1, 10))
PROTOCOLS = {
    "demo": Protocol("demo", _TENTHS),
    **{name: Protocol(name, _TENTHS) for name in ("thumos14-210", "thumos14-212", "thumos14-213")},
    "activitynet": Protocol("activitynet", tuple(round(0.5 + 0.05 * i, 2) for i in range(10))),
}
