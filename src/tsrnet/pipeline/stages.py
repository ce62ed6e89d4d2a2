"""Stages: finished work found again by a hash of exactly what it depends on."""

from __future__ import annotations

import hashlib
import io
import json
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

FORMAT = 2
"""Part of every hash: raise it when the same settings compute something else."""


@contextmanager
def held(folder: Path, name: str) -> Iterator[None]:
    """Hold a lock that no other process can hold; print a line and wait while one does."""
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

    The folder holds `weights.pt` (a state dict) once finished, `identity.json`, logs, and
    `last.ckpt` while it trains. `classes` are written beside the identity, for who takes the weights.
    """

    root: Path
    name: str
    identity: dict[str, Any]
    classes: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """`<name>-<hash>`: the folder's name, and what stages that depend on this one mention."""
        text = json.dumps({"format": FORMAT, **self.identity}, sort_keys=True)
        return f"{self.name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    @property
    def folder(self) -> Path:
        return self.root / self.key

    @property
    def weights(self) -> Path:
        return self.folder / "weights.pt"

    @property
    def finished(self) -> bool:
        return self.weights.exists()

    @contextmanager
    def work(self) -> Iterator[bool]:
        """Hold the stage; whether it is still to be computed.

        Of several processes that want it one computes, the others wait and find it finished. The lock is
        the operating system's: it goes with a process that dies.
        """
        if self.finished:
            yield False
            return
        with held(self.root, self.key):
            yield not self.finished

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
        (self.folder / "last.ckpt").unlink(missing_ok=True)


@dataclass(frozen=True)
class StoredStage:
    """What is on the disk of a stage."""

    key: str
    finished: bool
    num_bytes: int
    age_days: float


def stored_stages(root: Path) -> list[StoredStage]:
    """All stages below a folder, the oldest first; leftovers of killed processes are removed."""
    remove_parts_of_the_dead(root)
    found = []
    for folder in root.iterdir() if root.is_dir() else ():
        files = [path for path in folder.rglob("*") if path.is_file()]
        if folder.name.startswith(".") or not files:
            continue
        latest = max(path.stat().st_mtime for path in files)
        finished = any((folder / name).is_file() for name in ("weights.pt", "index.json"))
        num_bytes = sum(path.stat().st_size for path in files)
        found.append(StoredStage(folder.name, finished, num_bytes, (time.time() - latest) / 86400))
    return sorted(found, key=lambda stage: -stage.age_days)
