"""Results of videos: fusion of streams, and independence of what shares the batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tsrnet.core.errors import UserError
from tsrnet.datasets.batch import Sample, VideoBatch
from tsrnet.evaluation.localize_videos import VideoResult, fuse_probabilities, localize_videos
from tsrnet.evaluation.predictions import (
    PredictionStore,
    PredictionWriter,
    VideoPredictions,
    video_predictions,
)
from tsrnet.localization.settings import LocalizationSettings
from tsrnet.models.tsrnet import TSRNet, TSRNetSettings
from tsrnet.video.time_grid import TimeGrid

STREAMS = ("rgb", "flow")
LENGTHS = (9, 4, 14, 1)
Localize = Callable[..., list[VideoResult]]


def write(store: PredictionStore, batches: Sequence[Sequence[VideoPredictions]]) -> None:
    """As `trainer.predict` of one process does."""
    strategy = SimpleNamespace(broadcast=lambda path: path, barrier=lambda: None)
    trainer: Any = SimpleNamespace(strategy=strategy, global_rank=0, is_global_zero=True)
    order = [video.id for batch in batches for video in batch]
    writer = PredictionWriter(store, order=order, identity={})
    writer.on_predict_start(trainer, None)  # type: ignore[arg-type]
    for batch in batches:
        writer.write_on_batch_end(trainer, None, batch)  # type: ignore[arg-type]
    writer.on_predict_end(trainer, None)  # type: ignore[arg-type]


def predicted(stream: int, batch_size: int) -> list[list[VideoPredictions]]:
    """What an untrained network says of four videos."""
    torch.manual_seed(stream)
    network = TSRNet(TSRNetSettings(hidden_size=8, dropout=0.0), num_features=6, num_classes=3).eval()
    generator = torch.Generator().manual_seed(10 + stream)
    samples = [
        Sample(f"v{i}", torch.randn(n, 6, generator=generator), torch.eye(3)[i % 3])
        for i, n in enumerate(LENGTHS)
    ]
    batches = [VideoBatch.collate(samples[i : i + batch_size]) for i in range(0, 4, batch_size)]
    with torch.inference_mode():
        return [video_predictions(batch, network.predict(batch.features, batch.mask)) for batch in batches]


@pytest.fixture(scope="module")
def localize(tmp_path_factory: pytest.TempPathFactory) -> Localize:
    folder = tmp_path_factory.mktemp("predictions")
    for batch_size in (1, 4):
        for number, stream in enumerate(STREAMS):
            write(PredictionStore(folder / f"{stream}{batch_size}"), predicted(number, batch_size))

    def run(settings: LocalizationSettings, batch_size: int = 4) -> list[VideoResult]:
        stores = {stream: PredictionStore(folder / f"{stream}{batch_size}") for stream in STREAMS}
        return list(localize_videos(stores, settings, grid_of=lambda name, length: TimeGrid()))

    return run


def test_results_do_not_depend_on_what_shares_the_batch(
    localize: Localize, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = LocalizationSettings(min_probability=0.0)
    together = localize(settings)
    monkeypatch.setattr("tsrnet.evaluation.localize_videos._BATCH_ELEMENTS", 50)
    for alone, other in zip(localize(settings, batch_size=1), together, strict=True):
        assert alone.id == other.id
        assert alone.top == other.top
        for name in (*STREAMS, "fusion"):
            np.testing.assert_allclose(alone.probabilities[name], other.probabilities[name], rtol=1e-5)
        np.testing.assert_allclose(alone.score, other.score, rtol=2e-3, atol=1e-4)
        for name in ("label", "start", "stop"):
            np.testing.assert_array_equal(getattr(alone.runs, name), getattr(other.runs, name))


def test_fused_scores_follow_theta(localize: Localize) -> None:
    rgb, flow, half = (localize(LocalizationSettings(theta=theta)) for theta in (1.0, 0.0, 0.5))
    for one, other, both in zip(rgb, flow, half, strict=True):
        np.testing.assert_allclose(both.score, (one.score + other.score) / 2, rtol=1e-5)
        assert np.abs(one.score - other.score).max() > 1e-3


def test_the_probability_of_its_class_weighs_the_score_of_a_segment(localize: Localize) -> None:
    common: dict[str, float] = {"min_probability": 0.0, "threshold": 0.05}
    plain = localize(LocalizationSettings(**common))
    weighted = localize(LocalizationSettings(**common, class_power=0.5))
    for one, other in zip(plain, weighted, strict=True):
        mean = (one.probabilities["rgb"] + one.probabilities["flow"]) / 2
        expected = one.runs.score * np.sqrt(mean[one.runs.label])
        np.testing.assert_allclose(other.runs.score, expected, rtol=1e-5)
        assert (other.runs.score < one.runs.score).all()


def test_smoothing_is_a_mean_over_the_snippets_that_are_there(localize: Localize) -> None:
    rough = localize(LocalizationSettings(threshold=0.28))
    smooth = localize(LocalizationSettings(threshold=0.28, smoothing_s=0.5))
    for one, other in zip(rough, smooth, strict=True):
        padded = np.pad(one.score, 1, mode="constant")
        counts = np.convolve(np.pad(np.ones(len(one.score)), 1), np.ones(3), "valid")
        np.testing.assert_allclose(other.score, np.convolve(padded, np.ones(3), "valid") / counts, rtol=1e-5)


def test_the_grid_of_a_video_decides_its_smoothing(localize: Localize, tmp_path: Path) -> None:
    """Half a second is three snippets at 6 Hz and one at 2 Hz."""
    stores = {"rgb": PredictionStore(tmp_path / "rgb")}
    write(stores["rgb"], predicted(0, 4))
    rates = {"v0": 2.0, "v1": 2.0, "v2": 6.0, "v3": 6.0}

    def run(**settings: float) -> list[VideoResult]:
        return list(
            localize_videos(
                stores, LocalizationSettings(**settings), grid_of=lambda name, n: TimeGrid(rates[name])
            )
        )

    changed = [
        not np.allclose(rough.score, smooth.score)
        for rough, smooth in zip(run(), run(smoothing_s=0.5), strict=True)
    ]
    assert changed == [False, False, True, False], "the last has one snippet"
    assert [result.grid.rate_hz for result in run()] == list(rates.values())


def test_streams_of_other_videos_are_refused(tmp_path: Path) -> None:
    stores = {stream: PredictionStore(tmp_path / stream) for stream in STREAMS}
    for number, store in enumerate(stores.values()):
        rows = np.zeros((3 + number, 1), np.float32)
        classes = np.zeros((len(rows), 2), np.float16)
        write(store, [[VideoPredictions("v", np.ones(2, np.float32), rows, rows, classes)]])
    with pytest.raises(UserError, match="rgb and flow: their test videos or lengths differ"):
        next(localize_videos(stores, LocalizationSettings(), grid_of=lambda name, length: TimeGrid()))


def test_fusion_is_the_softmax_of_the_summed_probabilities() -> None:
    streams = [torch.tensor([[0.2, 0.8]]), torch.tensor([[0.6, 0.4]])]
    expected = np.exp([0.8, 1.2]) / np.exp([0.8, 1.2]).sum()
    np.testing.assert_allclose(fuse_probabilities(streams)[0], expected, rtol=1e-6)
    torch.testing.assert_close(fuse_probabilities(streams[:1]), streams[0])
