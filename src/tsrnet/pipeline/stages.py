"""Stages: finished work that is found again by a hash of exactly what it depends on."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from torch import Tensor

from tsrnet.core.files import atomic_path, make_folder, remove_parts_of_the_dead
from tsrnet.core.seal import damage, is_sealed, seal

FORMAT = 2
"""Part of every hash: raise it when the same settings compute something else."""
_KEY = re.compile(r"[a-z_-]+-[0-9a-f]{16}")


@contextmanager
def held(folder: Path, name: str) -> Iterator[None]:
    """Hold a lock; print a line and wait while another process holds it."""
    lock = FileLock(make_folder(folder / ".locks") / name)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        print(f"{name}: locked by another process; waiting", file=sys.stderr, flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@dataclass(frozen=True)
class Stage:
    """A piece of training under `<root>/<name>-<hash of identity>`.

    The folder holds `identity.json`, logs, checkpoints during the training, and in the end `weights.pt` (a
    state dict) and `index.json`, which marks it as finished. `classes` are stored with the identity for users
    of the weights.
    """

    root: Path
    name: str
    identity: dict[str, Any]
    classes: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """`<name>-<hash>`: the name of the folder, which stages that depend on this one refer to."""
        text = json.dumps({"format": FORMAT, **self.identity}, sort_keys=True)
        return f"{self.name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    @property
    def folder(self) -> Path:
        return self.root / self.key

    @property
    def weights(self) -> Path:
        return self.folder / "weights.pt"

    def problem(self) -> str | None:
        """Return why the stage cannot be used (with its folder or file), or None if it is complete."""
        return damage(self.folder) if is_sealed(self.folder) else f"{self.folder}: is missing or not finished"

    @contextmanager
    def work(self) -> Iterator[bool]:
        """Hold the stage; yield whether it must be computed. A damaged stage is removed, with a line.

        One of several processes computes the stage; the others wait and find it finished. The operating
        system releases the lock when a process dies.
        """
        if self.problem() is None:
            yield False
            return
        with held(self.root, self.key):
            problem = self.problem()
            if problem and is_sealed(self.folder):
                print(f"{problem}; made again", file=sys.stderr, flush=True)
                shutil.rmtree(self.folder)
            if problem:
                remove_parts_of_the_dead(self.root)
            yield problem is not None

    def begin(self) -> None:
        make_folder(self.folder)
        with atomic_path(self.folder / "identity.json") as part:
            said = {**self.identity, "classes": self.classes}
            part.write_text(json.dumps(said, indent=1, sort_keys=True))

    def finish(self, state: dict[str, Tensor]) -> None:
        """Store the result; from now on the stage is finished."""
        buffer = io.BytesIO()  # torch's own errors do not say that the disk is full
        torch.save(state, buffer)
        with atomic_path(self.weights) as part:
            part.write_bytes(buffer.getbuffer())
        seal(self.folder, ("identity.json", self.weights.name))
        for checkpoint in self.folder.glob("*.ckpt"):
            checkpoint.unlink()


@dataclass(frozen=True)
class StoredStage:
    """A stage on the disk."""

    key: str
    finished: bool
    num_bytes: int
    age_days: float


def stored_stages(root: Path) -> list[StoredStage]:
    """All stages below a folder, the oldest first; nothing is changed.

    A stage is a folder with the name and the identity of one; everything else there is ignored.
    """
    found = []
    for folder in root.iterdir() if root.is_dir() else ():
        ours = is_sealed(folder) or (folder / "identity.json").is_file()
        if not ours or folder.is_symlink() or not _KEY.fullmatch(folder.name):
            continue
        files = list(filter(None, map(_stat, folder.rglob("*"))))
        age_s = time.time() - max(one.st_mtime for one in files)
        num_bytes = sum(one.st_size for one in files)
        found.append(StoredStage(folder.name, is_sealed(folder), num_bytes, age_s / 86400))
    return sorted(found, key=lambda stage: -stage.age_days)


def _stat(path: Path) -> os.stat_result | None:
    """The status of a file; None for a folder and for a file that a training has just replaced."""
    try:
        return path.lstat() if path.is_file() else None
    except FileNotFoundError:
        return None
