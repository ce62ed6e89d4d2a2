"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import platform
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tsrnet.core.errors import UserError


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its name when the block ends without an exception.

    The suffix stays the same (writers look at it). On an exception the temporary file is removed.
    """
    make_folder(path.parent)
    part = part_of(path)
    try:
        yield part
        part.replace(path)
    except OSError as error:
        reason = error.strerror or error  # numpy says only in words that the disk is full
        raise UserError(f"{path}: cannot be written ({reason}); free space or change the path") from error
    finally:
        part.unlink(missing_ok=True)


def part_of(path: Path) -> Path:
    """The hidden name under which this process, on this machine, writes what is to become `path`."""
    return path.with_name(f".{path.stem}.{platform.node()}.{os.getpid()}{path.suffix}")


def remove_parts_of_the_dead(folder: Path) -> None:
    """Remove what killed processes of this machine left unfinished below a folder."""
    for part in folder.rglob(".*"):
        made = re.fullmatch(rf"\..*\.{re.escape(platform.node())}\.(\d+)(\.[^.]*)?", part.name)
        if made and not _runs(int(made[1])):
            if part.is_dir():
                shutil.rmtree(part, ignore_errors=True)
            else:
                part.unlink(missing_ok=True)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


def make_folder(folder: Path) -> Path:
    """Create `folder` with its parents; UserError when that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be created ({error.strerror}); give a folder that you can write to"
        ) from error
    return folder


def check_space(folder: Path, num_bytes: int) -> None:
    """UserError when that many bytes do not fit on the disk of `folder`, which is created."""
    free = shutil.disk_usage(make_folder(folder)).free
    if num_bytes > free:
        raise UserError(
            f"{folder}: got {free / 1e6:,.0f} MB free space, need {num_bytes / 1e6:,.0f} MB; free some"
            " or give another paths.features"
        )


def check_id(video_id: str) -> str:
    """The id, if it can be a file name; UserError otherwise. Ids never become paths unchecked."""
    if not video_id or video_id.startswith(".") or any(char in video_id for char in "/\\\0"):
        raise UserError(
            f"video id {video_id!r}: cannot be a file name; need a name without / and without a leading dot"
        )
    return video_id
