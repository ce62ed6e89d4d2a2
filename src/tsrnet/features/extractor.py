"""Videos to features: worker processes decode and compute flow, the networks run here."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from tsrnet.errors import UserError
from tsrnet.features.backbone import Backbone
from tsrnet.features.store import FeatureStore
from tsrnet.files import check_id, check_space
from tsrnet.progress import Progress, track
from tsrnet.video.reader import BACKENDS, UnreadableVideoError
from tsrnet.video.snippets import Snippets, SnippetSettings, count_snippets, read_snippets
from tsrnet.video.time_grid import TimeGrid
from tsrnet.workers import Workers, worker_pool

CHUNK = 64
"""Snippets read at a time: bounds the memory whatever the length of a video."""
SUFFIXES = {".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ogv", ".ts", ".webm", ".wmv"}
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

    def __len__(self) -> int:
        return self.stop - self.start


class _Batches:
    """Runs the networks over snippets of one video after another, always as many at a time.

    Batches go across videos, and a rest is filled up: with another number of rows a library may take
    another way to the same features, and what was killed would not go on to the same bytes.
    """

    def __init__(self, backbones: Mapping[str, Backbone], store: FeatureStore) -> None:
        self._backbones, self._store = backbones, store
        on_gpu = any(backbone.mean.is_cuda for backbone in backbones.values())
        self._size = 64 if on_gpu else 16
        self._chunks: deque[Chunk] = deque()
        self._num_rows = 0  # snippets that wait
        self._pixels: dict[str, list[np.ndarray]] = {stream: [] for stream in backbones}
        self._features: dict[str, list[np.ndarray]] = {stream: [] for stream in backbones}
        self._video: dict[str, list[np.ndarray]] = {}  # features of the one that is not complete

    def add(self, chunk: Chunk, snippets: Snippets) -> None:
        self._chunks.append(chunk)
        self._num_rows += len(chunk)
        for stream, pixels in self._pixels.items():
            pixels.append(getattr(snippets, stream))
        while self._num_rows >= self._size:
            self._run(self._size)

    def finish(self) -> None:
        """Run what is left, which is less than a batch."""
        if self._num_rows:
            self._run(self._num_rows)

    def _run(self, num_rows: int) -> None:
        for stream, backbone in self._backbones.items():
            waiting = np.concatenate(self._pixels[stream])
            rows = waiting[: self._size]
            if num_rows < self._size:
                rows = np.concatenate([rows, np.zeros((self._size - num_rows, *rows.shape[1:]), rows.dtype)])
            self._pixels[stream] = [waiting[self._size :]]
            self._features[stream].append(backbone.features(rows)[:num_rows])
        self._num_rows -= num_rows
        self._write()

    def _write(self) -> None:
        """Give the features that are done to their chunks; write the videos that are complete."""
        ready = {stream: np.concatenate(rows) for stream, rows in self._features.items()}
        num_ready, first = len(next(iter(ready.values()))), 0
        while self._chunks and (last := first + len(self._chunks[0])) <= num_ready:
            chunk = self._chunks.popleft()
            for stream, features in ready.items():
                before = self._video.get(stream, []) if chunk.start else []
                self._video[stream] = [*before, features[first:last]]
                if chunk.stop == chunk.total:
                    self._store.write(stream, chunk.video.id, np.concatenate(self._video.pop(stream)))
            first = last
        self._features = {stream: [features[first:]] for stream, features in ready.items()}


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
    batches = _Batches(backbones, store)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # more of them would fight the workers for the cores
    with worker_pool(workers) as pool:
        chunks = list(_chunks(missing, pool, failures, reading, what))
        num_snippets = sum(map(len, chunks))
        num_bytes = 2 * num_snippets * sum(backbone.num_features for backbone in backbones.values())
        hours = num_snippets / TimeGrid().rate_hz / 3600
        print(
            f"to extract: {num_snippets} snippets ({hours:.2f} h of video),"
            f" {num_bytes / 1e9:.2f} GB of features; TV-L1 by {settings.flow.backend}"
        )
        check_space(store.folder, num_bytes)
        wanted = (chunk for chunk in chunks if chunk.video.id not in failures)
        read = partial(_read, settings=settings, streams=streams, backend=reading.backend)
        with Progress(f"snippets for {what}", num_snippets) as progress:
            for chunk, snippets in pool.map(read, wanted, timeout_s=reading.timeout_s, lost=str):
                if isinstance(snippets, str):
                    failures.setdefault(chunk.video.id, f"{chunk.video.path}: {snippets}")
                elif chunk.video.id not in failures:
                    batches.add(chunk, snippets)
                note = f"{len(failures)} videos failed" if failures else ""
                progress.update(progress.done + len(chunk), note)
        batches.finish()
    torch.set_num_threads(threads)
    return failures


def videos_of_folder(folder: Path) -> list[VideoFile]:
    """The videos directly in a folder; an id is a file's name, without its suffix where that is enough.

    Raises UserError for no folder or no videos.
    """
    if not folder.is_dir():
        raise UserError(f"videos: got {folder}, need a folder of videos")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not files:
        raise UserError(f"videos: {folder} holds no file that ends in {', '.join(sorted(SUFFIXES))}")
    stems = Counter(path.stem for path in files)
    return [VideoFile(check_id(path.stem if stems[path.stem] == 1 else path.name), path) for path in files]


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
