"""A video with features of another project: its files, how they split into streams, when its snippets are."""

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass as plain_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic.dataclasses import dataclass

from tsrnet.core.errors import UserError
from tsrnet.core.object_arrays import read_npy
from tsrnet.core.reading import reading
from tsrnet.core.settings import KNOWN_KEYS, Count, NonNegative, Positive
from tsrnet.features.store import JOINT, STREAMS, Features

Found = TypeVar("Found")
_JOINT_WIDTH, _RGB_WIDTH = 2048, 1024  # of I3D
_JOINT_LAYOUTS = ("wtalc", "actionformer", "opentad")


@dataclass(frozen=True, config=KNOWN_KEYS)
class LayoutSettings:
    """Where features lie and when their snippets are; None leaves it to the layout.

    Args:
        layout: whose files they are.
        split: column at which a file splits into rgb and flow, None: not at all; "auto": 1024 for files of
            wtalc, actionformer and opentad that are 2,048 wide.
        stream: name of the stream of files that hold one; default: "joint" for those 2,048 wide files, else
            "features".
        rate_hz, offset_s, width_s: as for `TimeGrid`, in place of what the layout says.
        fps: frames per second of all videos, in place of those in the annotations.
        feat_stride: frames between snippets (actionformer, opentad: 4); 0 or less: files are resized to
            some length, and n snippets last as long as the video.
        num_frames: frames that a snippet sees (actionformer, opentad: 16).
        offset_frames: frame in the middle of the first snippet; default: num_frames / 2.
        prefix: what comes before the id in the name of a file (actionformer, opentad).
        pattern: path of a file below the source, of {id}, {stream} and * (folder).
        time_axis: which axis is time (folder).
    """

    layout: Literal["wtalc", "basnet", "actionformer", "opentad", "video_features", "folder"]
    split: Count | Literal["auto"] | None = "auto"
    stream: str | None = None
    rate_hz: Positive | None = None
    offset_s: NonNegative | None = None
    width_s: Positive | None = None
    fps: Positive | None = None
    feat_stride: int | None = None
    num_frames: Positive | None = None
    offset_frames: NonNegative | None = None
    prefix: str = ""
    pattern: str = "{stream}/{id}.npy"
    time_axis: Literal[0, 1] = 0


@plain_dataclass(frozen=True)
class Part:
    """The features of one stream of a video, not read yet: a file or an array, and which part of it."""

    source: Path | npt.NDArray[Any]
    columns: tuple[int, int] | None = None
    time_axis: int = 0

    def array(self) -> npt.NDArray[Any]:
        """(n, d) of any float type, memory-mapped; UserError for any other array."""
        if isinstance(self.source, Path):
            array = read_npy(self.source)
        else:
            with reading("its features", "an array of numbers"):
                array = np.asarray(self.source)
        if array.ndim != 2 or array.dtype.kind != "f":
            where = f"{self.source}: " if isinstance(self.source, Path) else ""
            raise UserError(f"{where}got {array.dtype} {array.shape}, need floats (snippets, d)")
        array = array.T if self.time_axis else array
        return array[:, slice(*self.columns)] if self.columns else array

    def load(self) -> Features:
        """(n, d) in memory or mapped, in C order: float16 unchanged, other types as float32."""
        array = self.array()
        kind = np.float16 if array.dtype.itemsize == 2 else np.float32
        features: Features = np.ascontiguousarray(array, kind)
        return features

    @property
    def file(self) -> Path | None:
        """The file, if a feature store can use it unchanged, else None."""
        if not isinstance(self.source, Path) or self.columns or self.time_axis:
            return None
        array = self.array()
        as_it_is = array.dtype in (np.float16, np.float32) and array.flags.c_contiguous
        return self.source if as_it_is else None


@plain_dataclass(frozen=True)
class ImportedVideo:
    """The streams of a video, and the arguments of its `TimeGrid`; None: the defaults.

    Without a rate, the n snippets cover the video. `problem` says why it cannot be imported.
    """

    id: str
    streams: Mapping[str, Part]
    rate_hz: float | None = None
    offset_s: float | None = None
    width_s: float | None = None
    problem: str = ""


def each_video(
    found: Mapping[str, Found], make: Callable[[str, Found], ImportedVideo]
) -> Iterator[ImportedVideo]:
    """Call `make` for every video and what was found of it. A UserError becomes its `problem`."""
    for video_id, own in found.items():
        try:
            yield make(video_id, own)
        except UserError as error:
            yield ImportedVideo(video_id, {}, problem=str(error))


def streams_of(part: Part, settings: LayoutSettings) -> dict[str, Part]:
    """The streams in a file that holds all features of a video."""
    width = part.array().shape[1]
    is_joint = width == _JOINT_WIDTH and settings.layout in _JOINT_LAYOUTS
    split = settings.split
    if split == "auto":
        split = _RGB_WIDTH if is_joint and settings.stream is None else None
    if split is None:
        return {settings.stream or (JOINT if is_joint else "features"): part}
    if split >= width:
        raise UserError(f"split: got {split} for features of {width} columns, need fewer, or split=null")
    halves = ((0, split), (split, width))
    return {
        name: Part(part.source, columns, part.time_axis)
        for name, columns in zip(STREAMS, halves, strict=True)
    }


def find_files(folder: Path, pattern: str) -> dict[str, dict[str, Path]]:
    """{id: {stream: file}} of the files below `folder` whose path is `pattern`, by id.

    `pattern` has {id} once, {stream} once or not at all (then the stream is ""), and * for anything within
    a name. A stream has no _ in it. Raises UserError where there is no such file, or two of one stream.
    """
    if pattern.count("{id}") != 1 or pattern.count("{stream}") > 1:
        raise UserError(f"pattern: got {pattern!r}, need {{id}} once and {{stream}} at most once")
    expression = re.escape(pattern).replace(r"\{id\}", "(?P<id>[^/]+)").replace(r"\*", "[^/]*")
    matcher = re.compile(expression.replace(r"\{stream\}", "(?P<stream>[^/_]+)"))
    anything = "*".join(map(glob.escape, re.split(r"\{id\}|\{stream\}|\*", pattern)))
    files: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.glob(anything)):
        if found := matcher.fullmatch(path.relative_to(folder).as_posix()):
            stream = found.groupdict().get("stream", "").lower()
            other = files.setdefault(found["id"], {}).setdefault(stream, path)
            if other != path:
                raise UserError(f"{path}: is the same video and stream as {other}; remove one of the two")
    if not files:
        raise UserError(f"{folder}: holds no file {pattern}; correct the source, or pattern or prefix")
    return dict(sorted(files.items()))
