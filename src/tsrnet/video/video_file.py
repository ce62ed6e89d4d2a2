"""Video files before they are decoded: which there are, how they are read, whether they can be used."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tsrnet.errors import UserError
from tsrnet.files import check_id
from tsrnet.video.reader import BACKENDS, UnreadableVideoError
from tsrnet.video.snippets import count_snippets
from tsrnet.video.time_grid import MIN_SNIPPETS

SUFFIXES = {".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ogv", ".ts", ".webm", ".wmv"}
SHORTER_BY_S = 1.0
"""A file that ends this much before its annotated duration has been cut."""


@dataclass(frozen=True)
class ReadingSettings:
    """How videos are read: `backend` of the decoder, limit for opening one or reading 64 snippets."""

    backend: str = "auto"
    timeout_s: float = 600.0

    def __post_init__(self) -> None:
        if self.backend not in BACKENDS:
            raise ValueError(f"video.backend: got {self.backend}, need one of {', '.join(BACKENDS)}")
        if not self.timeout_s > 0:
            raise ValueError(f"video.timeout_s: got {self.timeout_s}, need a number of seconds above 0")


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
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not files:
        raise UserError(f"videos: {folder} holds no file that ends in {', '.join(sorted(SUFFIXES))}")
    stems = Counter(path.stem for path in files)
    return [VideoFile(check_id(path.stem if stems[path.stem] == 1 else path.name), path) for path in files]
