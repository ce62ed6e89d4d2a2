"""The feature store: one .npy file a video and stream, and one features.json that says how made."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tsrnet.core.errors import UserError
from tsrnet.core.files import atomic_path, check_id
from tsrnet.video.time_grid import MIN_SNIPPETS, TimeGrid

STREAMS = ("rgb", "flow")
MAX_LENGTH_DIFFERENCE = 2
"""Snippets by which two streams of a video may differ: other extractors drop a last stack."""

Features = npt.NDArray[np.float16] | npt.NDArray[np.float32]


class FeatureSource(Protocol):
    """Where features come from: a `FeatureStore`, or a simulation."""

    @property
    def identity(self) -> dict[str, Any]:
        """What the features depend on."""
        ...

    def read(self, stream: str, video_id: str) -> Features:
        """(n, d) features of a video."""
        ...

    def time_grid(self, num_snippets: int, duration_s: float | None) -> TimeGrid:
        """When its snippets are."""
        ...


def is_finite(features: Features) -> bool:
    """np.isfinite(features).all() at the speed of memory.

    As integers, infinity and all NaN are the largest of the numbers with the same sign bit.
    """
    signed, unsigned = (f"{kind}{features.itemsize}" for kind in "iu")
    above, below = (np.array(value, features.dtype) for value in (np.inf, -np.inf))
    return bool(
        features.view(signed).max() < above.view(signed)
        and features.view(unsigned).max() < below.view(unsigned)
    )


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{dotted key: value} of nested dictionaries."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


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
            if any(next(self.folder.glob(f"{stream}/*.npy"), None) for stream in STREAMS):
                raise UserError(
                    f"{self.folder}: holds features without a features.json, which others made; videos that"
                    " have none would be mixed in: move those away, or give another features.name"
                )
            with atomic_path(self.folder / "features.json") as part:
                part.write_text(json.dumps(identity, indent=1, sort_keys=True))
            return
        there, asked = _flat(present), _flat(identity)
        keys = sorted(key for key in there.keys() | asked.keys() if not key.startswith("versions."))
        if differing := [key for key in keys if there.get(key) != asked.get(key)]:
            said = "; ".join(f"{key} {there.get(key)} there, {asked.get(key)} asked for" for key in differing)
            raise UserError(
                f"{self.folder}: holds features made with other settings ({said});"
                " give another features.name or delete the folder"
            )

    def time_grid(self, num_snippets: int, duration_s: float | None) -> TimeGrid:
        """The grid of a video's features: the store's rate, or n / duration where none is said."""
        rate_hz = self.identity.get("rate_hz")
        if rate_hz or not duration_s:
            return TimeGrid(float(rate_hz)) if rate_hz else TimeGrid()
        return TimeGrid(num_snippets / duration_s)

    def write(self, stream: str, video_id: str, features: Features) -> None:
        with atomic_path(self.path(stream, video_id)) as part, part.open("wb") as file:
            np.save(file, features, allow_pickle=False)

    def read(self, stream: str, video_id: str) -> Features:
        """(n, d) features, C order; UserError for a file that is missing or not such an array.

        Where the other stream is there and up to 2 snippets shorter, the rest is left out.
        """
        features = self._load(stream, video_id)
        if not features.flags.c_contiguous:
            features = features.copy(order="C")
        for other in STREAMS:
            if other != stream and self.path(other, video_id).is_file():
                length = len(self._load(other, video_id))
                if abs(length - len(features)) > MAX_LENGTH_DIFFERENCE:
                    raise UserError(
                        f"{self.path(stream, video_id)}: got {len(features)} snippets, {other} has {length};"
                        f" need a difference of at most {MAX_LENGTH_DIFFERENCE}, extract both again"
                    )
                features = features[:length]
        if not is_finite(features):
            raise UserError(f"{self.path(stream, video_id)}: holds NaN or infinite values; extract it again")
        return features

    def problem(
        self, video_id: str, streams: Sequence[str], *, num_features: int | None = None
    ) -> str | None:
        """Why a video cannot be used, by the headers of its files; None when it can."""
        try:
            shapes = {stream: self._load(stream, video_id).shape for stream in streams}
        except UserError as error:
            return str(error)
        lengths = [shape[0] for shape in shapes.values()]
        if max(lengths) - min(lengths) > MAX_LENGTH_DIFFERENCE:
            return f"{video_id}: streams of different length ({lengths} snippets); extract both again"
        for stream, (_, width) in shapes.items():
            if num_features is not None and width != num_features:
                path = self.path(stream, video_id)
                return f"{path}: got {width} dimensions, need the {num_features} of the other videos"
        return None

    def num_features(self, video_id: str, stream: str) -> int:
        """d of a video, from the header of its file."""
        return int(self._load(stream, video_id).shape[1])

    def _load(self, stream: str, video_id: str) -> Features:
        """The file, mapped: headers cost little, and a batch is copied from the page cache once."""
        path = self.path(stream, video_id)
        try:
            features: Features = np.load(path, mmap_mode="c", allow_pickle=False)
        except FileNotFoundError as error:
            raise UserError(f"{path}: there are no features of this video; extract them first") from error
        except (ValueError, OSError, EOFError) as error:
            raise UserError(f"{path}: is no .npy file ({error}); delete it and extract it again") from error
        if features.ndim != 2 or features.dtype not in (np.float16, np.float32):
            raise UserError(
                f"{path}: got {features.dtype} {features.shape}, need float16 or float32 (snippets, d)"
            )
        if len(features) < MIN_SNIPPETS:
            raise UserError(f"{path}: got {len(features)} snippets, need at least {MIN_SNIPPETS}")
        return features
