"""Videos to features: worker processes decode and compute flow, the networks run here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch

from tsrnet.features.backbone import Backbone
from tsrnet.features.store import FeatureStore
from tsrnet.progress import Progress, track
from tsrnet.video.reader import BACKENDS, UnreadableVideoError
from tsrnet.video.snippets import Snippets, SnippetSettings, count_snippets, read_snippets
from tsrnet.workers import Workers, worker_pool

CHUNK = 64
"""Snippets read at a time: bounds the memory whatever the length of a video."""
SHORTER_BY_S = 1.0
"""A file that ends this much before its annotated duration has been cut."""


@dataclass(frozen=True)
class ReadingSettings:
    """How videos are read: `backend` of the decoder, limit for opening one or reading 64 snippets."""

    backend: str = "auto"
    timeout_s: float = 600.0

    def __post_init__(self) -> None:
        if self.backend not in BACKENDS:
            raise ValueError(f"video.backend: got {self.backend}, need one of {', '.join(BACKENDS)}")
        if not self.timeout_s > 0:
            raise ValueError(f"video.timeout_s: got {self.timeout_s}, need a number of seconds above 0")


@dataclass(frozen=True)
class VideoFile:
    """A video to extract: its id, its file and, where known, its annotated duration in seconds."""

    id: str
    path: Path
    duration_s: float | None = None


@dataclass(frozen=True)
class Chunk:
    """Snippets start, ..., stop - 1 of the `total` of a video."""

    video: VideoFile
    start: int
    stop: int
    total: int


@dataclass
class _Batch:
    """Snippets of one or several videos that go through the networks together."""

    backbones: Mapping[str, Backbone]
    store: FeatureStore
    chunks: list[Chunk] = field(default_factory=list)
    snippets: list[Snippets] = field(default_factory=list)
    _features: dict[str, list[np.ndarray]] = field(default_factory=dict)

    def add(self, chunk: Chunk, snippets: Snippets) -> None:
        self.chunks.append(chunk)
        self.snippets.append(snippets)
        if sum(chunk.stop - chunk.start for chunk in self.chunks) >= CHUNK:
            self.flush()

    def flush(self) -> None:
        """Run the networks and write the features of the videos that are complete with this."""
        if not self.chunks:
            return
        sizes = np.cumsum([chunk.stop - chunk.start for chunk in self.chunks])[:-1]
        for stream, backbone in self.backbones.items():
            pixels = np.concatenate([getattr(snippets, stream) for snippets in self.snippets])
            for chunk, features in zip(self.chunks, np.split(backbone.features(pixels), sizes), strict=True):
                done = self._features.setdefault(stream, []) if chunk.start else []
                self._features[stream] = [*done, features]
                if chunk.stop == chunk.total:
                    self.store.write(stream, chunk.video.id, np.concatenate(self._features.pop(stream)))
        self.chunks, self.snippets = [], []


def extract(
    videos: Sequence[VideoFile],
    store: FeatureStore,
    backbones: Mapping[str, Backbone],
    settings: SnippetSettings,
    *,
    workers: int,
    what: str,
    reading: ReadingSettings = ReadingSettings(),
) -> dict[str, str]:
    """Write the features that are missing; return {video id: reason} of videos that failed.

    A video that cannot be read, hangs or kills its process is written off, the others go on.
    """
    streams = tuple(backbones)
    missing = [v for v in videos if not all(store.path(s, v.id).exists() for s in streams)]
    if not missing:
        return {}
    failures: dict[str, str] = {}
    batch = _Batch(backbones, store)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # more of them would fight the workers for the cores
    with worker_pool(workers) as pool:
        chunks = list(_chunks(missing, pool, failures, reading, what))
        wanted = (chunk for chunk in chunks if chunk.video.id not in failures)
        read = partial(_read, settings=settings, streams=streams, backend=reading.backend)
        with Progress(f"snippets for {what}", sum(chunk.stop - chunk.start for chunk in chunks)) as progress:
            for chunk, snippets in pool.map(read, wanted, timeout_s=reading.timeout_s, lost=str):
                if isinstance(snippets, str):
                    failures.setdefault(chunk.video.id, f"{chunk.video.path}: {snippets}")
                elif chunk.video.id not in failures:
                    batch.add(chunk, snippets)
                note = f"{len(failures)} videos failed" if failures else ""
                progress.update(progress.done + chunk.stop - chunk.start, note)
        batch.flush()
    torch.set_num_threads(threads)
    return failures


def _chunks(
    videos: Sequence[VideoFile],
    pool: Workers,
    failures: dict[str, str],
    reading: ReadingSettings,
    what: str,
) -> Iterator[Chunk]:
    """The chunks of all videos that open; the others go to `failures`."""
    look = partial(examine, backend=reading.backend)
    opened = pool.map(look, videos, timeout_s=reading.timeout_s, lost=str)
    for video, total in track(opened, total=len(videos), what=f"opening videos for {what}"):
        if isinstance(total, str):
            failures[video.id] = f"{video.path}: {total}"
            continue
        for start in range(0, total, CHUNK):
            yield Chunk(video, start, min(start + CHUNK, total), total)


def examine(video: VideoFile, *, backend: str = "auto") -> int | str:
    """Snippets of a file, or why it cannot be used: unreadable, shorter than annotated."""
    try:
        count, duration_s = count_snippets(video.path, backend=backend)
    except UnreadableVideoError as error:
        return str(error)
    if video.duration_s is not None and duration_s < video.duration_s - SHORTER_BY_S:
        return f"it ends at {duration_s:.1f} s of {video.duration_s:.1f} s"
    return count


def _read(
    chunk: Chunk, *, settings: SnippetSettings, streams: tuple[str, ...], backend: str
) -> Snippets | str:
    try:
        return read_snippets(chunk.video.path, chunk.start, chunk.stop, settings, streams, backend=backend)
    except UnreadableVideoError as error:
        return str(error)
