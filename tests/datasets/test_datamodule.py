"""The datasets' DataModules on files: what may reach a training batch, and what the trimmed one gives."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tsrnet.datasets.batch import TrainingBatch
from tsrnet.datasets.datamodule import (
    ActivityNetDataModule,
    THUMOS14DataModule,
    UCF101DataModule,
    VideoDataModule,
)
from tsrnet.features.store import FeatureStore

Entries = dict[str, tuple[str, list[tuple[str, float, float]]]]
TRAINING = {"activitynet": "training", "thumos14": "validation"}
TESTING = {"activitynet": "validation", "thumos14": "test"}
OPTIONS = {"stream": "rgb", "batch_size": 2, "num_steps": 4, "seed": 0}


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    rng = np.random.default_rng(0)
    store = FeatureStore(tmp_path / "features")
    for name in ("a", "b", "t", "v_Diving_g01_c01", "v_Billiards_g01_c01"):
        store.write("rgb", name, rng.random((int(rng.integers(5, 30)), 4), np.float32))
    return store


def annotations(path: Path, dataset: str, entries: Entries) -> Path:
    subset = {"train": TRAINING[dataset], "test": TESTING[dataset]}
    database = {
        name: {
            "subset": subset[split],
            "duration": 100.0,
            "annotations": [{"label": label, "segment": [start, end]} for label, start, end in segments],
        }
        for name, (split, segments) in entries.items()
    }
    path.write_text(json.dumps({"database": database}))
    return path


def batches(module: VideoDataModule) -> list[TrainingBatch]:
    return list(module.train_dataloader())


@pytest.mark.parametrize("dataset", ["activitynet", "thumos14"])
def test_moved_segments_of_training_videos_change_no_training_batch(
    tmp_path: Path, store: FeatureStore, dataset: str
) -> None:
    kind: Callable[..., VideoDataModule]
    kind = {"activitynet": ActivityNetDataModule, "thumos14": THUMOS14DataModule}[dataset]
    test: Entries = {"t": ("test", [("Diving", 1.0, 2.0)])}
    one: Entries = {
        "a": ("train", [("Diving", 0.0, 9.0)]),
        "b": ("train", [("Billiards", 3.0, 4.0), ("Diving", 5.0, 6.0)]),
    }
    other: Entries = {
        "a": ("train", [("Diving", 50.0, 51.0), ("Diving", 60.0, 90.0)]),
        "b": ("train", [("Diving", 0.0, 100.0), ("Billiards", 0.0, 100.0)]),
    }
    first, second = (
        kind(annotations(tmp_path / f"{n}.json", dataset, entries | test), Path(), store, **OPTIONS)
        for n, entries in enumerate((one, other))
    )
    assert [r.segments for r in first.dataset.train] != [r.segments for r in second.dataset.train]
    for x, y in zip(batches(first), batches(second), strict=True):
        assert x.videos.ids == y.videos.ids
        torch.testing.assert_close(x.videos.features, y.videos.features, rtol=0, atol=0)
        torch.testing.assert_close(x.videos.labels, y.videos.labels, rtol=0, atol=0)


def test_clips_of_ucf101_are_paired_by_class(tmp_path: Path, store: FeatureStore) -> None:
    folder = tmp_path / "ucf101"
    folder.mkdir()
    (folder / "classInd.txt").write_text("1 Billiards\n2 Diving\n")
    clips = "Billiards/v_Billiards_g01_c01.avi 1\nDiving/v_Diving_g01_c01.avi 2\n"
    (folder / "trainlist01.txt").write_text(clips)
    (folder / "testlist01.txt").write_text("Diving/v_Diving_g02_c01.avi\n")
    trimmed = UCF101DataModule(folder, Path(), store, **OPTIONS)
    entries: Entries = {"a": ("train", [("Diving", 0, 9)]), "t": ("test", [("Billiards", 0, 9)])}
    module = ActivityNetDataModule(
        annotations(tmp_path / "a.json", "activitynet", entries),
        Path(),
        store,
        trimmed=trimmed,
        class_map={"Diving": "Diving"},
        **OPTIONS,
    )
    for batch in batches(module):
        assert batch.trimmed is not None
        assert set(batch.trimmed.ids) == {"v_Diving_g01_c01"}
        assert batch.trimmed.labels.tolist() == [[0, 1]] * len(batch.trimmed.ids)
    assert [batch.ids for batch in module.test_dataloader()] == [("t",)]
