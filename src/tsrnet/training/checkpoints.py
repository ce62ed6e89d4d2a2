"""Checkpoints of a training: the last one and the one before. Damaged ones are ignored."""

from __future__ import annotations

import io
import sys
import zipfile
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO
from pytorch_lightning.utilities import rank_zero_only

from tsrnet.core.files import atomic_path

LAST, BEFORE = "last.ckpt", "before.ckpt"


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint to another name and renames it, so that it appears whole or not at all.

    The checkpoint that had the name before becomes `before.ckpt`.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        path = Path(path)
        buffer = io.BytesIO()  # torch's own errors do not say that the disk is full
        torch.save(checkpoint, buffer)
        with atomic_path(path) as part:
            part.write_bytes(buffer.getbuffer())
            if path.exists():
                path.replace(path.with_name(BEFORE))


def last_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint to continue from, or None. Damaged ones are reported."""
    for path in (folder / LAST, folder / BEFORE):
        if path.is_file():
            if (reason := _damage(path)) is None:
                return path
            _report(f"{path}: is damaged ({reason}); training goes on from an earlier step")
    return None


@rank_zero_only
def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _damage(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as file:  # torch does not look at the checksums
            if name := file.testzip():
                return f"checksum of {name}"
        torch.load(path, map_location="cpu", weights_only=True, mmap=True)["state_dict"]
    except Exception as error:  # parsers raise anything for damaged bytes
        return f"{type(error).__name__}: {' '.join(str(error).split())[:80]}"
    return None
