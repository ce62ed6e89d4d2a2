"""Turns videos into features: worker processes decode, then come flow and networks.

On a CPU the workers compute the flow too, each pair in one core's cache. With a GPU they only decode. Flow
and networks run on the GPU, 64 snippets at a time, while the workers continue.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch

from tsrnet.core.errors import UserError
from tsrnet.core.files import check_space, remove_parts_of_the_dead
from tsrnet.core.progress import Progress, track
from tsrnet.core.wording import counted
from tsrnet.core.workers import Workers, worker_pool
from tsrnet.features.backbone import Backbone
from tsrnet.features.batches import Batches
from tsrnet.features.store import FeatureStore
from tsrnet.video.chunk import Chunk, ChunkReader, Pixels, chunks_of
from tsrnet.video.decoders import decoder_in_use
from tsrnet.video.optical_flow import check_flow
from tsrnet.video.snippet_images import SnippetImages
from tsrnet.video.snippets import SnippetSettings
from tsrnet.video.time_grid import TimeGrid
from tsrnet.video.video_file import Examined, ReadingSettings, VideoFile, examine

FLOW_HERE = frozenset({"cuda"})
"""Devices that compute the flow in this process, if the method can run there."""
_WORTH_AN_ESTIMATE = 300
"""The time is estimated before the start for this number of snippets or more."""
_FAST_S = 0.1
"""Below this time for a snippet, opening and seeking count: the estimate reads longer parts."""


@dataclass(frozen=True)
class Extraction:
    """How pixels become features: snippets, reading, number of worker processes (0: one per core).

    `images`: stream -> where its pixels are also kept as 8-bit images.
    """

    snippets: SnippetSettings = field(default_factory=SnippetSettings)
    reading: ReadingSettings = field(default_factory=ReadingSettings)
    workers: int = 0
    images: Mapping[str, SnippetImages] = field(default_factory=dict)


def extract(
    videos: Sequence[VideoFile],
    store: FeatureStore,
    backbones: Mapping[str, Backbone],
    settings: Extraction,
    *,
    what: str,
) -> dict[str, str]:
    """Write the features that are missing; return {video id: reason} of videos that failed.

    A video that cannot be read, hangs or kills its process is skipped; the others continue. The networks run
    on the device of their weights. Raises UserError if a network cannot take such pixels.
    """
    missing = [video for video in videos if is_missing(video, store, tuple(backbones), settings)]
    if not missing:
        return {}
    _check(backbones, settings)
    remove_parts_of_the_dead(store.folder)
    failures: dict[str, str] = {}

    def failed(video: VideoFile, reason: str) -> None:
        failures.setdefault(video.id, f"{video.path}: {reason}")

    batches = Batches(backbones, store, failed)
    device = next(iter(backbones.values())).mean.device.type
    flow = settings.snippets.flow
    flow_here = "flow" in backbones and device in FLOW_HERE and flow.runs_on_gpu
    reader = ChunkReader(
        settings.snippets,
        tuple(backbones),
        settings.reading.backend,
        flow_here,
        device if flow_here else "cpu",
    )
    one_thread = "flow" in backbones and not flow_here  # more would compete with the workers for the cores
    with _threads(1 if one_thread else torch.get_num_threads()), worker_pool(settings.workers) as pool:
        chunks = list(_chunks(missing, pool, failed, settings.reading, what))
        num_snippets = sum(map(len, chunks))
        num_bytes = 2 * num_snippets * sum(backbone.num_features for backbone in backbones.values())
        hours = num_snippets / TimeGrid().rate_hz / 3600
        print(
            f"to extract: {counted(len(missing) - len(failures), 'video')} ({hours:.2f} h),"
            f" {counted(num_snippets, 'snippet')}, {num_bytes / 1e9:.2f} GB of features;"
            f" decoder {decoder_in_use(settings.reading.backend)}"
            + f", flow {flow.method} on {device if flow_here else 'cpu'}" * ("flow" in backbones)
            + f", networks on {device}",
            flush=True,
        )
        check_space(store.folder, num_bytes)
        limit_s = settings.reading.timeout_s
        if num_snippets >= _WORTH_AN_ESTIMATE:
            one_s = _seconds_per_snippet(chunks, pool, reader, batches, limit_s)
            print(f"this will take about {_duration(one_s * num_snippets)} on this machine", flush=True)
        wanted = (chunk for chunk in chunks if chunk.video.id not in failures)
        with Progress(f"extracting features of {what} (snippets)", num_snippets) as progress:
            for chunk, pixels in pool.map(reader, wanted, timeout_s=limit_s, lost=str):
                if isinstance(pixels, str):
                    failed(chunk.video, pixels)
                elif chunk.video.id not in failures:
                    snippets = reader.complete(pixels)
                    for stream, images in settings.images.items():
                        images.add(chunk.video.id, chunk.start, getattr(snippets, stream), last=chunk.last)
                    batches.add(chunk, snippets)
                note = f"{counted(len(failures), 'video')} failed" if failures else ""
                progress.update(progress.done + len(chunk), note)
        batches.finish()
    for images in settings.images.values():
        images.discard()
    return failures


@contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _check(backbones: Mapping[str, Backbone], settings: Extraction) -> None:
    """Raise UserError before the first video for settings that are wrong for every video."""
    if settings.snippets.clip and "rgb" in settings.images:
        raise UserError(
            "backbone.finetune: got true with a network for clips, need a network for images;"
            " give features=resnet101 or efficientnet_lite0"
        )
    if "flow" in backbones:
        check_flow(settings.snippets.flow)
    for backbone in backbones.values():
        backbone.check(settings.snippets)


def is_missing(video: VideoFile, store: FeatureStore, streams: Sequence[str], settings: Extraction) -> bool:
    """Return whether a requested file of the video is missing."""
    return not all(store.path(stream, video.id).exists() for stream in streams) or not all(
        images.path(video.id).exists() for images in settings.images.values()
    )


def _chunks(
    videos: Sequence[VideoFile],
    pool: Workers,
    failed: Callable[[VideoFile, str], None],
    reading: ReadingSettings,
    what: str,
) -> Iterator[Chunk]:
    """Yield the chunks of all videos that can be used; call `failed` for the others."""
    look = partial(examine, backend=reading.backend)
    opened = pool.map(look, videos, timeout_s=reading.timeout_s, lost=partial(Examined, 0))
    for video, found in track(opened, total=len(videos), what=f"opening the videos of {what}"):
        if found.problem:
            failed(video, found.problem)
        yield from chunks_of(video, found.num_snippets)


def _seconds_per_snippet(
    chunks: Sequence[Chunk], pool: Workers, reader: ChunkReader, batches: Batches, limit_s: float
) -> float:
    """Measure a few snippets of some chunks, once all processes run and all code is compiled."""
    spread = [chunks[i] for i in np.linspace(0, len(chunks) - 1, 4 * pool.number).astype(int)]

    def read(length: int) -> tuple[float, list[tuple[Chunk, Pixels]]]:
        parts = [replace(chunk, stop=min(chunk.start + length, chunk.stop)) for chunk in spread]
        start = time.monotonic()
        found = list(pool.map(reader, parts, timeout_s=limit_s, lost=str))
        spent_s = (time.monotonic() - start) / sum(map(len, parts))
        return spent_s, [(part, pixels) for part, pixels in found if not isinstance(pixels, str)]

    read(2)
    read_s, readable = read(2)
    if read_s < _FAST_S:
        read_s, readable = read(16)
    if not readable:
        return read_s
    part, pixels = readable[0]
    reader.complete(pixels)
    start = time.monotonic()
    snippets = reader.complete(pixels)
    here_s = (time.monotonic() - start) / len(part) + batches.seconds_per_snippet(snippets)
    if not reader.decodes_only:  # then the networks use the same cores as the workers
        read_s += here_s / pool.number
    return max(read_s, here_s)


def _duration(seconds: float) -> str:
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds > 1.5 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"
