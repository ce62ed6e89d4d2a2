"""W-TALC's features, which CO2-Net, DELU, ASM-Loc and others share: one .npy file for all videos."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from tsrnet.core.errors import UserError
from tsrnet.core.object_arrays import read_npy
from tsrnet.datasets.layouts.videos import WTALC_RATE_HZ, ImportedVideo, LayoutSettings, Part, streams_of
from tsrnet.datasets.records import VideoRecord


def wtalc_videos(
    source: Path, records: Mapping[str, VideoRecord], settings: LayoutSettings
) -> Iterator[ImportedVideo]:
    """An object array of one (n, 2048) array a video, in the order of `records`."""
    features = read_npy(source)
    if features.ndim != 1 or len(features) != len(records):
        raise UserError(
            f"{source}: got features of {features.size} videos, the annotations list {len(records)};"
            " need files of one release"
        )
    for video_id, array in zip(records, features, strict=True):
        try:
            yield ImportedVideo(video_id, streams_of(Part(array), settings), WTALC_RATE_HZ)
        except UserError as error:
            yield ImportedVideo(video_id, {}, problem=str(error))
