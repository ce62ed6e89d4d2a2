"""Folders of finished work, with an index that tells later whether their files have changed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from tsrnet.core.files import atomic_path, fingerprint

INDEX = "index.json"


def seal(folder: Path, names: Iterable[str]) -> None:
    """Write the index: size and SHA-256 of these files of the folder. It is the last file to be written."""
    with atomic_path(folder / INDEX) as part:
        part.write_text(json.dumps({"files": {name: fingerprint(folder / name) for name in names}}, indent=1))


def is_sealed(folder: Path) -> bool:
    return (folder / INDEX).is_file()


def damage(folder: Path) -> str | None:
    """Return what has changed since the folder was sealed, with the name of the file, or None."""
    try:
        files = dict(json.loads((folder / INDEX).read_text(encoding="utf-8"))["files"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        return f"{folder / INDEX}: is damaged ({error})"
    if not files:
        return f"{folder / INDEX}: is damaged (it lists no files)"
    problems = (damage_of(folder / Path(name).name, was) for name, was in files.items())
    return next(filter(None, problems), None)


def damage_of(path: Path, was: object) -> str | None:
    """Return how a file differs from its stored `fingerprint`, with its name, or None if it does not."""
    if not path.is_file():
        return f"{path}: is missing"
    size = path.stat().st_size
    if not isinstance(was, dict) or size != was.get("bytes"):  # finds most damage without reading
        return f"{path}: is damaged (it has {size} bytes)"
    return None if fingerprint(path) == was else f"{path}: is damaged (its checksum differs)"
