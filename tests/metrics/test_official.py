"""Equality with the official ActivityNet evaluator on its own files, where they are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tsrnet.datasets.ground_truth import read_ground_truth
from tsrnet.metrics.predictions import GroundTruth, read_predictions
from tsrnet.metrics.protocols import PROTOCOLS
from tsrnet.metrics.recognition import classification_metrics

DATA = Path(__file__).parents[2].parent / "shared" / "data"
pytestmark = pytest.mark.skipif(not (DATA / "evaluation").is_dir(), reason="the reference files are not here")


@pytest.fixture(scope="module")
def truth() -> GroundTruth:
    path = DATA / "annotations" / "activitynet" / "activity_net.v1-3.rebuilt.min.json"
    return read_ground_truth(path, PROTOCOLS["activitynet"])


def expected(name: str) -> dict:
    return json.loads((DATA / "evaluation" / "expected.json").read_text())[name]


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("anet_sample_det__rebuilt_v1.3_val4926", "sample_detection_prediction.json"),
        ("synthetic_jitter_anet13_val_det", "synthetic_jitter_anet13_val_det.json"),
    ],
)
def test_detection(truth: GroundTruth, name: str, file: str) -> None:
    wanted = expected(name)
    predictions = read_predictions(DATA / "evaluation" / file, truth, classify=False, swap=False)
    figures = PROTOCOLS["activitynet"].detection_metrics(predictions.segments, truth.segments, truth.classes)
    assert len(truth.segments) == wanted["n_gt"]
    assert len(predictions.segments) == wanted["n_pred"]
    np.testing.assert_allclose(list(figures["mAP"].values()), wanted["mAP"], rtol=0, atol=1e-6)
    assert figures["AP"].keys() == wanted["AP_per_class"].keys()
    for label, values in wanted["AP_per_class"].items():
        np.testing.assert_allclose(list(figures["AP"][label].values()), values, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("anet_sample_cls__val4926", "sample_classification_prediction.json"),
        ("synthetic_anet13_val_cls", "synthetic_anet13_val_cls.json"),
    ],
)
def test_classification(truth: GroundTruth, name: str, file: str) -> None:
    wanted = expected(name)
    predictions = read_predictions(DATA / "evaluation" / file, truth, classify=True, swap=False)
    figures = classification_metrics(predictions.segments, truth.segments, truth.classes)
    for key in ("mAP", "hit@1", "hit@3", "avg_hit@1", "avg_hit@3"):
        assert figures[key] == pytest.approx(wanted[key], abs=1e-6)
    assert figures["AP"] == pytest.approx(wanted["AP_per_class"], abs=1e-6)
