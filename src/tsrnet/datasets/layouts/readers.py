"""The features that other projects share: which file of a layout holds what, and when its snippets are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tsrnet.core.errors import UserError
from tsrnet.core.object_arrays import read_npy
from tsrnet.datasets.layouts.videos import (
    ImportedVideo,
    LayoutSettings,
    Part,
    each_video,
    find_files,
    streams_of,
)
from tsrnet.datasets.records import VideoRecord
from tsrnet.features.store import STREAMS

Records: TypeAlias = Mapping[str, VideoRecord]
_WTALC_RATE_HZ = 25 / 16
"""25 frames per second, one snippet every 16 frames: W-TALC and its successors."""
_FEAT_STRIDE, _NUM_FRAMES = 4, 16  # of ActionFormer's I3D features of THUMOS14
_TIMES, _FPS = "timestamps_ms", "fps"


def wtalc_videos(source: Path, records: Records, settings: LayoutSettings) -> Iterator[ImportedVideo]:
    """An object array with one (n, 2048) array per video, in the order of `records`."""
    features = read_npy(source)
    if features.ndim != 1 or len(features) != len(records):
        raise UserError(
            f"{source}: got features of {features.size} videos, the annotations list {len(records)};"
            " need files of one release"
        )

    def make(video_id: str, array: Any) -> ImportedVideo:
        return ImportedVideo(video_id, streams_of(Part(array), settings), _WTALC_RATE_HZ)

    return each_video(dict(zip(records, features, strict=True)), make)


def basnet_videos(source: Path, records: Records, settings: LayoutSettings) -> Iterator[ImportedVideo]:
    """`{train,test}/{rgb,flow}/<id>.npy` below `source`, or below `features` in it."""
    folder = source / "features" if (source / "features").is_dir() else source
    for video_id, files in find_files(folder, "*/{stream}/{id}.npy").items():
        yield ImportedVideo(video_id, {name: Part(path) for name, path in files.items()}, _WTALC_RATE_HZ)


def folder_videos(source: Path, records: Records, settings: LayoutSettings) -> Iterator[ImportedVideo]:
    """Files whose path below `source` matches `settings.pattern`; with {stream}, one file per stream."""

    def make(video_id: str, files: dict[str, Path]) -> ImportedVideo:
        parts = {name: Part(path, time_axis=settings.time_axis) for name, path in files.items()}
        return ImportedVideo(video_id, streams_of(parts[""], settings) if "" in parts else parts)

    return each_video(find_files(source, settings.pattern), make)


def actionformer_videos(source: Path, records: Records, settings: LayoutSettings) -> Iterator[ImportedVideo]:
    """`<prefix><id>.npy`: the centre of snippet i is at (i * feat_stride + num_frames / 2) / fps seconds.

    With a feat_stride of 0 or less, the n snippets of a file cover the whole video.
    """
    stride = _FEAT_STRIDE if settings.feat_stride is None else settings.feat_stride

    def make(video_id: str, files: dict[str, Path]) -> ImportedVideo:
        part, record = Part(files[""]), records.get(video_id)
        video = ImportedVideo(video_id, streams_of(part, settings))
        if settings.rate_hz:
            return video
        if stride > 0:
            return _in_frames(video, record.fps if record else None, stride, settings)
        if not (record and record.duration_s):
            raise UserError("its duration is unknown; add it to the annotations")
        return replace(video, rate_hz=len(part.array()) / record.duration_s)

    return each_video(find_files(source, f"{settings.prefix}{{id}}.npy"), make)


def _in_frames(
    video: ImportedVideo, fps: float | None, stride: int, settings: LayoutSettings
) -> ImportedVideo:
    """The video with a snippet every `stride` frames; UserError without `fps` and `settings.fps`."""
    fps = settings.fps or fps
    if not fps:
        raise UserError("its fps is unknown; add it to the annotations, or give fps=")
    num_frames = settings.num_frames or _NUM_FRAMES
    offset = num_frames / 2 if settings.offset_frames is None else settings.offset_frames
    return replace(video, rate_hz=fps / stride, offset_s=offset / fps, width_s=num_frames / fps)


def video_features_videos(
    source: Path, records: Records, settings: LayoutSettings
) -> Iterator[ImportedVideo]:
    """`<id>_rgb.npy` and `<id>_flow.npy`, or `<id>_<network>.npy`, each with `<id>_timestamps_ms.npy`.

    A time stamp of rgb and flow is the end of a snippet; the first snippet begins at 0. A time stamp of
    another network is the beginning of a frame. Without time stamps (R(2+1)D, S3D) `feat_stride`,
    `num_frames` and fps are needed.
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
            return _in_frames(video, fps, settings.feat_stride, settings)
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


READERS: dict[str, Callable[[Path, Records, LayoutSettings], Iterator[ImportedVideo]]] = {
    "wtalc": wtalc_videos,
    "basnet": basnet_videos,
    "actionformer": actionformer_videos,
    "opentad": actionformer_videos,
    "video_features": video_features_videos,
    "folder": folder_videos,
}
