"""Videos to features: worker processes decode and compute flow, the networks run here."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from tsrnet.features.backbone import Backbone
from tsrnet.features.store import FeatureStore
from tsrnet.progress import track
from tsrnet.video.reader import UnreadableVideoError
from tsrnet.video.snippets import Snippets, SnippetSettings, count_snippets, read_snippets
from tsrnet.workers import worker_pool

CHUNK = 64
"""Snippets read at a time: bounds the memory whatever the length of a video."""
AHEAD = 8
"""Chunks read before they are needed: keeps the workers busy, bounds the memory."""
SHORTER_BY_S = 1.0
"""A file that ends this much before its annotated duration has been cut."""

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True)
class VideoFile:
    """A video to extract: its id, its file and, where known, its annotated duration in seconds."""

    id: str
    path: Path
    duration_s: float | None = None


def extract(
    videos: Sequence[VideoFile],
    store: FeatureStore,
    backbones: Mapping[str, Backbone],
    settings: SnippetSettings,
    *,
    workers: int,
    what: str,
) -> dict[str, str]:
    """Write the features that are missing; return {video id: reason} of videos that failed."""
    streams = tuple(backbones)
    missing = [v for v in videos if not all(store.path(s, v.id).exists() for s in streams)]
    if not missing:
        return {}
    failures: dict[str, str] = {}
    with worker_pool(workers) as pool:
        chunks: list[tuple[VideoFile, int, int, int]] = []
        for video, counted in zip(missing, pool.map(examine, missing), strict=True):
            if isinstance(counted, str):
                failures[video.id] = counted
                continue
            starts = range(0, counted, CHUNK)
            chunks += [(video, start, min(start + CHUNK, counted), counted) for start in starts]
        tasks = ((video.path, start, stop, settings, streams) for video, start, stop, _ in chunks)
        done: dict[str, list[np.ndarray]] = {stream: [] for stream in streams}
        results = zip(chunks, _map(pool, _read, tasks, ahead=AHEAD), strict=True)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # more of them would fight the workers for the cores
        for (video, _, stop, total), snippets in track(results, total=len(chunks), what=what):
            if isinstance(snippets, str):
                failures.setdefault(video.id, snippets)
            if video.id not in failures and not isinstance(snippets, str):
                for stream, backbone in backbones.items():
                    done[stream].append(_features(backbone, getattr(snippets, stream)))
            if stop == total:
                for stream in streams:
                    if video.id not in failures:
                        store.write(stream, video.id, np.concatenate(done[stream]))
                    done[stream] = []
        torch.set_num_threads(threads)
    return failures


@torch.inference_mode()
def _features(backbone: Backbone, snippets: np.ndarray) -> np.ndarray:
    features: np.ndarray = backbone(torch.from_numpy(snippets)).half().numpy()
    return features


def examine(video: VideoFile) -> int | str:
    """Snippets of a file, or why it cannot be used: unreadable, shorter than annotated."""
    try:
        count, duration_s = count_snippets(video.path)
    except UnreadableVideoError as error:
        return f"{video.path}: {error}"
    if video.duration_s is not None and duration_s < video.duration_s - SHORTER_BY_S:
        return f"{video.path}: it ends at {duration_s:.1f} s of {video.duration_s:.1f} s"
    return count


def _read(task: tuple[Path, int, int, SnippetSettings, tuple[str, ...]]) -> Snippets | str:
    try:
        return read_snippets(*task)
    except UnreadableVideoError as error:
        return f"{task[0]}: {error}"


def _map(
    pool: ProcessPoolExecutor, function: Callable[[Task], Result], tasks: Iterable[Task], *, ahead: int
) -> Iterator[Result]:
    """Like `pool.map`, with at most `ahead` results waiting: memory stays bounded."""
    waiting: deque[Future[Result]] = deque()
    for task in tasks:
        waiting.append(pool.submit(function, task))
        if len(waiting) >= ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
