"""Chunks of videos: a worker process reads one at a time, and this process makes snippets of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tsrnet.video.decoders import UnreadableVideoError
from tsrnet.video.snippets import Snippets, SnippetSettings, clips_of, read_frames, snippets_of
from tsrnet.video.video_file import VideoFile

CHUNK = 64
"""Snippets read at a time: bounds the memory for videos of any length."""

Pixels = Snippets | npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Chunk:
    """Snippets start, ..., stop - 1 of the `total` of a video."""

    video: VideoFile
    start: int
    stop: int
    total: int

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def last(self) -> bool:
        return self.stop == self.total


def chunks_of(video: VideoFile, num_snippets: int) -> Iterator[Chunk]:
    """All snippets of a video in order."""
    for start in range(0, num_snippets, CHUNK):
        yield Chunk(video, start, min(start + CHUNK, num_snippets), num_snippets)


@dataclass(frozen=True)
class ChunkReader:
    """Reads chunks in a worker process; `complete` then makes snippets of them in this process.

    `decodes_only`: the flow is left to `complete`, where `flow_device` computes it.
    """

    settings: SnippetSettings
    streams: tuple[str, ...]
    backend: str
    decodes_only: bool = False
    flow_device: str = "cpu"

    def __call__(self, chunk: Chunk) -> Pixels | str:
        """Snippets, or frames if the flow is computed elsewhere, or why the file cannot be read."""
        try:
            frames = read_frames(
                chunk.video.path, chunk.start, chunk.stop, self.settings, backend=self.backend
            )
        except UnreadableVideoError as error:
            return str(error)
        return frames if self.decodes_only else snippets_of(frames, self.settings, self.streams)

    def complete(self, pixels: Pixels) -> Snippets:
        """The snippets. Clips are cut here, so that the frames that they share are sent only once."""
        snippets = pixels
        if not isinstance(snippets, Snippets):
            snippets = snippets_of(snippets, self.settings, self.streams, self.flow_device)
        if self.settings.clip and snippets.rgb is not None:
            return replace(snippets, rgb=clips_of(snippets.rgb, self.settings.clip))
        return snippets
