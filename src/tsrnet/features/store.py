"""The feature store: a .npy file for each video and stream, and one features.json."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tsrnet.core.errors import UserError
from tsrnet.core.files import atomic_path, check_id
from tsrnet.core.object_arrays import read_npy
from tsrnet.core.reading import as_kind, read_json_as
from tsrnet.core.settings import Number, shown
from tsrnet.video.time_grid import MIN_SNIPPETS, TimeGrid

STREAMS = ("rgb", "flow")
"""The streams that "joint" puts side by side; other names are independent streams."""
JOINT = "joint"
MAX_LENGTH_DIFFERENCE = 2
"""Snippets by which the lengths of two streams may differ: other extractors drop the last stack."""

PLACEMENT = ("rate_hz", "offset_s", "width_s")
"""Keys of features.json that say when snippets are: those of `TimeGrid`."""

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

    def time_grid(self, video_id: str, num_snippets: int, duration_s: float | None) -> TimeGrid:
        """When the snippets of a video are."""
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


def _uneven(video_id: str, features: Mapping[str, Features]) -> str | None:
    """What is wrong with the lengths of the streams of a video."""
    lengths = [len(values) for values in features.values()]
    if max(lengths) - min(lengths) > MAX_LENGTH_DIFFERENCE:
        return f"{video_id}: streams of different length ({lengths} snippets); extract both again"
    return None


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{dotted key: value} of nested dictionaries."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


def _short(said: dict[str, Any]) -> dict[str, Any]:
    """The content of features.json, with a checksum in place of numbers per video."""
    short = dict(said)
    for key in PLACEMENT:
        if isinstance(numbers := said.get(key), dict):
            digest = hashlib.sha256(json.dumps(numbers, sort_keys=True).encode()).hexdigest()[:16]
            short[key] = {"videos": len(numbers), "sha256": digest}
    return short


def _grid(path: Path, said: dict[str, Any], video_id: str | None, rate_hz: float | None = None) -> TimeGrid:
    """The time grid of a video by features.json, with defaults for missing values.

    `rate_hz`: used if features.json has none.
    """
    where = str(path) if video_id is None else f"{path}: video {shown(video_id)}"
    given = {} if rate_hz is None else {"rate_hz": rate_hz}
    for key in PLACEMENT:
        value = said.get(key)
        value = value.get(video_id) if isinstance(value, dict) else value
        if value is not None:
            given[key] = as_kind(Number, value, f"{where}: {key}")
    try:
        return TimeGrid(**given)
    except ValueError as error:
        raise UserError(f"{where}: {error}; correct it") from error


class FeatureStore:
    """Features below `<folder>/<stream>/<video id>.npy`: (n, d), float16 or float32.

    Any folder of this form works. Streams are "rgb", "flow", any other folder, and "joint": the folder of
    this name if it has the video, else rgb and flow side by side. `features.json` says what made the features
    (`identity`) and when the snippets are: `rate_hz`, `offset_s` and `width_s` as in `TimeGrid`. Each of them
    is one number or {video id: number}, and may be missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._said: tuple[tuple[int, int], dict[str, Any]] = ((0, 0), {})  # stamp of features.json, content

    def path(self, stream: str, video_id: str) -> Path:
        return self.folder / stream / f"{check_id(video_id)}.npy"

    @property
    def identity(self) -> dict[str, Any]:
        """The content of features.json, numbers per video as a checksum; empty without a file."""
        return _short(self._read_json())

    def _read_json(self) -> dict[str, Any]:
        """features.json, which is read again only when it has changed."""
        path = self.folder / "features.json"
        try:
            stat = path.stat()
        except FileNotFoundError:
            return {}
        if (stamp := (stat.st_mtime_ns, stat.st_size)) != self._said[0]:
            content = read_json_as(dict[str, Any], path)
            per_video = (value for key in PLACEMENT if isinstance(value := content.get(key), dict))
            for video_id in {None}.union(*per_video):
                _grid(path, content, video_id)
            self._said = stamp, content
        return self._said[1]

    def claim(self, identity: dict[str, Any]) -> None:
        """Write the identity of the next features; UserError if the present ones were made differently.

        The "versions" of libraries may differ.
        """
        identity = json.loads(json.dumps(identity))
        present = self.identity
        if not present:
            if next(self.folder.glob("*/*.npy"), None):
                raise UserError(
                    f"{self.folder}: contains features without a features.json, which others made; extracted"
                    " features would be mixed with them; give another features.name"
                )
            with atomic_path(self.folder / "features.json") as part:
                part.write_text(json.dumps(identity, indent=1, sort_keys=True))
            return
        there, asked = _flat(present), _flat(_short(identity))
        keys = sorted(key for key in there.keys() | asked.keys() if not key.startswith("versions."))
        if differing := [key for key in keys if there.get(key) != asked.get(key)]:
            said = "; ".join(f"{key}: found {there.get(key)}, now {asked.get(key)}" for key in differing)
            raise UserError(
                f"{self.folder}: contains features made with other settings ({said});"
                " give another features.name or delete the folder"
            )

    def time_grid(self, video_id: str, num_snippets: int, duration_s: float | None) -> TimeGrid:
        """When the snippets of a video are, by features.json; if it has no rate, the rate is n / duration.

        Raises UserError if features.json has no entry for the video, or an invalid one, and for a video
        whose rate and duration are both unknown.
        """
        said, path = self._read_json(), self.folder / "features.json"
        for key in PLACEMENT:
            if isinstance(said.get(key), dict) and video_id not in said[key]:
                raise UserError(f"{path}: {key} has no video {shown(video_id)}; add it or import it again")
        if duration_s is None and said.get("rate_hz") is None:
            raise UserError(
                f"{path}: has no rate_hz, and the duration of the video {shown(video_id)} is unknown, so the"
                " times of its snippets are, too; add rate_hz, the number of snippets per second"
            )
        return _grid(path, said, video_id, num_snippets / duration_s if duration_s else None)

    def write(self, stream: str, video_id: str, features: Features) -> None:
        with atomic_path(self.path(stream, video_id)) as part, part.open("wb") as file:
            np.save(file, features, allow_pickle=False)

    def link(self, stream: str, video_id: str, file: Path) -> None:
        """Add a feature file unchanged: as a hard link, or as a copy on another disk."""
        with atomic_path(self.path(stream, video_id)) as part:
            try:
                part.unlink(missing_ok=True)
                os.link(file.resolve(), part)
            except OSError:
                shutil.copyfile(file, part)

    def read(self, stream: str, video_id: str) -> Features:
        """(n, d) features in C order; UserError if the file is missing or is not such an array.

        If rgb and flow differ by up to 2 snippets, the additional ones are left out.
        """
        parts = self._parts(stream, video_id)
        features: dict[str, Features] = {part: self._load(part, video_id) for part in parts}
        if stream in STREAMS:
            with suppress(UserError):  # one stream is enough
                features |= {one: self._load(one, video_id) for one in STREAMS if one not in features}
        problem = _uneven(video_id, features)
        if problem and len(parts) > 1:
            raise UserError(problem)
        length = None if problem else min(map(len, features.values()))
        found: list[npt.NDArray[Any]] = [np.asarray(features[part][:length], order="C") for part in parts]
        for part, values in zip(parts, found, strict=True):
            if not is_finite(values):
                raise UserError(f"{self.path(part, video_id)}: has NaN or infinite values; extract it again")
        return found[0] if len(found) == 1 else np.concatenate(found, axis=1)

    def problem(
        self, video_id: str, streams: Sequence[str], *, num_features: Mapping[str, int] = MappingProxyType({})
    ) -> str | None:
        """Return why a video cannot be used, by the headers of its files, or None if it can be used.

        `num_features`: stream -> size of the features that it must have.
        """
        parts = {stream: self._parts(stream, video_id) for stream in streams}
        try:
            features = {part: self._load(part, video_id) for part in sum(parts.values(), ())}
        except UserError as error:
            return str(error)
        if problem := _uneven(video_id, features):
            return problem
        for stream, needed in num_features.items():
            width = sum(features[name].shape[1] for name in parts[stream])
            if width != needed:
                files = " and ".join(str(self.path(name, video_id)) for name in parts[stream])
                return f"{files}: got {width} dimensions, need the {needed} of the other videos"
        return None

    def num_features(self, video_id: str, stream: str) -> int:
        """Size d of the features of a video, from the headers of its files."""
        return sum(int(self._load(part, video_id).shape[1]) for part in self._parts(stream, video_id))

    def _parts(self, stream: str, video_id: str) -> tuple[str, ...]:
        """The folders that hold a stream of a video."""
        side_by_side = stream == JOINT and not self.path(JOINT, video_id).is_file()
        return STREAMS if side_by_side else (stream,)

    def _load(self, stream: str, video_id: str) -> Features:
        """Memory-map the file: headers are fast to read, and a batch is copied only once."""
        path = self.path(stream, video_id)
        if not path.exists():
            raise UserError(f"{path}: there are no features of this video; extract or import them first")
        features: Features = read_npy(path)
        if features.ndim != 2 or features.dtype not in (np.float16, np.float32):
            raise UserError(
                f"{path}: got {features.dtype} {features.shape}, need float16 or float32 (snippets, d)"
            )
        if len(features) < MIN_SNIPPETS:
            raise UserError(f"{path}: got {len(features)} snippets, need at least {MIN_SNIPPETS}")
        return features
