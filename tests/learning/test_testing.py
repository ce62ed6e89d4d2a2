"""Tests of videos: fusion of streams and independence of the batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tsrnet.datasets.batch import Sample, VideoBatch
from tsrnet.datasets.records import Segment, VideoRecord
from tsrnet.learning.figures import FigureCollector, submission
from tsrnet.learning.testing import VideoResult, fuse_probabilities, run_test
from tsrnet.localization.segments import LocalizationSettings
from tsrnet.metrics.protocols import PROTOCOLS
from tsrnet.network.network import Network, NetworkSettings
from tsrnet.video.time_grid import TimeGrid

STREAMS = ("rgb", "flow")


def results(batch_size: int, settings: LocalizationSettings) -> list[VideoResult]:
    generator = torch.Generator().manual_seed(0)
    lengths = (9, 4, 14, 1)
    networks, loaders = {}, {}
    for number, stream in enumerate(STREAMS):
        torch.manual_seed(number)
        networks[stream] = Network(NetworkSettings(hidden_size=8), num_features=6, num_classes=3)
        samples = [
            Sample(f"v{i}", torch.randn(n, 6, generator=generator), torch.eye(3)[i % 3])
            for i, n in enumerate(lengths)
        ]
        loaders[stream] = [
            VideoBatch.collate(samples[start : start + batch_size]) for start in range(0, 4, batch_size)
        ]
    return list(run_test(networks, loaders, settings, device=torch.device("cpu")))


def test_results_do_not_depend_on_what_shares_the_batch() -> None:
    settings = LocalizationSettings(min_probability=0.0)
    for alone, together in zip(results(1, settings), results(4, settings), strict=True):
        assert alone.id == together.id
        for name in (*STREAMS, "fusion"):
            np.testing.assert_allclose(alone.probabilities[name], together.probabilities[name], rtol=1e-5)
        np.testing.assert_allclose(alone.scores, together.scores, rtol=1e-5, atol=1e-6)
        assert [(r.label, r.start, r.stop) for r in alone.runs] == [
            (r.label, r.start, r.stop) for r in together.runs
        ]


def test_fused_scores_follow_theta() -> None:
    rgb, flow, half = (results(4, LocalizationSettings(theta=theta)) for theta in (1.0, 0.0, 0.5))
    for one, other, both in zip(rgb, flow, half, strict=True):
        np.testing.assert_allclose(both.scores, (one.scores + other.scores) / 2, rtol=1e-5)
        assert np.abs(one.scores - other.scores).max() > 1e-3


def test_fusion_is_the_softmax_of_the_summed_probabilities() -> None:
    streams = [torch.tensor([[0.2, 0.8]]), torch.tensor([[0.6, 0.4]])]
    expected = np.exp([0.8, 1.2]) / np.exp([0.8, 1.2]).sum()
    np.testing.assert_allclose(fuse_probabilities(streams)[0], expected, rtol=1e-6)
    torch.testing.assert_close(fuse_probabilities(streams[:1]), streams[0])


def test_figures_of_known_results() -> None:
    records = {
        "v0": VideoRecord("v0", "testing", 2.0, ("jump",), (Segment(0.5, 1.0, "jump"),)),
        "v1": VideoRecord("v1", "testing", 2.0, ("run",), (Segment(1.0, 2.0, "run"),)),
    }
    figures = FigureCollector(records, ("jump", "run"))
    from tsrnet.learning.testing import DetectedRun

    for name, start, stop, right in (("v0", 3, 6, 0.9), ("v1", 0, 6, 0.4)):
        label = ("jump", "run").index(records[name].labels[0])
        probabilities = np.array([1 - right, right] if label else [right, 1 - right], np.float32)
        attention = np.full(12, 0.05, np.float32)
        attention[start:stop] = 0.1
        shown = {"rgb": probabilities}
        runs = (DetectedRun(label, start, stop, 0.7),)
        figures.add(
            VideoResult(name, shown, {"rgb": attention}, {}, np.zeros((12, 2), np.float32), runs), TimeGrid()
        )
    assert figures.headline(PROTOCOLS["demo"])["recognition"]["rgb"]["accuracy"] == 0.5
    detection = figures.headline(PROTOCOLS["demo"])["detection"]
    assert detection["mAP"]["0.90"] == 0.5, "v0 is exact, v1 does not touch its instance"
    assert detection["average_mAP"] == pytest.approx(0.5)
    lost = VideoRecord("v2", "testing", 2.0, ("run",), (Segment(0.0, 1.0, "run"),))
    missed = FigureCollector(
        {**records, "v2": lost}, figures.classes, figures.detections, figures._probabilities
    )
    missed._labels = figures._labels
    headline, available = missed.headline(PROTOCOLS["demo"]), missed.available(PROTOCOLS["demo"])
    assert headline["recognition"]["rgb"]["accuracy"] == pytest.approx(1 / 3)
    assert available["recognition"] == figures.headline(PROTOCOLS["demo"])["recognition"]
    assert available["videos"] == 2
    assert available["detection"] == detection
    attention = figures.attention()["rgb"]
    assert attention["inside"] == pytest.approx(12 * (0.1 + 0.05) / 2)
    found = submission(figures.detections)["results"]["v0"]
    assert found == [{"label": "jump", "segment": [0.5, 1.0], "score": 0.7}]
