"""Predictions on the disk are those of the network, whole or not there, whoever wrote which part."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from tsrnet.core.errors import UserError
from tsrnet.core.seal import damage
from tsrnet.datasets.datamodule import VideoDataModule
from tsrnet.datasets.records import VideoDataset, VideoRecord
from tsrnet.evaluation.predictions import (
    PredictionBatch,
    PredictionStore,
    PredictionWriter,
    VideoPredictions,
)
from tsrnet.features.store import FeatureStore
from tsrnet.training.module import TSRNetModule

LENGTHS = {"v0": 5, "v1": 2, "v2": 9, "v3": 4, "v4": 3}
ORDER = tuple(LENGTHS)


def video(name: str, hops: int = 2) -> VideoPredictions:
    rng = np.random.default_rng(ORDER.index(name))
    n = LENGTHS[name]
    shapes = ((3,), (n, hops), (n, hops), (n, 3))
    probabilities, logits, weights, activations = (rng.random(shape, np.float32) for shape in shapes)
    return VideoPredictions(name, probabilities, logits, weights, activations.astype(np.float16))


def write(store: PredictionStore, parts: list[list[str]], *, broken: bool = False) -> None:
    """As processes do that each predict a part; the first ends last."""
    folder = store.folder.with_name(".written")
    strategy = SimpleNamespace(broadcast=lambda path: folder, barrier=lambda: None)
    writers = []
    for rank, names in enumerate(parts):
        trainer: Any = SimpleNamespace(strategy=strategy, global_rank=rank, is_global_zero=rank == 0)
        module: Any = None
        writer = PredictionWriter(store, order=ORDER, identity={"network": "n"})
        writer.on_predict_start(trainer, module)
        for name in names:
            writer.write_on_batch_end(trainer, module, [video(name)])
        writers.append((writer, trainer, module))
    for writer, trainer, module in reversed(writers):
        if broken:
            writer.on_exception(trainer, module, KeyboardInterrupt())
        else:
            writer.on_predict_end(trainer, module)


def same(found: VideoPredictions, expected: VideoPredictions) -> None:
    assert found.id == expected.id
    for name in ("probabilities", "logits", "weights", "activations"):
        one, other = getattr(found, name), getattr(expected, name)
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("parts", [[["v0", "v1", "v2", "v3", "v4"]], [["v1", "v4"], ["v0", "v3", "v2"]]])
def test_a_store_gives_back_what_the_processes_wrote_in_the_order_asked_for(
    tmp_path: Path, parts: list[list[str]]
) -> None:
    store = PredictionStore(tmp_path / "store")
    write(store, parts)
    assert damage(store.folder) is None
    assert store.ids == ORDER
    assert store.lengths == tuple(LENGTHS.values())
    for name, (batch,) in zip(ORDER, zip(store.batches([[i] for i in range(5)]), strict=True), strict=True):
        n = LENGTHS[name]
        found = VideoPredictions(
            batch.ids[0],
            batch.probabilities[0].numpy(),
            batch.logits[0, :n].numpy(),
            batch.weights[0, :n].numpy(),
            batch.activations[0],
        )
        same(found, video(name))


def test_a_batch_pads_to_the_longest_and_picks_activations_of_pairs() -> None:
    names = ("v1", "v2", "v0")
    batch = PredictionBatch.of([video(name) for name in names])
    assert batch.mask.sum(dim=1).tolist() == [2, 9, 5]
    assert not batch.logits[~batch.mask].any()
    rows, labels = torch.tensor([0, 0, 2]), torch.tensor([2, 0, 1])
    raw, centered = (batch.activations_of(rows, labels, form=form).numpy() for form in ("raw", "centered"))
    for got, less, row, label in zip(raw, centered, rows, labels, strict=True):
        activations = video(names[row]).activations.astype(np.float32)
        expected = activations[:, label]
        np.testing.assert_array_equal(got[: len(expected)], expected)
        np.testing.assert_allclose(less[: len(expected)], expected - activations.mean(axis=1), atol=1e-6)
        assert not got[len(expected) :].any()
        assert not less[len(expected) :].any()


def test_a_prediction_that_was_cut_off_leaves_nothing(tmp_path: Path) -> None:
    store = PredictionStore(tmp_path / "store")
    write(store, [["v0", "v1"]], broken=True)
    assert list(tmp_path.iterdir()) == []


def trainer(*callbacks: Any) -> pl.Trainer:
    return pl.Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=list(callbacks),
    )


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_predict_of_a_trainer_writes_what_predict_step_says(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    features = FeatureStore(tmp_path / "features")
    for name, n in LENGTHS.items():
        features.write("rgb", name, rng.random((n, 4), np.float32))
    records = tuple(VideoRecord(name, "test", 1.0, ("run",), ()) for name in ORDER)
    data = VideoDataModule(VideoDataset("x", ("jump", "run"), records[:1], records, tmp_path), features)
    module = TSRNetModule(data=data, model={"name": "tsrnet", "hidden_size": 4, "attention_size": 3})
    store = PredictionStore(tmp_path / "store")
    writer = PredictionWriter(store, order=ORDER, identity={})
    trainer(writer).predict(module, datamodule=data, return_predictions=False)
    assert store.ids == ORDER
    module.eval()
    for batch, stored in zip(data.predict_dataloader(), store.batches([[i] for i in range(5)]), strict=True):
        with torch.inference_mode():
            (expected,) = module.predict_step(batch.to("cpu"))
        assert stored.ids == (expected.id,)
        np.testing.assert_allclose(stored.probabilities[0], expected.probabilities, rtol=1e-6)
        np.testing.assert_array_equal(stored.activations[0], expected.activations)


def test_a_mistake_in_the_data_is_what_a_user_sees(tmp_path: Path) -> None:
    """The loader fails before the writer has begun."""
    record = VideoRecord("v0", "training", 1.0, ("run",), ())
    features = FeatureStore(tmp_path / "features")
    features.write("rgb", "v0", np.ones((3, 4), np.float32))
    data = VideoDataModule(VideoDataset("x", ("run",), (record,), (), tmp_path), features)
    module = TSRNetModule(data=data)
    writer = PredictionWriter(PredictionStore(tmp_path / "store"), order=(), identity={})
    with pytest.raises(UserError, match="got 0 videos to test on 1 processes"):
        trainer(writer).predict(module, datamodule=data)
