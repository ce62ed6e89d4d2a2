"""The feature store: one .npy file a video and stream, and one features.json that says how made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tsrnet.errors import UserError
from tsrnet.files import atomic_path, check_id
from tsrnet.video.time_grid import TimeGrid

Features = npt.NDArray[np.float16] | npt.NDArray[np.float32]


class FeatureStore:
    """Features below `<folder>/<stream>/<video id>.npy`: (n, d), float16 or float32.

    Any folder of this form loads. `features.json` holds what made them (`identity`).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, stream: str, video_id: str) -> Path:
        return self.folder / stream / f"{check_id(video_id)}.npy"

    @property
    def identity(self) -> dict[str, Any]:
        """What features.json says; empty where there is none."""
        path = self.folder / "features.json"
        if not path.is_file():
            return {}
        try:
            return dict(json.loads(path.read_text()))
        except ValueError as error:
            raise UserError(
                f"{path}: is not valid JSON ({error}); delete the folder and extract again"
            ) from error

    def claim(self, identity: dict[str, Any]) -> None:
        """Say what the features to come are made by; UserError when those there differ.

        "versions" of libraries are noted, but do not have to be the same.
        """
        identity = json.loads(json.dumps(identity))
        present = self.identity
        if not present:
            with atomic_path(self.folder / "features.json") as part:
                part.write_text(json.dumps(identity, indent=1, sort_keys=True))
            return
        keys = sorted((present.keys() | identity.keys()) - {"versions"})
        if differing := [key for key in keys if present.get(key) != identity.get(key)]:
            raise UserError(
                f"{self.folder}: holds features made with other settings ({', '.join(differing)});"
                " give another features.name or delete the folder"
            )

    def time_grid(self, num_snippets: int, duration_s: float) -> TimeGrid:
        """The grid of a video's features: the store's rate, or n / duration where none is said."""
        rate_hz = self.identity.get("rate_hz")
        return TimeGrid(float(rate_hz)) if rate_hz else TimeGrid(num_snippets / duration_s)

    def write(self, stream: str, video_id: str, features: Features) -> None:
        with atomic_path(self.path(stream, video_id)) as part, part.open("wb") as file:
            np.save(file, features, allow_pickle=False)

    def read(self, stream: str, video_id: str) -> Features:
        """(n, d) features; UserError for a file that is missing or no such array."""
        path = self.path(stream, video_id)
        try:
            features: Features = np.load(path, allow_pickle=False)
        except FileNotFoundError as error:
            raise UserError(f"{path}: there are no features of this video; extract them first") from error
        except (ValueError, OSError, EOFError) as error:
            raise UserError(f"{path}: is no .npy file ({error}); delete it and extract it again") from error
        if features.ndim != 2 or not len(features) or features.dtype not in (np.float16, np.float32):
            raise UserError(
                f"{path}: got {features.dtype} {features.shape}, need float16 or float32 (snippets, d)"
            )
        return features
