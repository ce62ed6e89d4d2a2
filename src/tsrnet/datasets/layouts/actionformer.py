"""ActionFormer's and OpenTAD's features: a file for each video, with times in frames of the video."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from tsrnet.core.errors import UserError
from tsrnet.datasets.layouts.videos import (
    ImportedVideo,
    LayoutSettings,
    Part,
    each_video,
    find_files,
    streams_of,
)
from tsrnet.datasets.records import VideoRecord

_FEAT_STRIDE, _NUM_FRAMES = 4, 16  # of their I3D features of THUMOS14


def actionformer_videos(
    source: Path, records: Mapping[str, VideoRecord], settings: LayoutSettings
) -> Iterator[ImportedVideo]:
    """`<prefix><id>.npy`: the centre of snippet i is at (i * feat_stride + num_frames / 2) / fps seconds.

    With a feat_stride of 0 or less, the n snippets of a file are as long as its video.
    """
    stride = _FEAT_STRIDE if settings.feat_stride is None else settings.feat_stride

    def make(video_id: str, files: dict[str, Path]) -> ImportedVideo:
        part, record = Part(files[""]), records.get(video_id)
        video = ImportedVideo(video_id, streams_of(part, settings))
        if settings.rate_hz:
            return video
        if stride > 0:
            return in_frames(video, record.fps if record else None, stride, settings)
        if not (record and record.duration_s):
            raise UserError("its duration is unknown; add it to the annotations")
        return replace(video, rate_hz=len(part.array()) / record.duration_s)

    return each_video(find_files(source, f"{settings.prefix}{{id}}.npy"), make)


def in_frames(
    video: ImportedVideo, fps: float | None, stride: int, settings: LayoutSettings
) -> ImportedVideo:
    """The video with a snippet every `stride` frames; UserError without `fps` and `settings.fps`."""
    fps = settings.fps or fps
    if not fps:
        raise UserError("its fps is unknown; add it to the annotations, or give fps=")
    num_frames = settings.num_frames or _NUM_FRAMES
    offset = num_frames / 2 if settings.offset_frames is None else settings.offset_frames
    return replace(video, rate_hz=fps / stride, offset_s=offset / fps, width_s=num_frames / fps)
