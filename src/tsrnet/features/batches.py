"""Runs the networks on the snippets of one video after another, in batches of one size."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from tsrnet.features.backbone import Backbone
from tsrnet.features.store import FeatureStore, is_finite
from tsrnet.video.chunk import Chunk
from tsrnet.video.snippets import Snippets
from tsrnet.video.video_file import VideoFile


class Batches:
    """Takes the chunks of each video in order and writes its features after the last chunk.

    Batches continue across videos, and the last one is padded. With another number of rows a library may
    compute slightly different features, and a killed extraction would not continue with the same bytes.
    `failed(video, reason)` is called for features that are not finite; these are not written.
    """

    def __init__(
        self,
        backbones: Mapping[str, Backbone],
        store: FeatureStore,
        failed: Callable[[VideoFile, str], object],
    ) -> None:
        self._backbones, self._store, self._failed = backbones, store, failed
        on_gpu = any(backbone.mean.is_cuda for backbone in backbones.values())
        self._size = 64 if on_gpu else 16
        self._chunks: deque[Chunk] = deque()
        self._num_rows = 0  # snippets that wait
        self._pixels: dict[str, deque[npt.NDArray[np.generic]]] = {stream: deque() for stream in backbones}
        self._features: dict[str, list[npt.NDArray[np.generic]]] = {stream: [] for stream in backbones}
        self._video: dict[str, list[npt.NDArray[np.generic]]] = {}  # features of the incomplete video

    def seconds_per_snippet(self, snippets: Snippets) -> float:
        """The time that the networks take, measured on the second of two batches of these snippets."""
        spent_s = 0.0
        for stream, backbone in self._backbones.items():
            rows = np.resize(getattr(snippets, stream), (self._size, *getattr(snippets, stream).shape[1:]))
            backbone.features(rows)
            start = time.monotonic()
            backbone.features(rows)
            spent_s += time.monotonic() - start
        return spent_s / self._size

    def add(self, chunk: Chunk, snippets: Snippets) -> None:
        self._chunks.append(chunk)
        self._num_rows += len(chunk)
        for stream, pixels in self._pixels.items():
            pixels.append(getattr(snippets, stream))
        while self._num_rows >= self._size:
            self._run(self._size)

    def finish(self) -> None:
        """Run the snippets that are left, less than a batch."""
        if self._num_rows:
            self._run(self._num_rows)

    def _run(self, num_rows: int) -> None:
        for stream, backbone in self._backbones.items():
            rows = self._take(self._pixels[stream], num_rows)
            if num_rows < self._size:
                rows = np.concatenate([rows, np.zeros((self._size - num_rows, *rows.shape[1:]), rows.dtype)])
            self._features[stream].append(backbone.features(rows)[:num_rows])
        self._num_rows -= num_rows
        self._collect()

    @staticmethod
    def _take(waiting: deque[npt.NDArray[np.generic]], num_rows: int) -> npt.NDArray[np.generic]:
        """Remove the first rows. Only they are copied, because clips are views that share frames."""
        parts: list[npt.NDArray[np.generic]] = []
        while num_rows:
            part = waiting.popleft()
            if len(part) > num_rows:
                waiting.appendleft(part[num_rows:])
            parts.append(part[:num_rows])
            num_rows -= len(parts[-1])
        return np.concatenate(parts)

    def _collect(self) -> None:
        """Give the features that are done to their chunks; write the videos that are complete."""
        ready = {stream: np.concatenate(rows) for stream, rows in self._features.items()}
        num_ready, first = len(next(iter(ready.values()))), 0
        while self._chunks and (last := first + len(self._chunks[0])) <= num_ready:
            chunk = self._chunks.popleft()
            for stream, features in ready.items():
                before = self._video.get(stream, []) if chunk.start else []
                self._video[stream] = [*before, features[first:last]]
            if chunk.last:
                self._write(chunk.video)
            first = last
        self._features = {stream: [features[first:]] for stream, features in ready.items()}

    def _write(self, video: VideoFile) -> None:
        whole = {stream: np.concatenate(parts) for stream, parts in self._video.items()}
        self._video = {}
        if broken := [stream for stream, features in whole.items() if not is_finite(features)]:
            self._failed(video, f"its {' and '.join(broken)} features exceed float16; check the weights")
            return
        for stream, features in whole.items():
            self._store.write(stream, video.id, features)
