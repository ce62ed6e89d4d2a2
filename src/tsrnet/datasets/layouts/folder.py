"""Feature files of any name in a folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from tsrnet.datasets.layouts.videos import (
    ImportedVideo,
    LayoutSettings,
    Part,
    each_video,
    find_files,
    streams_of,
)
from tsrnet.datasets.records import VideoRecord


def folder_videos(
    source: Path, records: Mapping[str, VideoRecord], settings: LayoutSettings
) -> Iterator[ImportedVideo]:
    """Files whose path below `source` is `settings.pattern`; of one stream each where it has {stream}."""

    def make(video_id: str, files: dict[str, Path]) -> ImportedVideo:
        parts = {name: Part(path, time_axis=settings.time_axis) for name, path in files.items()}
        return ImportedVideo(video_id, streams_of(parts[""], settings) if "" in parts else parts)

    return each_video(find_files(source, settings.pattern), make)
