"""Video files before they are decoded: which there are, how they are read, whether they can be used."""

from __future__ import annotations

import glob
import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic.dataclasses import dataclass as pydantic_dataclass

from tsrnet.core.errors import UserError
from tsrnet.core.files import check_id
from tsrnet.core.settings import KNOWN_KEYS, Positive
from tsrnet.video.decoders import UnreadableVideoError
from tsrnet.video.snippets import count_snippets
from tsrnet.video.time_grid import MIN_SNIPPETS

SUFFIXES = {".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ogv", ".ts", ".webm", ".wmv"}
_LONGEST_NAME = 100
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
    """What opening a video showed: its snippets, or the `problem` that makes it useless."""

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
    """The videos directly in a folder; an id is a file's name, without its suffix if that is unique.

    Raises UserError for no folder or no videos.
    """
    if not folder.is_dir():
        raise UserError(f"videos: got {folder}, need a folder of videos")
    return [VideoFile(name, path) for name, path in named_videos([folder]).items()]


def named_videos(given: Iterable[str | Path]) -> dict[str, Path]:
    """Name -> file of videos given as files, folders or patterns such as clips/*.mp4, each file once.

    A name is that of the file: without its suffix if that is unique, else with as many folders as needed.
    Hidden files of a folder are left out. Raises UserError if there are no files.
    """
    files: dict[Path, Path] = {}  # absolute path -> as it was given, in order
    for place in given:
        path = Path(place)
        if path.is_dir():
            videos = (file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
            found = sorted(file for file in videos if not file.name.startswith("."))
            if not found:
                raise UserError(f"video: {path} holds no file that ends in {', '.join(sorted(SUFFIXES))}")
        elif path.exists():
            found = [path]
        else:
            found = sorted(Path(file) for file in glob.glob(str(place), recursive=True))
            if not found:
                raise UserError(f"video: got {place}, there is no such file or folder")
        for file in found:
            files.setdefault(Path(os.path.abspath(file)), file)
    names = _unique_names(list(files))
    return {names[path]: file for path, file in files.items()}


def _unique_names(files: Sequence[Path]) -> dict[Path, str]:
    names: dict[Path, str] = {}
    for length in range(max(map(len, (file.parts for file in files)), default=0) + 1):
        wanted = {file: _file_name(file, length) for file in files if file not in names}
        count = Counter((*wanted.values(), *names.values()))
        names |= {file: name for file, name in wanted.items() if count[name] == 1}
    return {file: names.get(file) or _file_name(file, 1, marked=True) for file in files}


def _file_name(file: Path, length: int, *, marked: bool = False) -> str:
    """The last `length` parts of a path as one name; 0: the last part without its suffix.

    `marked`: with letters that no other path has. A part that cannot be a file name gets them, too.
    """
    name = "_".join(file.parts[-length:]) if length else file.stem
    try:
        if not marked and name.lower() != "index":  # the page of all videos
            return check_id(name)
    except UserError:
        pass
    readable = "".join(char if char.isprintable() and char not in "/\\" else "_" for char in name)
    short = readable.lstrip(".").encode(errors="replace")[:_LONGEST_NAME].decode(errors="ignore")
    return f"{short}_{hashlib.sha256(os.fsencode(file)).hexdigest()[:8]}"
