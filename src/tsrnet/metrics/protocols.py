"""Named protocols: how detections are scored, and on which videos."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from math import inf
from typing import Any

import numpy as np

from tsrnet.metrics.detection import Floats, Segments, match
from tsrnet.metrics.diagnosis import Diagnosis, diagnose
from tsrnet.metrics.recall import average_recall
from tsrnet.metrics.thumos14 import thumos14_average_precisions
from tsrnet.metrics.ties import tie_sensitivity

NONE = Segments.of([])


@dataclass(frozen=True)
class Protocol:
    """A rule for matching detections, its tIoU thresholds, and the test videos.

    `subset`: the test subset, if a file has several. `test_list`: one of THUMOS14's lists. `toolkit`: the
    rule of THUMOS14's own evaluation, which uses ambiguous segments. `num_videos`: the number of videos, if
    the user gives their list. `size_bounds`: of lengths and coverages in an error analysis, as DETAD's.
    """

    name: str
    thresholds: tuple[float, ...]
    subset: str
    test_list: str | None = None
    toolkit: Callable[..., dict[int, Floats]] | None = None
    num_videos: int | None = None
    size_bounds: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def detection_metrics(
        self,
        detections: Segments,
        truth: Segments,
        classes: tuple[str, ...],
        ambiguous: Segments = NONE,
    ) -> dict[str, Any]:
        """mAP per threshold, the mean over thresholds, and AP per class and threshold, as fractions.

        "average_recall": of the 10, 50 and 100 best detections of each video (`metrics.recall`).
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
            "average_recall": average_recall(detections, truth),
            "AP": {classes[label]: self._by_threshold(values) for label, values in by_class.items()},
        }

    def diagnosis(self, detections: Segments, truth: Segments, durations_s: Floats) -> Diagnosis:
        """The errors of detections by ActivityNet's rule for matching, as DETAD has it: at the thresholds of
        ActivityNet, or else at 0.5. `durations_s`: (videos,), NaN where unknown."""
        thresholds = self.thresholds if min(self.thresholds) >= 0.5 else (0.5,)
        return diagnose(detections, truth, durations_s, thresholds=thresholds, bounds=self.size_bounds)

    def _by_threshold(self, values: Floats) -> dict[str, float]:
        return {f"{t:.2f}": float(value) for t, value in zip(self.thresholds, values, strict=True)}


_toolkit = partial(partial, thumos14_average_precisions)
_TENTHS = tuple(round(0.1 * i, 1) for i in range(1, 10))
_ACTIVITYNET = Protocol(
    "activitynet",
    tuple(np.linspace(0.5, 0.95, 10).tolist()),
    "validation",
    size_bounds={"length": (0, 30, 60, 120, 180, inf), "coverage": (0, 0.2, 0.4, 0.6, 0.8, 1)},
)
_THUMOS14 = Protocol(
    "thumos14-213",
    _TENTHS,
    "test",
    test_list="213",
    size_bounds={"length": (0, 3, 6, 12, 18, inf), "coverage": (0, 0.02, 0.04, 0.06, 0.08, 1)},
)
PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("demo", _TENTHS, "test"),
        Protocol("tenths", _TENTHS, "test"),
        _ACTIVITYNET,
        replace(_ACTIVITYNET, name="activitynet-4728", num_videos=4728),
        *(replace(_THUMOS14, name=f"thumos14-{n}", test_list=n) for n in ("210", "211", "212", "213")),
        replace(_THUMOS14, name="thumos14-2015", toolkit=_toolkit(eleven_points=False)),
        replace(_THUMOS14, name="thumos14-2014", toolkit=_toolkit(eleven_points=True)),
    )
}
