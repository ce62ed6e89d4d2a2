"""Features of video_features (v-iashin): files for each video and stream, and files of time stamps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tsrnet.core.errors import UserError
from tsrnet.core.object_arrays import read_npy
from tsrnet.datasets.layouts.actionformer import in_frames
from tsrnet.datasets.layouts.videos import ImportedVideo, LayoutSettings, Part, each_video, find_files
from tsrnet.datasets.records import VideoRecord
from tsrnet.features.store import STREAMS

_TIMES, _FPS = "timestamps_ms", "fps"


def video_features_videos(
    source: Path, records: Mapping[str, VideoRecord], settings: LayoutSettings
) -> Iterator[ImportedVideo]:
    """`<id>_rgb.npy` and `<id>_flow.npy`, or `<id>_<network>.npy`, each with `<id>_timestamps_ms.npy`.

    A time stamp of rgb and flow is the end of a snippet, which begins at 0; that of another network is the
    beginning of a frame. Without time stamps (R(2+1)D, S3D) `feat_stride`, `num_frames` and fps are needed.
    """
    videos = _files_by_video(source)
    networks = {kind for files in videos.values() for kind in files} - {*STREAMS, _TIMES, _FPS}
    if len(networks) > 1:
        raise UserError(
            f"{source}: holds features of {', '.join(sorted(networks))}; need one network in a folder"
        )
    names = {name: name for name in STREAMS} | dict.fromkeys(networks, settings.stream or "features")

    def make(video_id: str, files: dict[str, Path]) -> ImportedVideo:
        parts = {names[kind]: Part(path) for kind, path in files.items() if kind in names}
        video, record = ImportedVideo(video_id, parts), records.get(video_id)
        if settings.rate_hz:
            return video
        if settings.feat_stride and settings.num_frames:
            fps = _numbers(files[_FPS])[0] if _FPS in files else record.fps if record else None
            return in_frames(video, fps, settings.feat_stride, settings)
        if _TIMES not in files:
            raise UserError(f"it has no {video_id}_{_TIMES}.npy; give feat_stride=, num_frames= and fps=")
        return _at_times(video, _numbers(files[_TIMES]) / 1000)

    return each_video(videos, make)


def _files_by_video(source: Path) -> dict[str, dict[str, Path]]:
    videos: dict[str, dict[str, Path]] = {}
    for name, files in find_files(source, "{id}_{stream}.npy").items():
        for kind, path in files.items():
            if kind == "ms" and name.endswith("_timestamps"):
                videos.setdefault(name.removesuffix("_timestamps"), {})[_TIMES] = path
            else:
                videos.setdefault(name, {})[kind] = path
    return videos


def _numbers(path: Path) -> npt.NDArray[Any]:
    numbers = np.ravel(read_npy(path))
    if not numbers.size or numbers.dtype.kind not in "iuf":
        raise UserError(f"{path}: got {numbers.dtype} {numbers.shape}, need numbers")
    return numbers


def _at_times(video: ImportedVideo, times_s: npt.NDArray[Any]) -> ImportedVideo:
    """The video with the snippets of these time stamps."""
    lengths = sorted({len(part.array()) for part in video.streams.values()})
    if lengths != [len(times_s)]:
        raise UserError(f"it has {len(times_s)} time stamps for {' and '.join(map(str, lengths))} snippets")
    if len(times_s) < 2 or not (np.diff(times_s) > 0).all():
        raise UserError("its time stamps do not increase; need two or more that do")
    first_s = float(times_s[0])
    step_s = (float(times_s[-1]) - first_s) / (len(times_s) - 1)
    if not video.streams.keys() & STREAMS:
        return replace(video, rate_hz=1 / step_s, offset_s=first_s + step_s / 2)
    if first_s <= 0:
        raise UserError(f"its first time stamp is {first_s:g} s; need the end of the first snippet")
    return replace(video, rate_hz=1 / step_s, offset_s=first_s / 2, width_s=first_s)
