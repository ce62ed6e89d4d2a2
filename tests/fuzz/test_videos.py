"""A video that was changed is read, or its reason is; the next one is read either way."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from fuzzing import FUZZ, MEMORY, changed_bytes
from hypothesis import given
from hypothesis import strategies as st

from tsrnet.core.workers import Workers, worker_pool
from tsrnet.video.chunk import ChunkReader, chunks_of
from tsrnet.video.flow_settings import TVL1
from tsrnet.video.snippets import SnippetSettings
from tsrnet.video.video_file import VideoFile, examine

SETTINGS = SnippetSettings(resize=32, crop=32, flow=TVL1())


def video(kind: str, codec: str, **tags: str) -> bytes:
    """A second of 32 x 32 pixels."""
    file = io.BytesIO()
    with av.open(file, "w", format=kind) as container:
        container.metadata.update(tags)
        stream = container.add_stream(codec, rate=30)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        for index in range(30):
            image = np.full((32, 32, 3), 8 * index, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


VIDEOS = [
    video("mp4", "libx264", title="a title"),
    video("mov", "mpeg4"),
    video("avi", "mpeg4"),
    video("matroska", "libx264", title="a title"),
]


def snippets_or_reason(task: tuple[Path, str]) -> int | str:
    """What an extraction does with a video: look, then read its first chunk."""
    path, backend = task
    file = VideoFile("a", path)
    found = examine(file, backend=backend)
    for chunk in list(chunks_of(file, found.num_snippets))[:1]:
        pixels = ChunkReader(SETTINGS, ("rgb",), backend)(chunk)
        return pixels if isinstance(pixels, str) else found.num_snippets
    return found.problem


@pytest.fixture(scope="module")
def pool() -> Iterator[Workers]:
    with worker_pool(1) as workers:
        yield workers


@pytest.mark.parametrize("backend", ["auto", "pyav"])
def test_a_changed_video_is_read_or_has_a_reason(pool: Workers, backend: str) -> None:
    @FUZZ
    @given(st.sampled_from(VIDEOS).flatmap(changed_bytes))
    def check(content: bytes) -> None:
        with tempfile.TemporaryDirectory(dir=MEMORY) as temporary:
            path = Path(temporary) / "a.video"
            path.write_bytes(content)
            ((_, found),) = pool.map(snippets_or_reason, [(path, backend)], timeout_s=30, lost=str)
            assert found
            assert isinstance(found, str) or found <= 6 * 600 * 30  # of 30 frames
            assert "took longer" not in str(found)

    check()
