"""Which videos make a batch, and which trimmed clip goes with each (D11).

Everything is a function of (seed, position in training), so a training that was stopped continues with
exactly the batches that were left.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset, DistributedSampler

from tsrnet.core.errors import UserError
from tsrnet.datasets.batch import Sample
from tsrnet.datasets.records import LabelledVideo
from tsrnet.datasets.snippet_sampler import PLAIN_BATCHES, BatchSettings, SnippetSampler
from tsrnet.features.store import Features, FeatureSource

_MOST_KEPT = min(2**31, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 8)
"""Bytes of a training set that stays in memory. Larger sets are read, or drawn, again in each step."""


class FeatureDataset(Dataset[Sample]):
    """Stored features of one stream with video-level labels; it never sees a segment.

    With a sampler, `sample` gives pixels of some snippets in place of all features. `batches` says how many
    snippets of a long video it gives. Features that were sampled stay in memory if the set is small: opening
    files again takes longer than a training step on small data.
    """

    def __init__(
        self,
        videos: Sequence[LabelledVideo],
        classes: Sequence[str],
        store: FeatureSource,
        stream: str,
        sampler: SnippetSampler | None = None,
        batches: BatchSettings = PLAIN_BATCHES,
    ) -> None:
        self._batches = batches
        self.videos = tuple(videos)
        self.classes = tuple(classes)
        self._store = store
        self._stream = stream
        self._sampler = sampler
        self._kept: dict[int, Features] = {}
        self._num_bytes = 0  # of the kept features

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, index: int) -> Sample:
        return self._with_labels(index, torch.from_numpy(self._read(index)))

    def sample(self, index: int, seed: tuple[int, ...]) -> Sample:
        """A video for training; `seed` decides which snippets are sampled and how they are augmented."""
        rng = np.random.default_rng(seed)
        if self._sampler is None:
            features = self._read_once(index)
            chosen = self._batches.choose(len(features), rng)
            return self._with_labels(index, torch.from_numpy(features[chosen]))
        length = len(self._read(index))
        return self._with_labels(index, self._sampler.sample(self.videos[index].id, length, rng))

    def _read(self, index: int) -> Features:
        return self._store.read(self._stream, self.videos[index].id)

    def _read_once(self, index: int) -> Features:
        if (features := self._kept.get(index)) is None:
            features = self._read(index)
            num_bytes = self._num_bytes + features.nbytes
            if num_bytes / (len(self._kept) + 1) * len(self) <= _MOST_KEPT:  # the size of the set, so far
                features = features.copy()  # a memory map keeps its file open, and a process may open few
                self._kept[index], self._num_bytes = features, num_bytes
        return features

    def forget(self) -> None:
        """Free what is kept in memory."""
        self._kept.clear()
        self._num_bytes = 0
        libc = ctypes.CDLL(None)
        if hasattr(libc, "malloc_trim"):  # glibc would keep the freed memory, 2 GB after a stream of THUMOS14
            libc.malloc_trim(0)

    def _with_labels(self, index: int, features: Tensor) -> Sample:
        video = self.videos[index]
        labels = torch.zeros(len(self.classes))
        labels[[self.classes.index(label) for label in video.labels]] = 1
        return Sample(video.id, features, labels)

    @property
    def alike(self) -> list[list[int]]:
        """The indices of the videos of each class."""
        return [
            [index for index, video in enumerate(self.videos) if label in video.labels]
            for label in self.classes
        ]

    @property
    def num_features(self) -> int:
        return int(self._store.read(self._stream, self.videos[0].id).shape[1])


@dataclass(frozen=True)
class Draw:
    """The `position`-th video drawn in a training."""

    index: int
    position: int


class TrainingSampler(DistributedSampler[Draw]):
    """Videos in one shuffled pass after another; each of several processes takes its part of every batch.

    Batches continue across passes, so each has `batch_size` videos. An epoch has enough batches for all
    videos, rounded up to whole optimiser steps. Every iteration goes from batch number `start()` of the
    training to the end of that epoch, so a resumed training draws exactly what was left.

    Args:
        num_videos: of the training set.
        alike: groups of videos that share a class, for the pairs.
        pairs: of videos that share a class, in every batch; the others come from the passes.
        batch_size: videos of a batch over all processes.
        seed: decides the order.
        accumulate: batches of an optimiser step.
        start: number of batches that the training has seen.
        rank, num_ranks: this process and how many there are.

    Raises:
        UserError: the processes cannot share a batch evenly, or there are too many pairs.
    """

    def __init__(
        self,
        num_videos: int,
        *,
        batch_size: int,
        seed: int,
        pairs: int = 0,
        alike: Sequence[Sequence[int]] = (),
        accumulate: int = 1,
        start: Callable[[], int] = lambda: 0,
        rank: int = 0,
        num_ranks: int = 1,
    ) -> None:
        # A DistributedSampler, so that Lightning does not wrap it in one of its own.
        super().__init__(range(num_videos), num_replicas=num_ranks, rank=rank, shuffle=False)  # type: ignore[arg-type]
        if batch_size % num_ranks:
            raise UserError(
                f"optimizer.batch_size: got {batch_size} for {num_ranks} processes, need a multiple of them"
            )
        self._num_videos, self._batch_size, self._seed, self._start = num_videos, batch_size, seed, start
        self._pairs, self._alike = pairs, [group for group in alike if len(group) > 1]
        if 2 * pairs > batch_size:
            raise UserError(
                f"batches.pairs: got {pairs}, need at most half of optimizer.batch_size {batch_size}"
            )
        if pairs and not self._alike:
            raise UserError(f"batches.pairs: got {pairs}, need a class of two training videos; give 0")
        self.num_batches = -(-num_videos // (batch_size * accumulate)) * accumulate

    def __len__(self) -> int:
        return self.num_batches * self._batch_size // self.num_replicas

    def __iter__(self) -> Iterator[Draw]:
        order: npt.NDArray[np.int64] = np.empty(0, np.int64)
        of_pass = -1
        first = self._start()
        end = (first // self.num_batches + 1) * self.num_batches
        for batch in range(first, end):
            positions = range(batch * self._batch_size, (batch + 1) * self._batch_size)
            for position in self._share(positions):
                in_batch = position - positions.start
                if in_batch < 2 * self._pairs:
                    yield Draw(self._pair(batch, in_batch // 2)[in_batch % 2], position)
                    continue
                number, place = divmod(position - 2 * self._pairs * (batch + 1), self._num_videos)
                if number != of_pass:
                    rng = np.random.default_rng((self._seed, number))
                    order, of_pass = rng.permutation(self._num_videos), number
                yield Draw(int(order[place]), position)

    def _share(self, positions: range) -> range:
        """The positions of a batch that this process takes; with pairs, they are consecutive."""
        if not self._pairs:
            return positions[self.rank :: self.num_replicas]
        size = self._batch_size // self.num_replicas
        return positions[self.rank * size : (self.rank + 1) * size]

    def _pair(self, batch: int, number: int) -> tuple[int, int]:
        """Two videos of one class: a pair of a batch."""
        rng = np.random.default_rng((self._seed, batch, number, 4))
        first, second = rng.choice(self._alike[rng.integers(len(self._alike))], size=2, replace=False)
        return int(first), int(second)


class PairedVideos(Dataset[tuple[Sample, Sample | None]]):
    """Untrimmed videos, each with a random trimmed clip of one of its classes, where there is one.

    Args:
        videos: the untrimmed videos.
        trimmed: the clips to pair with; None for training without transfer.
        class_map: class of `videos` -> class of `trimmed` that shows the same action.
        seed: decides which clip.
    """

    def __init__(
        self,
        videos: FeatureDataset,
        trimmed: FeatureDataset | None,
        *,
        class_map: Mapping[str, str],
        seed: int,
    ) -> None:
        self._videos, self._trimmed, self._seed = videos, trimmed, seed
        clips: dict[str, list[int]] = {}
        for index, clip in enumerate(trimmed.videos if trimmed else ()):
            for label in clip.labels:
                clips.setdefault(label, []).append(index)
        self._clips = {name: clips[other] for name, other in class_map.items() if other in clips}

    def __len__(self) -> int:
        return len(self._videos)

    def __getitem__(self, draw: Draw | int) -> tuple[Sample, Sample | None]:
        if isinstance(draw, int):  # Lightning's own sampler, with overfit_batches
            draw = Draw(draw, draw)
        labels = [name for name in self._videos.videos[draw.index].labels if name in self._clips]
        clip = None
        if self._trimmed is not None and labels:
            rng = np.random.default_rng((self._seed, draw.position, 1))
            index = int(rng.choice(self._clips[labels[rng.integers(len(labels))]]))
            clip = self._trimmed.sample(index, (self._seed, draw.position, 2))
        return self._videos.sample(draw.index, (self._seed, draw.position, 3)), clip
