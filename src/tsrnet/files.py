"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tsrnet.errors import UserError


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its name when the block ends without an exception.

    The suffix stays the same (writers look at it). On an exception the temporary file is removed.
    """
    make_folder(path.parent)
    part = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield part
        part.replace(path)
    except OSError as error:
        if error.errno is None:
            raise
        raise UserError(
            f"{path}: cannot be written ({error.strerror}); free space or change the path"
        ) from error
    finally:
        part.unlink(missing_ok=True)


def make_folder(folder: Path) -> Path:
    """Create `folder` with its parents; UserError when that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be created ({error.strerror}); give a folder that you may write to"
        ) from error
    return folder


def check_space(folder: Path, num_bytes: int) -> None:
    """UserError when that many bytes do not fit on the disk of `folder`, which is created."""
    free = shutil.disk_usage(make_folder(folder)).free
    if num_bytes > free:
        raise UserError(
            f"{folder}: what is to be written takes {num_bytes / 1e9:.1f} GB, the disk has"
            f" {free / 1e9:.1f} GB free; free some or give another paths.features"
        )


def check_id(video_id: str) -> str:
    """The id, if it can be a file name; UserError otherwise. Ids never become paths unchecked."""
    if not video_id or video_id.startswith(".") or any(char in video_id for char in "/\\\0"):
        raise UserError(
            f"video id {video_id!r}: got a name that is no file name; need one without / and leading dot"
        )
    return video_id
