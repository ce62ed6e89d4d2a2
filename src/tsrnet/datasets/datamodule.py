"""The LightningDataModule of every dataset: records and features in, batches out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from torch.utils.data import DataLoader

from tsrnet.datasets.activitynet import read_activitynet
from tsrnet.datasets.batch import Sample, TrainingBatch, VideoBatch
from tsrnet.datasets.records import LabelledVideo, VideoDataset
from tsrnet.datasets.sampler import FeatureDataset, PairedVideos, TrainingSampler
from tsrnet.datasets.snippet_sampler import SnippetSampler
from tsrnet.datasets.thumos14 import read_thumos14
from tsrnet.datasets.ucf101 import read_ucf101
from tsrnet.features.store import FeatureSource


class VideoDataModule(pl.LightningDataModule):
    """Batches of one stream of a dataset, with a trimmed companion or without.

    Args:
        dataset: the dataset; only ids and video-level labels of it reach training.
        store: its features.
        stream: "rgb" or "flow".
        batch_size, num_steps, seed: of the training.
        trimmed: the companion whose clips are paired with the videos.
        class_map: class of this dataset -> class of the companion.
        sampler: gives training pixels of some snippets in place of features; None: features.
        num_workers: processes that load features.
    """

    def __init__(
        self,
        dataset: VideoDataset,
        store: FeatureSource,
        *,
        stream: str,
        batch_size: int,
        num_steps: int,
        seed: int,
        trimmed: VideoDataModule | None = None,
        class_map: Mapping[str, str] | None = None,
        sampler: SnippetSampler | None = None,
        num_workers: int = 0,
    ) -> None:
        super().__init__()
        self.dataset, self.stream = dataset, stream
        self._store = store
        self._batch_size, self._num_steps, self._seed = batch_size, num_steps, seed
        self._trimmed, self._counterpart = trimmed, dict(class_map or {})
        self._sampler = sampler
        self._num_workers = num_workers

    @property
    def training_set(self) -> FeatureDataset:
        return self._features([record.without_segments() for record in self.dataset.train])

    def train_dataloader(self) -> DataLoader[tuple[Sample, Sample | None]]:
        videos = self.training_set
        paired = PairedVideos(
            videos,
            self._trimmed.training_set if self._trimmed else None,
            class_map=self._counterpart,
            seed=self._seed,
        )
        a_step = self.trainer.accumulate_grad_batches if self.trainer else 1
        stream = TrainingSampler(
            len(videos),
            batch_size=self._batch_size,
            num_steps=self._num_steps * a_step,
            seed=self._seed,
            start_step=self.trainer.global_step * a_step if self.trainer else 0,
            rank=self.trainer.global_rank if self.trainer else 0,
            num_ranks=self.trainer.world_size if self.trainer else 1,
        )
        return DataLoader(
            paired,
            batch_sampler=stream,
            collate_fn=TrainingBatch.collate,
            num_workers=self._num_workers,
        )

    def test_dataloader(self) -> DataLoader[Sample]:
        videos = [record.without_segments() for record in self.dataset.test]
        return DataLoader(
            self._features(videos),
            batch_size=1,  # nothing is padded, and the longest video bounds the memory
            collate_fn=VideoBatch.collate,
            num_workers=self._num_workers,
        )

    def _features(self, videos: Sequence[LabelledVideo]) -> FeatureDataset:
        return FeatureDataset(videos, self.dataset.classes, self._store, self.stream, self._sampler)


class THUMOS14DataModule(VideoDataModule):
    """THUMOS14: 200 validation videos train, a named list of test videos tests.

    `annotations`: the official folders or a JSON in ActivityNet's layout; see `read_thumos14`.
    """

    def __init__(
        self,
        annotations: Path,
        videos: Path,
        store: FeatureSource,
        *,
        test_list: str = "210",
        weak_labels: str = "temporal",
        **options: Any,
    ) -> None:
        dataset = read_thumos14(annotations, videos, test_list=test_list, weak_labels=weak_labels)
        super().__init__(dataset, store, **options)


class ActivityNetDataModule(VideoDataModule):
    """ActivityNet 1.3: 10,024 training videos, 4,926 validation videos test; see `read_activitynet`."""

    def __init__(self, annotations: Path, videos: Path, store: FeatureSource, **options: Any) -> None:
        super().__init__(read_activitynet(annotations, videos), store, **options)


class UCF101DataModule(VideoDataModule):
    """One of UCF101's three splits, all classes or some; see `read_ucf101`."""

    def __init__(
        self,
        annotations: Path,
        videos: Path,
        store: FeatureSource,
        *,
        split: int = 1,
        classes: Sequence[str] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(read_ucf101(annotations, videos, split=split, classes=classes), store, **options)
