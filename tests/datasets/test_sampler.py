"""Batches, pairs, and that no segment reaches training."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from tsrnet.datasets.batch import Sample, TrainingBatch, VideoBatch
from tsrnet.datasets.datamodule import VideoDataModule
from tsrnet.datasets.records import LabelledVideo, Segment, VideoDataset, VideoRecord
from tsrnet.datasets.sampler import Draw, FeatureDataset, PairedVideos, TrainingSampler
from tsrnet.features.store import FeatureStore


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    store = FeatureStore(tmp_path)
    for index, name in enumerate(["a", "b", "c", "t0", "t1", "t2"]):
        store.write("rgb", name, np.full((index + 2, 4), index, np.float32))
    return store


def videos(store: FeatureStore) -> FeatureDataset:
    listed = [
        LabelledVideo("a", ("run",)),
        LabelledVideo("b", ("jump", "run")),
        LabelledVideo("c", ("sleep",)),
    ]
    return FeatureDataset(listed, ("jump", "run", "sleep"), store, "rgb")


def clips(store: FeatureStore) -> FeatureDataset:
    listed = [LabelledVideo("t0", ("Run",)), LabelledVideo("t1", ("Run",)), LabelledVideo("t2", ("Jump",))]
    return FeatureDataset(listed, ("Jump", "Run"), store, "rgb")


def test_every_video_is_drawn_once_a_pass_and_passes_differ() -> None:
    batches = list(TrainingSampler(5, batch_size=3, num_steps=10, seed=1))
    drawn = [draw.index for batch in batches for draw in batch]
    passes = [drawn[start : start + 5] for start in range(0, 30, 5)]
    assert all(sorted(one) == [0, 1, 2, 3, 4] for one in passes)
    assert len({tuple(one) for one in passes}) > 1
    assert [draw.position for batch in batches for draw in batch] == list(range(30))


def test_a_stream_goes_on_where_it_was_cut_off() -> None:
    whole = list(TrainingSampler(7, batch_size=4, num_steps=9, seed=2))
    assert list(TrainingSampler(7, batch_size=4, num_steps=9, seed=2, start_step=5)) == whole[5:]
    assert whole != list(TrainingSampler(7, batch_size=4, num_steps=9, seed=3))


def test_pairs_share_a_class_and_every_clip_gets_its_turn(store: FeatureStore) -> None:
    paired = PairedVideos(videos(store), clips(store), class_map={"run": "Run", "jump": "Jump"}, seed=0)
    seen: dict[int, Counter[str]] = {0: Counter(), 1: Counter(), 2: Counter()}
    for position in range(300):
        _, clip = paired[Draw(position % 3, position)]
        seen[position % 3][clip.id if clip else "none"] += 1
    assert set(seen[0]) == {"t0", "t1"}
    assert set(seen[1]) == {"t0", "t1", "t2"}
    assert set(seen[2]) == {"none"}
    assert min(seen[0].values()) > 30
    again = [paired[Draw(1, position)][1].id for position in range(20)]
    assert again == [paired[Draw(1, position)][1].id for position in range(20)]


def test_collate_pads_masks_and_remembers_rows(store: FeatureStore) -> None:
    paired = PairedVideos(videos(store), clips(store), class_map={"run": "Run", "jump": "Jump"}, seed=0)
    batch = TrainingBatch.collate([paired[Draw(index, index)] for index in (2, 0, 1)])
    assert batch.videos.mask.sum(dim=1).tolist() == [4, 2, 3]
    assert batch.videos.features[1, 1:].abs().sum() == 0
    assert batch.paired.tolist() == [1, 2]
    assert batch.videos.labels.tolist() == [[0, 0, 1], [0, 1, 0], [1, 1, 0]]
    assert batch.trimmed is not None
    for row, clip in zip(batch.paired.tolist(), batch.trimmed.labels, strict=True):
        shared = batch.videos.labels[row, [0, 1]] * clip
        assert shared.sum() == 1


def test_a_batch_without_counterparts_has_no_trimmed_side() -> None:
    sample = Sample("x", torch.ones(2, 3), torch.ones(1))
    batch = TrainingBatch.collate([(sample, None)])
    assert batch.trimmed is None
    assert len(batch.paired) == 0


def test_no_temporal_annotation_reaches_a_training_batch(store: FeatureStore) -> None:
    def batches(segments: tuple[Segment, ...]) -> list[VideoBatch]:
        record = VideoRecord("c", "training", 9.0, ("run",), segments)
        dataset = VideoDataset("x", ("jump", "run"), (record,), (), Path())
        module = VideoDataModule(dataset, store, stream="rgb", batch_size=2, num_steps=3, seed=0)
        assert all(type(video) is LabelledVideo for video in module.training_set.videos)
        return [batch.videos for batch in module.train_dataloader()]

    one = batches((Segment(0, 1, "run"),))
    other = batches((Segment(5, 6, "run"), Segment(7, 9, "run")))
    for first, second in zip(one, other, strict=True):
        assert first.ids == second.ids
        torch.testing.assert_close(first.features, second.features)
        torch.testing.assert_close(first.labels, second.labels)
    assert set(LabelledVideo.__dataclass_fields__) == {"id", "labels"}
