"""Simulated features: what a backbone might say of annotated videos, for a rehearsal without videos.

Each stream of a video is ReLU(base + activations @ directions + noise). The directions are those of
the actions (shared by all videos of a class, trimmed or not), of the scenes that go with them, and
of the video's own background. All follows from (seed, stream, video id); nothing is stored, unless
`store_features` is asked to rehearse the disk.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field
from pydantic.dataclasses import dataclass

from tsrnet.core.errors import UserError
from tsrnet.core.files import check_space
from tsrnet.core.progress import track
from tsrnet.core.settings import KNOWN_KEYS, Natural, NonNegative, NotBool, ShareBelowOne
from tsrnet.datasets.records import Segment, VideoRecord
from tsrnet.features.store import FeatureStore
from tsrnet.video.time_grid import FRAME_RATE_HZ, MIN_SNIPPETS, TimeGrid

Array = npt.NDArray[np.float32]

FORMAT = 2
"""Part of the identity: raise it when the same seed gives other features."""
_NOISE_POOL = 1 << 22  # numbers, 16 MB a process
_NOISE_ROWS = 256  # snippets that take their noise from one place of the pool
_NUM_FAMILIES = 10
_NUM_BACKGROUNDS = 4
_EDGE_S = 0.6
CLIP_S = (2.0, 15.0)
"""Seconds, from and to, of a trimmed clip whose duration nobody says."""


@dataclass(frozen=True, config=KNOWN_KEYS)
class SimulationSettings:
    """Strengths of what the features are made of, as lengths of vectors, where snippets' noise is 1.

    `action`: of the class during its segments. `scene`: of the class all through its videos (RGB;
    flow sees `flow_scene` of it). `background`: of each of the video's own slow directions.
    `variation`: how far one video's action lies from its class, as a fraction of `action`.
    `confusion`: part of a class's direction that it shares with its family; the families of the
    streams differ, so one stream tells apart what the other confuses. `shift`: between trimmed and
    untrimmed, as a fraction of a feature's noise. `store`: write them as feature files and read these.
    """

    seed: Natural
    num_features: Annotated[int, Field(ge=1, le=_NOISE_POOL // _NOISE_ROWS), NotBool] = 2048
    action: NonNegative = 9.0
    scene: NonNegative = 3.0
    flow_scene: NonNegative = 0.5
    background: NonNegative = 4.0
    variation: NonNegative = 0.5
    confusion: ShareBelowOne = 0.6
    shift: NonNegative = 0.2
    store: bool = False


class SimulatedStore:
    """Features made when they are read; stands in for a `FeatureStore`.

    Args:
        records: the videos: durations and segments (a trimmed clip shows its label throughout).
        settings: what the features are like.
        trimmed: whether the videos are trimmed clips, which look a little different.
        canonical: label -> name of its action, for labels that do not agree by their letters.
    """

    def __init__(
        self,
        records: Iterable[VideoRecord],
        settings: SimulationSettings,
        *,
        trimmed: bool,
        canonical: Mapping[str, str] | None = None,
    ) -> None:
        self._records = {record.id: record for record in records}
        self._settings = settings
        self._trimmed = trimmed
        self._canonical = dict(canonical or {})
        annotations = repr([(r.id, r.duration_s, r.labels, r.segments) for r in self._records.values()])
        self._annotations = hashlib.sha256(annotations.encode()).hexdigest()[:16]

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the features."""
        return {
            "simulated": True,
            "annotations": self._annotations,
            "format": FORMAT,
            "rate_hz": TimeGrid().rate_hz,
            "settings": {key: value for key, value in asdict(self._settings).items() if key != "store"},
            "trimmed": self._trimmed,
            "canonical": self._canonical,
        }

    def time_grid(self, video_id: str, num_snippets: int, duration_s: float | None) -> TimeGrid:
        """6 Hz, whatever the video."""
        return TimeGrid()

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(self._records)

    def shape(self, video_id: str) -> tuple[int, int]:
        """(n, d) of a video; UserError for an id that is not among the records."""
        if video_id not in self._records:
            raise UserError(f"{video_id}: is not one of the {len(self._records)} simulated videos")
        frames = round(self._duration_s(video_id) * FRAME_RATE_HZ)
        return max(MIN_SNIPPETS, TimeGrid().num_snippets(frames)), self._settings.num_features

    def _duration_s(self, video_id: str) -> float:
        drawn = seeded_rng(self._settings.seed, "duration", video_id).uniform(*CLIP_S)
        return self._records[video_id].duration_s or float(drawn)

    def read(self, stream: str, video_id: str) -> Array:
        """(n, d) features, not negative; UserError for an id that is not among the records.

        "joint" is rgb and flow side by side, (n, 2 d).
        """
        if stream == "joint":
            return np.concatenate([self.read("rgb", video_id), self.read("flow", video_id)], axis=1)
        num_snippets, _ = self.shape(video_id)
        record, settings = self._records[video_id], self._settings
        duration_s = self._duration_s(video_id)
        video_rng = seeded_rng(settings.seed, "video", video_id)  # what the streams share
        segments = record.segments
        if self._trimmed:
            segments = tuple(Segment(-1.0, duration_s + 1.0, label) for label in record.labels)
        strengths = video_rng.uniform(0.4, 1.6, len(segments))

        rng = seeded_rng(settings.seed, stream, video_id)
        activations, directions = _background(rng, num_snippets, settings)
        scene = settings.scene * (settings.flow_scene if stream == "flow" else 1.0)
        for label in record.labels:
            name = canonical_name(self._canonical.get(label, label))
            of_label = [(s, w) for s, w in zip(segments, strengths, strict=True) if s.label == label]
            activations.append(settings.action * envelope(of_label, num_snippets))
            own = _unit(rng, settings.num_features)
            directions.append(action_direction(name, stream, settings) + np.float32(settings.variation) * own)
            activations.append(np.full(num_snippets, scene * rng.uniform(0.0, 2.0)))
            directions.append(_named_direction("scene", name, stream, settings.seed, settings.num_features))

        features = _noise(rng, num_snippets, settings)
        features += np.stack(activations, axis=1).astype(np.float32) @ np.stack(directions)
        features += _base(stream, settings.seed, settings.num_features)
        if self._trimmed:
            offset, scale = _shift(stream, settings)
            features *= scale
            features += offset
        return np.maximum(features, 0, out=features)


def store_features(source: SimulatedStore, streams: Sequence[str], folder: Path) -> FeatureStore:
    """Write the features of all videos as float16 files, where they are not there yet.

    They lie in `<folder>/simulated_<hash of what decides them>`. Raises UserError when the disk is too small.
    """
    identity = {**source.identity, "stored": "float16"}
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]
    store = FeatureStore(folder / f"simulated_{digest}")
    store.claim(identity)
    missing = [
        (s, video_id) for s in streams for video_id in source.ids if not store.path(s, video_id).exists()
    ]
    check_space(store.folder, sum(2 * math.prod(source.shape(video_id)) for _, video_id in missing))

    def write(stream: str, video_id: str) -> None:
        store.write(stream, video_id, source.read(stream, video_id).astype(np.float16))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            done = pool.map(write, *zip(*missing, strict=True)) if missing else ()
            for _ in track(done, total=len(missing), what=f"simulated features of {folder.name}"):
                pass
        finally:
            pool.shutdown(cancel_futures=True)
    return store


def canonical_name(label: str) -> str:
    """The letters of a label in lower case, so that "Shot put" and "Shotput" are one action."""
    return re.sub(r"[^a-z]", "", label.lower())


def envelope(segments: Iterable[tuple[Segment, float]], num_snippets: int) -> npt.NDArray[np.float64]:
    """(num_snippets,) how much of an action is seen: (segment, strength) rise and fall at their edges."""
    grid = TimeGrid()
    seen = np.zeros(num_snippets)
    for segment, strength in segments:
        start = max(0, grid.snippet_at(segment.start_s))
        stop = min(num_snippets, grid.snippet_at(segment.end_s) + 1)
        middle = grid.centres_s(num_snippets)[start:stop]
        edge_s = min(_EDGE_S, (segment.end_s - segment.start_s) / 3) + 1e-9
        inside = np.minimum(middle - segment.start_s, segment.end_s - middle)
        height = np.where(inside >= 0, strength * np.clip(0.3 + inside / edge_s, 0, 1), 0)
        seen[start:stop] = np.maximum(seen[start:stop], height)
    return seen


def action_direction(name: str, stream: str, settings: SimulationSettings) -> Array:
    """(d,) unit vector of an action: its own and its family's, which another action may share."""
    family = int(seeded_rng(settings.seed, "family", stream, name).integers(_NUM_FAMILIES))
    own = _named_direction("action", name, stream, settings.seed, settings.num_features)
    shared = _named_direction("family", str(family), stream, settings.seed, settings.num_features)
    mixed = np.sqrt(1 - settings.confusion) * own + np.sqrt(settings.confusion) * shared
    return np.asarray(mixed / np.linalg.norm(mixed), np.float32)


def _background(
    rng: np.random.Generator, num_snippets: int, settings: SimulationSettings
) -> tuple[list[npt.NDArray[np.float64]], list[Array]]:
    """What else a video shows: directions of its own that come and go within 10 to 60 s."""
    times_s = np.arange(num_snippets) / TimeGrid().rate_hz
    periods_s = rng.uniform(10, 60, (_NUM_BACKGROUNDS, 2, 1))
    phases = rng.uniform(0, 2 * np.pi, periods_s.shape)
    waves = np.cos(2 * np.pi * times_s / periods_s + phases).mean(axis=1)
    waves += rng.uniform(0, 1, (_NUM_BACKGROUNDS, 1))
    return list(settings.background * waves), [_unit(rng, settings.num_features) for _ in waves]


def _noise(rng: np.random.Generator, num_snippets: int, settings: SimulationSettings) -> Array:
    """(n, d) white noise, cut from a pool: fresh normal numbers would take most of the time."""
    pool, num_features = _pool(settings.seed), settings.num_features
    noise = np.empty((num_snippets, num_features), np.float32)
    for start in range(0, num_snippets, _NOISE_ROWS):
        rows = noise[start : start + _NOISE_ROWS]
        place = int(rng.integers(_NOISE_POOL - rows.size + 1))
        rows[:] = pool[place : place + rows.size].reshape(rows.shape)
    return noise


@lru_cache(maxsize=2)
def _pool(seed: int) -> Array:
    return seeded_rng(seed, "noise").standard_normal(_NOISE_POOL, np.float32)


@lru_cache(maxsize=8)
def _base(stream: str, seed: int, num_features: int) -> Array:
    return seeded_rng(seed, "base", stream).uniform(-0.5, 0.5, num_features).astype(np.float32)


def _shift(stream: str, settings: SimulationSettings) -> tuple[Array, Array]:
    """(offset, scale), both (d,), of trimmed features."""
    rng = seeded_rng(settings.seed, "shift", stream)
    offset, spread = rng.standard_normal((2, settings.num_features), np.float32) * np.float32(settings.shift)
    return offset, np.exp(spread)


@lru_cache(maxsize=4096)
def _named_direction(kind: str, name: str, stream: str, seed: int, num_features: int) -> Array:
    return _unit(seeded_rng(seed, kind, stream, name), num_features)


def _unit(rng: np.random.Generator, num_features: int) -> Array:
    direction = rng.standard_normal(num_features, np.float32)
    return np.asarray(direction / np.linalg.norm(direction), np.float32)


def seeded_rng(seed: int, *names: str) -> np.random.Generator:
    """Random numbers that follow from the seed and the names of what they are for, on any machine."""
    digest = hashlib.sha256(json.dumps(names).encode()).digest()
    return np.random.default_rng((seed, int.from_bytes(digest[:8], "little")))
