"""BaS-Net's features: a file for each video and stream, in folders of the training and the test set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from tsrnet.datasets.layouts.videos import WTALC_RATE_HZ, ImportedVideo, LayoutSettings, Part, find_files
from tsrnet.datasets.records import VideoRecord


def basnet_videos(
    source: Path, records: Mapping[str, VideoRecord], settings: LayoutSettings
) -> Iterator[ImportedVideo]:
    """`{train,test}/{rgb,flow}/<id>.npy` below `source`, or below `features` in it."""
    folder = source / "features" if (source / "features").is_dir() else source
    for video_id, files in find_files(folder, "*/{stream}/{id}.npy").items():
        yield ImportedVideo(video_id, {name: Part(path) for name, path in files.items()}, WTALC_RATE_HZ)
