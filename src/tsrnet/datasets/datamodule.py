"""The LightningDataModule: annotations and features in, batches of one stream out."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.overrides.distributed import UnrepeatedDistributedSampler
from pytorch_lightning.trainer.states import TrainerFn
from pytorch_lightning.utilities import rank_zero_warn
from torch.utils.data import DataLoader

from tsrnet.core.errors import UserError
from tsrnet.core.reading import read_table
from tsrnet.datasets.availability import Availability, find_features
from tsrnet.datasets.batch import Sample, TrainingBatch, VideoBatch
from tsrnet.datasets.loader import AheadLoader, ResumableLoader
from tsrnet.datasets.overlap import read_overlap, shipped_overlap
from tsrnet.datasets.records import LabelledVideo, VideoDataset, VideoRecord
from tsrnet.datasets.sampler import FeatureDataset, PairedVideos, TrainingSampler
from tsrnet.datasets.snippet_sampler import PLAIN_BATCHES, BatchSettings, SnippetSampler
from tsrnet.features.store import FeatureSource, FeatureStore
from tsrnet.video.time_grid import TimeGrid


class VideoDataModule(pl.LightningDataModule):
    """Batches of one stream of a dataset, with or without trimmed clips for knowledge transfer.

    Videos without features are skipped; `missing` has the reason for each. Training sees only ids and
    video-level labels.

    Args:
        dataset: the annotated videos, or an `Availability` that knows which of them have features.
        features: folder of a feature store (`<folder>/<stream>/<id>.npy`), or another `FeatureSource`.
        stream: "rgb", "flow", or another stream of the store.
        batch_size: videos in a training batch, over all processes.
        seed: decides the order and the pairs.
        trimmed: the clips of the teacher; each video is paired with a clip of its class.
        overlap: which classes show the same action: the name of a list in the package, a CSV file
            (`untrimmed,trimmed`), or a mapping; None: classes of the same name.
        holdout: share of the training videos for `val_dataloader`; training does not see them.
        protocol: how the test videos are evaluated, see `tsrnet.metrics.protocols`.
        num_workers: processes that load features.
        sampler: gives pixels of some snippets for end-to-end training; None: features.
        batches: pairs of videos of a class in a batch, and how many snippets of a long video take part.

    Raises:
        UserError: annotations are wrong, or no video has features.
    """

    def __init__(
        self,
        dataset: VideoDataset | Availability,
        features: str | Path | FeatureSource,
        *,
        stream: str = "rgb",
        batch_size: int = 16,
        seed: int = 0,
        trimmed: VideoDataModule | None = None,
        overlap: str | Path | Mapping[str, str] | None = None,
        holdout: float = 0.0,
        protocol: str = "demo",
        num_workers: int = 0,
        sampler: SnippetSampler | None = None,
        batches: BatchSettings = PLAIN_BATCHES,
    ) -> None:
        super().__init__()
        self.stream, self.batch_size, self.seed, self.protocol = stream, batch_size, seed, protocol
        self.trimmed = trimmed
        if trimmed and trimmed.stream != stream:
            raise UserError(
                f"{type(self).__name__}: got stream={stream!r} and trimmed clips of {trimmed.stream!r}, need"
                " one stream; give both the same stream="
            )
        self.source: FeatureSource = (
            FeatureStore(Path(features)) if isinstance(features, str | Path) else features
        )
        self._dataset, self._overlap, self._holdout = dataset, overlap, holdout
        self._num_workers, self._sampler, self._batches = num_workers, sampler, batches

    def setup(self, stage: str | None = None) -> None:
        """Look for the features; one warning lists the videos without features."""
        self.dataset  # noqa: B018

    def teardown(self, stage: str | None = None) -> None:
        """Free the features that the training kept in memory."""
        for data in (self, self.trimmed):
            if data and "training_set" in vars(data):
                data.training_set.forget()

    @cached_property
    def availability(self) -> Availability:
        """All annotated videos, and which of them lack features."""
        if isinstance(self._dataset, Availability):
            return self._dataset
        if not isinstance(self.source, FeatureStore):
            return Availability(self._dataset)
        found = find_features(self._dataset, self.source, (self.stream,))
        if found.missing:
            rank_zero_warn(found.summary())
        return found

    @cached_property
    def dataset(self) -> VideoDataset:
        """The videos with features; `holdout` takes some of them out of training."""
        usable = self.availability.usable
        if not usable.train:
            example = next(iter(self.missing.values()), "none is annotated")
            raise UserError(f"{self.availability.summary()}, need some to train on; e.g. {example}")
        return replace(usable.held_out(self._holdout), test=usable.test) if self._holdout else usable

    @cached_property
    def held_out(self) -> tuple[VideoRecord, ...]:
        """The held-out training videos, without segments."""
        return self.availability.usable.held_out(self._holdout).test if self._holdout else ()

    @property
    def missing(self) -> Mapping[str, str]:
        """Video id -> why its features are missing or cannot be used."""
        return self.availability.missing

    @property
    def classes(self) -> tuple[str, ...]:
        return self.availability.dataset.classes

    @property
    def num_features(self) -> int:
        """Size of the features, d."""
        return self.training_set.num_features

    @cached_property
    def class_map(self) -> dict[str, str]:
        """Class -> class of the trimmed clips that shows the same action."""
        if self.trimmed is None:
            return {}
        if isinstance(self._overlap, Mapping):
            return dict(self._overlap)
        if self._overlap is None:
            return {name: name for name in self.classes if name in self.trimmed.classes}
        shipped = shipped_overlap(str(self._overlap))
        if shipped is None:
            return read_overlap(
                Path(self._overlap), classes=self.classes, trimmed_classes=self.trimmed.classes
            )
        pairs = ((row["untrimmed"], row["trimmed"]) for row in read_table(shipped, ("untrimmed", "trimmed")))
        return {one: other for one, other in pairs if one in self.classes and other in self.trimmed.classes}

    @cached_property
    def training_set(self) -> FeatureDataset:
        return self._features(self.dataset.train)

    def time_grid(self, video_id: str, num_snippets: int) -> TimeGrid:
        """When the snippets of a video are."""
        return self.source.time_grid(video_id, num_snippets, self._durations.get(video_id))

    @cached_property
    def _durations(self) -> dict[str, float | None]:
        dataset = self.availability.dataset
        return {record.id: record.duration_s for record in (*dataset.train, *dataset.test)}

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that decides the training batches, as plain data."""
        videos = self.training_set.videos
        text = json.dumps([self.dataset.name, self.classes, [(v.id, v.labels) for v in videos]])
        features = {key: value for key, value in self.source.identity.items() if key != "versions"}
        if not features:  # a folder without features.json: the content of a file identifies it
            features = {"sha256": hashlib.sha256(self._first_features()).hexdigest()}
        return {
            "stream": self.stream,
            "batch_size": self.batch_size,
            "seed": self.seed,
            "features": features,
            "videos": hashlib.sha256(text.encode()).hexdigest()[:16],
            "trimmed": self.trimmed.identity if self.trimmed else None,
            "class_map": self.class_map,
            "sampling": asdict(self._sampler.settings) if self._sampler else None,
            "batches": asdict(self._batches),
        }

    def _first_features(self) -> bytes:
        return self.source.read(self.stream, self.training_set.videos[0].id).tobytes()

    def state_dict(self) -> dict[str, Any]:
        """For checkpoints: what the batches depend on. The position follows from the trainer's step."""
        return {"identity": json.dumps(self.identity, sort_keys=True)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Raise UserError if a checkpoint was made with other batches, because it cannot be resumed then."""
        if self.trainer and self.trainer.state.fn != TrainerFn.FITTING:
            return  # Lightning calls this for a test, too, which needs the weights only
        before, now = json.loads(state_dict["identity"]), json.loads(self.state_dict()["identity"])
        if differing := [key for key in now if before.get(key) != now[key]]:
            raise UserError(
                f"checkpoint: was trained with other data ({', '.join(differing)}); give the same data,"
                " or train from the start"
            )

    def train_dataloader(self) -> DataLoader[tuple[Sample, Sample | None]]:
        trainer = self.trainer
        accumulate = trainer.accumulate_grad_batches if trainer else 1
        num_ranks = trainer.world_size if trainer else 1
        paired = PairedVideos(
            self.training_set,
            self.trimmed.training_set if self.trimmed else None,
            class_map=self.class_map,
            seed=self.seed,
        )
        sampler = TrainingSampler(
            len(self.training_set),
            batch_size=self.batch_size,
            seed=self.seed,
            pairs=self._batches.pairs,
            alike=self.training_set.alike,
            accumulate=accumulate,
            start=lambda: trainer.global_step * accumulate if trainer else 0,
            rank=trainer.global_rank if trainer else 0,
            num_ranks=num_ranks,
        )
        return ResumableLoader(
            paired,
            batch_size=self.batch_size // num_ranks,
            sampler=sampler,
            collate_fn=TrainingBatch.collate,
            num_workers=self._num_workers,
            persistent_workers=self._num_workers > 0,
        )

    def val_dataloader(self) -> Sequence[DataLoader[Sample]]:
        """The held-out videos. Without `holdout` there are none, and Lightning skips validation."""
        if self.held_out:
            return [self._one_by_one(self.held_out)]
        warnings.filterwarnings("ignore", message=r"Total length of `list` across ranks is zero")
        return []

    def test_dataloader(self) -> DataLoader[Sample]:
        return self._one_by_one(self.dataset.test)

    def predict_dataloader(self) -> DataLoader[Sample]:
        """The test videos."""
        return self.test_dataloader()

    def _one_by_one(self, records: Sequence[VideoRecord]) -> DataLoader[Sample]:
        """Each of several processes takes its own part of the videos, so no video comes twice."""
        rank, num_ranks = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        if len(records) < num_ranks:
            raise UserError(
                f"{self.availability.summary()}: got {len(records)} videos to test on {num_ranks} processes;"
                " need at least one for each"
            )
        videos = self._features(records)
        return AheadLoader(
            videos,
            batch_size=1,  # nothing is padded, and the longest video bounds the memory
            sampler=UnrepeatedDistributedSampler(videos, num_replicas=num_ranks, rank=rank, shuffle=False),
            collate_fn=VideoBatch.collate,
            num_workers=self._num_workers,
        )

    def _features(self, records: Sequence[VideoRecord]) -> FeatureDataset:
        videos: list[LabelledVideo] = [record.without_segments() for record in records]
        return FeatureDataset(videos, self.classes, self.source, self.stream, self._sampler, self._batches)
