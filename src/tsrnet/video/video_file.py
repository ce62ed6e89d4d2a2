"""Video files before they are decoded: which there are, how they are read, whether they can be used."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic.dataclasses import dataclass as pydantic_dataclass

from tsrnet.core.errors import UserError
from tsrnet.core.files import check_id
from tsrnet.core.settings import KNOWN_KEYS, Positive
from tsrnet.video.reader import UnreadableVideoError
from tsrnet.video.snippets import count_snippets
from tsrnet.video.time_grid import MIN_SNIPPETS

SUFFIXES = {".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ogv", ".ts", ".webm", ".wmv"}
SHORTER_BY_S = 1.0
"""A file that ends this much before its annotated duration has been cut."""


@pydantic_dataclass(frozen=True, config=KNOWN_KEYS)
class ReadingSettings:
    """How videos are read: `backend` of the decoder, limit for opening one or reading 64 snippets."""

    backend: Literal["auto", "decord", "pyav", "torchcodec"] = "auto"
    timeout_s: Positive = 600.0


@dataclass(frozen=True)
class VideoFile:
    """A video to extract: its id, its file and, where known, its annotated duration in seconds."""

    id: str
    path: Path
    duration_s: float | None = None


@dataclass(frozen=True)
class Examined:
    """What opening a video showed: its snippets, or the `problem` for which it cannot be used."""

    num_snippets: int
    problem: str = ""
    cut: bool = False  # the problem is that it ends before its annotated duration


def examine(video: VideoFile, *, backend: str = "auto") -> Examined:
    """Open a file and count; no frame is decoded."""
    try:
        count, duration_s = count_snippets(video.path, backend=backend)
    except UnreadableVideoError as error:
        return Examined(0, str(error))
    if video.duration_s is not None and duration_s < video.duration_s - SHORTER_BY_S:
        return Examined(0, f"it ends at {duration_s:.1f} s of {video.duration_s:.1f} s", cut=True)
    if count < MIN_SNIPPETS:
        return Examined(0, f"it has {duration_s:.2f} s, need {MIN_SNIPPETS} snippets of 1/6 s")
    return Examined(count)


def videos_of_folder(folder: Path) -> list[VideoFile]:
    """The videos directly in a folder; an id is a file's name, without its suffix where that is enough.

    Raises UserError for no folder or no videos.
    """
    if not folder.is_dir():
        raise UserError(f"videos: got {folder}, need a folder of videos")
    return [VideoFile(name, path) for name, path in named_videos([folder]).items()]


def named_videos(given: Iterable[str | Path]) -> dict[str, Path]:
    """Name -> file of videos that are given as files, folders or patterns as clips/*.mp4.

    A name is that of the file, without its suffix where that is enough, with its folder's where it is not.
    Raises UserError where there are none.
    """
    files: dict[Path, None] = {}  # in order, each once
    for place in given:
        path = Path(place)
        if path.is_file():
            found = [path]
        elif path.is_dir():
            found = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
            if not found:
                raise UserError(f"video: {path} holds no file that ends in {', '.join(sorted(SUFFIXES))}")
        else:
            found = sorted(Path(file) for file in glob.glob(str(place), recursive=True))
            if not found:
                raise UserError(f"video: got {place}, there is no such file or folder")
        files |= dict.fromkeys(found)
    named: dict[str, Path] = {}
    for file in files:
        same = [other for other in files if other.stem == file.stem]
        name = file.stem if len(same) == 1 else file.name
        if len([other for other in same if other.name == file.name]) > 1:
            name = f"{file.resolve().parent.name}_{file.name}"
        if name in named:
            raise UserError(
                f"video: got {named[name]} and {file}, whose results would have one name; rename one"
            )
        named[check_id(name)] = file
    return named
