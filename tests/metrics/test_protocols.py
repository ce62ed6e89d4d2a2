"""Named protocols: thresholds and the figures that they report."""

from __future__ import annotations

import numpy as np
import pytest

from tsrnet.metrics.detection import Segments
from tsrnet.metrics.protocols import PROTOCOLS

CLASSES = ("Jump", "Run", "Throw")
TRUTH = Segments.of(
    [(0, 0, 0.0, 10.0, 0.0), (0, 2, 20.0, 30.0, 0.0), (1, 2, 0.0, 10.0, 0.0)],
)


def test_thresholds_of_the_protocols() -> None:
    """activitynet: 0.50:0.05:0.95 to the bit as the official evaluator. demo: 0.1:0.1:0.9 as decimals."""
    official = tuple(np.linspace(0.5, 0.95, 10).tolist())
    assert PROTOCOLS["activitynet"].thresholds == PROTOCOLS["activitynet-4728"].thresholds == official
    decimals = {name: " ".join(map(repr, p.thresholds)) for name, p in PROTOCOLS.items()}
    assert decimals["thumos14-211"] == decimals["thumos14-210"] == decimals["demo"]
    assert decimals["demo"] == "0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.8 0.9"


def test_figures_of_a_known_case() -> None:
    """Jump is found with tIoU 0.8; of the two Throws one is found exactly, behind a false one."""
    found = Segments.of(
        [(0, 0, 0.0, 8.0, 0.3), (5, 2, 0.0, 10.0, 0.9), (0, 2, 20.0, 30.0, 0.8), (0, 1, 0.0, 5.0, 0.7)]
    )
    figures = PROTOCOLS["activitynet"].detection_metrics(found, TRUTH, CLASSES)
    assert {label: values["0.50"] for label, values in figures["AP"].items()} == {"Jump": 1.0, "Throw": 0.25}
    expected = {f"{t / 100:.2f}": (1.25 if t <= 80 else 0.25) / 2 for t in range(50, 100, 5)}
    assert figures["mAP"] == pytest.approx(expected)
    assert figures["average_mAP"] == pytest.approx(np.mean(list(expected.values())))


@pytest.mark.parametrize("name", PROTOCOLS)
def test_perfect_detections_and_none(name: str) -> None:
    nothing = PROTOCOLS[name].detection_metrics(Segments.of([]), TRUTH, CLASSES)
    everything = PROTOCOLS[name].detection_metrics(TRUTH, TRUTH, CLASSES)
    assert everything["average_mAP"] == 1.0
    assert nothing["average_mAP"] == 0.0
    assert {label: set(values.values()) for label, values in nothing["AP"].items()} == {
        "Jump": {0.0},
        "Throw": {0.0},
    }


def test_a_class_without_detections_stays_in_the_mean() -> None:
    found = Segments.of([(0, 0, 0.0, 10.0, 0.5)])
    figures = PROTOCOLS["demo"].detection_metrics(found, TRUTH, CLASSES)
    assert set(figures["mAP"].values()) == {0.5}
