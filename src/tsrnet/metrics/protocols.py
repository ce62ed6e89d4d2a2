"""Named protocols: how detections are scored, and on which videos."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from tsrnet.metrics.detection import (
    Floats,
    Segments,
    match,
)
from tsrnet.metrics.thumos14 import thumos14_average_precisions
from tsrnet.metrics.ties import tie_sensitivity

NONE = Segments.of([])


@dataclass(frozen=True)
class Protocol:
    """A rule for matching detections, its tIoU thresholds, and the test videos.

    `subset`: the test subset, if a file has several. `test_list`: one of THUMOS14's lists. `toolkit`: the
    rule of THUMOS14's own evaluation, which uses ambiguous segments. `num_videos`: the number of videos, if
    the user gives their list.
    """

    name: str
    thresholds: tuple[float, ...]
    subset: str
    test_list: str | None = None
    toolkit: Callable[..., dict[int, Floats]] | None = None
    num_videos: int | None = None

    def detection_metrics(
        self,
        detections: Segments,
        truth: Segments,
        classes: tuple[str, ...],
        ambiguous: Segments = NONE,
    ) -> dict[str, Any]:
        """mAP per threshold, the mean over thresholds, and AP per class and threshold, as fractions.

        "tie_sensitivity": a bound on how far any order of ties could move the mAP at each threshold; not of
        the toolkits, which define an order.
        """
        thresholds = np.array(self.thresholds)
        sensitivity = {}
        if self.toolkit:
            by_class = self.toolkit(detections, truth, thresholds, ambiguous)
        else:
            matches = match(detections, truth, thresholds)
            by_class = matches.average_precisions()
            found = tie_sensitivity(matches, truth, thresholds)
            sensitivity = {"tie_sensitivity": self._by_threshold(found)}
        mean = np.mean(list(by_class.values()), axis=0)
        return {
            "mAP": self._by_threshold(mean),
            "average_mAP": float(mean.mean()),
            **sensitivity,
            "AP": {classes[label]: self._by_threshold(values) for label, values in by_class.items()},
        }

    def _by_threshold(self, values: Floats) -> dict[str, float]:
        return {f"{t:.2f}": float(value) for t, value in zip(self.thresholds, values, strict=True)}


_TENTHS = tuple(round(0.1 * i, 1) for i in range(1, 10))
_FROM_A_HALF = tuple(np.linspace(0.5, 0.95, 10).tolist())
PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("demo", _TENTHS, "test"),
        Protocol("tenths", _TENTHS, "test"),
        Protocol("activitynet", _FROM_A_HALF, "validation"),
        Protocol("activitynet-4728", _FROM_A_HALF, "validation", num_videos=4728),
        *(Protocol(f"thumos14-{number}", _TENTHS, "test", number) for number in ("210", "211", "212", "213")),
        *(
            Protocol(
                f"thumos14-{year}",
                _TENTHS,
                "test",
                "213",
                partial(thumos14_average_precisions, eleven_points=year == "2014"),
            )
            for year in ("2015", "2014")
        ),
    )
}
