"""Files that appear whole or not at all, and checksums that tell whether they are still whole."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tsrnet.core.errors import UserError
from tsrnet.core.settings import is_name, shown

MAX_ID_BYTES = 250
"""Longest id of a video: a file name has at most 255 bytes, and .html comes after the id."""
_PART = ".tsrnet-part"


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path that is renamed to `path` when the block ends without an exception.

    The suffix stays the same, because writers look at it. On an exception the temporary file is removed.
    """
    make_folder(path.parent)
    part = part_of(path)
    try:
        # Create it under a name that nobody can guess: writers would follow a link of that name.
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        yield part
        part.replace(path)
    except OSError as error:
        reason = error.strerror or error  # numpy reports a full disk only in words
        raise UserError(f"{path}: cannot be written ({reason}); free space or change the path") from error
    finally:
        part.unlink(missing_ok=True)


def part_of(path: Path) -> Path:
    """A new hidden name under which this process writes the file that will become `path`."""
    owner = f"{platform.node()}.{os.getpid()}"
    return path.with_name(f"{_PART}.{owner}.{secrets.token_hex(4)}{path.suffix}")


def remove_parts_of_the_dead(folder: Path) -> None:
    """Remove the unfinished files of killed processes of this machine in a folder and its subfolders."""
    made_here = re.compile(rf"{re.escape(_PART)}\.{re.escape(platform.node())}\.(\d+)\.[0-9a-f]{{8}}(\..*)?")
    for part in (*folder.glob(f"{_PART}.*"), *folder.glob(f"*/{_PART}.*")):
        made = made_here.fullmatch(part.name)
        if made and not _runs(int(made[1])):
            if part.is_dir() and not part.is_symlink():
                shutil.rmtree(part, ignore_errors=True)
            else:
                part.unlink(missing_ok=True)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):  # another user's process; not a process id
        return True
    return True


def fingerprint(path: Path) -> dict[str, int | str]:
    """Size and SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
        return {"bytes": file.tell(), "sha256": digest.hexdigest()}


def make_folder(folder: Path) -> Path:
    """Create `folder` with its parents; UserError when that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be created ({error.strerror}); give a folder that you can write to"
        ) from error
    return folder


def check_space(folder: Path, num_bytes: int) -> None:
    """Create `folder`; UserError when its disk has no room for that many bytes."""
    free = shutil.disk_usage(make_folder(folder)).free
    if num_bytes > free:
        raise UserError(
            f"{folder}: got {free / 1e6:,.0f} MB free space, need {num_bytes / 1e6:,.0f} MB; free some"
            " or give another paths.features"
        )


def check_id(video_id: str) -> str:
    """Return the id if it can be a file name, else raise UserError. Ids never become paths unchecked."""
    if not is_name(video_id) or video_id.startswith(".") or "/" in video_id or "\\" in video_id:
        raise UserError(
            f"video id {shown(video_id)}: cannot be a file name; need a name in one line without / and"
            " without a leading dot"
        )
    if (length := len(video_id.encode())) > MAX_ID_BYTES:
        raise UserError(
            f"video id {shown(video_id)}: got {length:,} bytes, need at most {MAX_ID_BYTES} for the names of"
            " its files"
        )
    return video_id
