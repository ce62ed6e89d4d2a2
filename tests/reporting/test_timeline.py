"""The timeline shows segments where they are."""

from __future__ import annotations

from pathlib import Path

import matplotlib.image
import numpy as np

from tsrnet.reporting.timeline import Curve, Detection, Timeline, draw_timeline


def picture(path: Path, detections: list[Detection]) -> np.ndarray:
    times = np.arange(60) / 6
    curves = [Curve("rgb", times, np.linspace(0, 1, 60)), Curve("flow", times, np.linspace(1, 0, 60))]
    draw_timeline(
        Timeline(
            title="a",
            duration_s=10.0,
            strip=[np.zeros((20, 20, 3), np.uint8)] * 4,
            classes=("jump", "run"),
            truth=[Detection("jump", 2.0, 4.0, 1.0)],
            detections=detections,
            score=curves[0],
            thresholds=(0.2,),
            top="jump",
            attention=curves,
            activations=curves,
        ),
        path,
    )
    return matplotlib.image.imread(path)[:, :, :3]


def test_a_detection_is_drawn_in_its_time_and_only_there(tmp_path: Path) -> None:
    without = picture(tmp_path / "a.png", [])
    early = picture(tmp_path / "b.png", [Detection("jump", 1.0, 2.0, 0.9)])
    late = picture(tmp_path / "c.png", [Detection("jump", 8.0, 9.0, 0.9)])
    assert without.shape == early.shape == late.shape
    columns = [np.flatnonzero(np.abs(image - without).max(axis=(0, 2)) > 0.2) for image in (early, late)]
    width = without.shape[1]
    assert columns[0].max() < 0.45 * width
    assert columns[1].min() > 0.55 * width
