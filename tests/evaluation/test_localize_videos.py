"""Tests of videos: fusion of streams and independence of the batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tsrnet.core.errors import UserError
from tsrnet.datasets.batch import Sample, VideoBatch
from tsrnet.datasets.records import Segment, VideoRecord
from tsrnet.evaluation.evaluator import FigureCollector
from tsrnet.evaluation.localize_videos import DetectedRuns, VideoResult, fuse_probabilities, localize_videos
from tsrnet.evaluation.predictions import ActivationStore, VideoActivations, activations_of
from tsrnet.localization.settings import LocalizationSettings
from tsrnet.metrics.protocols import PROTOCOLS
from tsrnet.models.tsrnet import TSRNet, TSRNetSettings
from tsrnet.video.time_grid import TimeGrid

STREAMS = ("rgb", "flow")


def results(folder: Path, batch_size: int, settings: LocalizationSettings) -> list[VideoResult]:
    generator = torch.Generator().manual_seed(0)
    lengths = (9, 4, 14, 1)
    stores = {}
    for number, stream in enumerate(STREAMS):
        torch.manual_seed(number)
        network = TSRNet(TSRNetSettings(hidden_size=8), num_features=6, num_classes=3)
        samples = [
            Sample(f"v{i}", torch.randn(n, 6, generator=generator), torch.eye(3)[i % 3])
            for i, n in enumerate(lengths)
        ]
        loader = [
            VideoBatch.collate(samples[start : start + batch_size]) for start in range(0, 4, batch_size)
        ]
        stores[stream] = ActivationStore(folder / f"{stream}{batch_size}")
        if not stores[stream].finished:
            stores[stream].write(activations_of(network, loader, device=torch.device("cpu")), {})
    return list(localize_videos(stores, settings, rate_hz=lambda name, length: 6.0))


def test_results_do_not_depend_on_what_shares_the_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = LocalizationSettings(min_probability=0.0)
    together = results(tmp_path, 4, settings)
    monkeypatch.setattr("tsrnet.evaluation.localize_videos._BATCH_ELEMENTS", 50)
    for alone, other in zip(results(tmp_path, 1, settings), together, strict=True):
        assert alone.id == other.id
        assert alone.top == other.top
        for name in (*STREAMS, "fusion"):
            np.testing.assert_allclose(alone.probabilities[name], other.probabilities[name], rtol=1e-5)
        np.testing.assert_allclose(alone.score, other.score, rtol=2e-3, atol=1e-4)
        for name in ("label", "start", "stop"):
            np.testing.assert_array_equal(getattr(alone.runs, name), getattr(other.runs, name))


def test_fused_scores_follow_theta(tmp_path: Path) -> None:
    rgb, flow, half = (results(tmp_path, 4, LocalizationSettings(theta=theta)) for theta in (1.0, 0.0, 0.5))
    for one, other, both in zip(rgb, flow, half, strict=True):
        np.testing.assert_allclose(both.score, (one.score + other.score) / 2, rtol=1e-5)
        assert np.abs(one.score - other.score).max() > 1e-3


def test_the_probability_of_its_class_weighs_the_score_of_a_segment(tmp_path: Path) -> None:
    common = {"min_probability": 0.0, "threshold": 0.05}
    plain = results(tmp_path, 4, LocalizationSettings(**common))
    weighted = results(tmp_path, 4, LocalizationSettings(**common, class_power=0.5))
    for one, other in zip(plain, weighted, strict=True):
        mean = (one.probabilities["rgb"] + one.probabilities["flow"]) / 2
        expected = one.runs.score * np.sqrt(mean[one.runs.label])
        np.testing.assert_allclose(other.runs.score, expected, rtol=1e-5)
        assert (other.runs.score < one.runs.score).all()


def test_smoothing_joins_what_a_short_gap_parts(tmp_path: Path) -> None:
    rough = results(tmp_path, 4, LocalizationSettings(threshold=0.28))
    smooth = results(tmp_path, 4, LocalizationSettings(threshold=0.28, smoothing_s=0.5))
    for one, other in zip(rough, smooth, strict=True):
        padded = np.pad(one.score, 1, mode="constant")
        counts = np.convolve(np.pad(np.ones(len(one.score)), 1), np.ones(3), "valid")
        np.testing.assert_allclose(other.score, np.convolve(padded, np.ones(3), "valid") / counts, rtol=1e-5)


def test_streams_of_other_videos_are_refused(tmp_path: Path) -> None:
    stores = {stream: ActivationStore(tmp_path / stream) for stream in STREAMS}
    for number, store in enumerate(stores.values()):
        rows = np.zeros((3 + number, 1), np.float32)
        video = VideoActivations(
            "v", np.ones(2, np.float32), rows, rows, np.zeros((len(rows), 2), np.float16)
        )
        store.write([video], {})
    with pytest.raises(UserError, match="rgb and flow: their test videos or lengths differ"):
        next(localize_videos(stores, LocalizationSettings(), rate_hz=lambda name, length: 6.0))


def test_fusion_is_the_softmax_of_the_summed_probabilities() -> None:
    streams = [torch.tensor([[0.2, 0.8]]), torch.tensor([[0.6, 0.4]])]
    expected = np.exp([0.8, 1.2]) / np.exp([0.8, 1.2]).sum()
    np.testing.assert_allclose(fuse_probabilities(streams)[0], expected, rtol=1e-6)
    torch.testing.assert_close(fuse_probabilities(streams[:1]), streams[0])


def runs_of(*rows: tuple[int, int, int, float]) -> DetectedRuns:
    """From (label, start, stop, score)."""
    columns = np.array(rows, np.float64).reshape(-1, 4).T
    return DetectedRuns(*columns[:3].astype(np.int64), columns[3].astype(np.float32))


def test_figures_of_known_results() -> None:
    records = [
        VideoRecord("v0", "testing", 2.0, ("jump",), (Segment(0.5, 1.0, "jump"),)),
        VideoRecord("v1", "testing", 2.0, ("run",), (Segment(1.0, 2.0, "run"),)),
        VideoRecord("v2", "testing", 2.0, ("run",), (Segment(0.0, 1.0, "run"),)),
    ]
    whole = FigureCollector(records[:2], ("jump", "run"))
    lacking = FigureCollector(records, ("jump", "run"))
    for record, start, stop, right in zip(records, (3, 0), (6, 6), (0.9, 0.4), strict=False):
        label = ("jump", "run").index(record.labels[0])
        probabilities = np.array([1 - right, right] if label else [right, 1 - right], np.float32)
        attention = np.full(12, 0.05, np.float32)
        attention[start:stop] = 0.1
        shown, score = {"rgb": probabilities}, np.zeros(12, np.float32)
        runs = runs_of((label, start, stop, 0.7))
        result = VideoResult(record.id, shown, {"rgb": attention}, 0, {}, score, runs)
        whole.add(result, TimeGrid())
        lacking.add(result, TimeGrid())
    figures = whole.figures(PROTOCOLS["demo"])
    assert figures["recognition"]["rgb"]["accuracy"] == 0.5
    assert figures["detection"]["mAP"]["0.90"] == 0.5, "v0 is exact, v1 does not touch its instance"
    assert figures["detection"]["average_mAP"] == pytest.approx(0.5)
    assert figures["available"]["recognition"] == figures["recognition"]
    missed = lacking.figures(PROTOCOLS["demo"])
    assert missed["recognition"]["rgb"]["accuracy"] == pytest.approx(1 / 3)
    assert missed["available"] == figures["available"]
    assert missed["available"]["videos"] == 2
    attention = whole.attention()["rgb"]
    assert attention["inside"] == pytest.approx(12 * (0.1 + 0.05) / 2)
    results = lacking.submission()["results"]
    score = float(np.float32(0.7))  # not rounded: the file scores as the run does
    assert results["v0"] == [{"label": "jump", "segment": [0.5, 1.0], "score": score}]
    assert set(results) == {"v0", "v1"}


def test_detections_on_ambiguous_segments_are_dropped_by_the_toolkits_only() -> None:
    record = VideoRecord(
        "v", "test", 4.0, ("jump",), (Segment(0.0, 1.0, "jump"),), ambiguous=(Segment(2.0, 3.0, "Ambiguous"),)
    )
    figures = FigureCollector([record], ("jump",))
    runs = runs_of((0, 12, 18, 0.9), (0, 0, 6, 0.5))
    nothing = np.zeros(24, np.float32)
    figures.add(VideoResult("v", {"rgb": np.ones(1, np.float32)}, {}, 0, {}, nothing, runs), TimeGrid())
    means = {name: figures.figures(PROTOCOLS[name])["detection"]["mAP"]["0.50"] for name in PROTOCOLS}
    assert means["thumos14-2015"] == means["thumos14-2014"] == 1.0
    assert means["thumos14-213"] == 0.5
