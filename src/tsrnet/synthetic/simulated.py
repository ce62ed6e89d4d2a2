"""Simulated features, as from a backbone on annotated videos, for a rehearsal without videos.

A snippet is the sum of its actions (shared by all videos of a class, trimmed or not), of the scene that goes
with them, of the shot and of a flicker that is correlated in time. All follows from (seed, stream, video id).
Nothing is stored, except by `store_features` to rehearse the use of the disk.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field
from pydantic.dataclasses import dataclass

from tsrnet.core.errors import UserError
from tsrnet.core.files import check_space
from tsrnet.core.progress import track
from tsrnet.core.settings import KNOWN_KEYS, Natural, NotBool, Positive
from tsrnet.core.workers import num_cores
from tsrnet.datasets.records import Segment, VideoRecord
from tsrnet.features.store import FeatureStore
from tsrnet.synthetic.factors import (
    FLOW,
    RGB,
    Array,
    StreamSettings,
    direction,
    draw,
    family,
    flicker,
    mix,
    seeded_rng,
)
from tsrnet.video.time_grid import FRAME_RATE_HZ, MIN_SNIPPETS, TimeGrid

FORMAT = 4
"""Part of the identity: raise it when the same seed gives other features."""
_EDGE_S = 0.6
CLIP_S = (2.0, 15.0)
"""Shortest and longest duration (s) of a trimmed clip whose duration is unknown."""


@dataclass(frozen=True, config=KNOWN_KEYS)
class SimulationSettings:
    """`shot_s`: mean seconds between two cuts. `store`: write the features as files and read these."""

    seed: Natural
    num_features: Annotated[int, Field(ge=1, le=16384), NotBool] = 2048
    shot_s: Positive = 5.0
    rgb: StreamSettings = RGB
    flow: StreamSettings = FLOW
    store: bool = False


class SimulatedStore:
    """Features made when they are read; stands in for a `FeatureStore`.

    Args:
        records: the videos: durations and segments (a trimmed clip shows its label throughout).
        settings: what the features are like.
        trimmed: whether the videos are trimmed clips, which look a little different.
        canonical: label -> name of its action, for labels with different letters.
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
        """6 Hz for every video."""
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
        num_snippets, num_features = self.shape(video_id)
        record, seed = self._records[video_id], self._settings.seed
        settings: StreamSettings = getattr(self._settings, stream)
        segments = record.segments
        if self._trimmed:
            end_s = self._duration_s(video_id) + 1.0
            segments = tuple(Segment(-1.0, end_s, label) for label in record.labels)
        video_rng = seeded_rng(seed, "video", video_id)  # what the streams share
        cut = video_rng.random(num_snippets) < 1 / (self._settings.shot_s * TimeGrid().rate_hz)
        shots = np.cumsum(cut)
        visibility = video_rng.exponential(1.0, shots[-1] + 1)[shots]  # of the actions in each shot

        rng = seeded_rng(seed, stream, video_id)
        factors = flicker(rng, num_snippets, settings)
        factors += np.float32(settings.shot) * draw(rng, int(shots[-1]) + 1, settings.decay)[shots]

        def named(kind: str, name: str) -> Array:
            return direction(seed, stream, kind, name, settings.decay)

        def show(action: Array, of: Iterable[Segment]) -> None:
            seen = visibility * envelope(of, num_snippets)
            np.add(factors, np.outer(seen.astype(np.float32), action), out=factors)

        show(settings.any_action * named("any action", ""), segments)
        for label in record.labels:
            name = canonical_name(self._canonical.get(label, label))
            own = settings.own_action * draw(rng, 1, settings.decay)[0]
            show(settings.action * named("action", name) + own, [s for s in segments if s.label == label])
            factors += np.float32(settings.scene) * named("scene", family(seed, stream, name))
            if self._trimmed:
                factors += np.float32(settings.shift) * named("shift", name)
        return mix(factors, seed, stream, num_features, settings)


def stored_features(source: SimulatedStore, folder: Path) -> FeatureStore:
    """Where `store_features` writes: `<folder>/simulated_<hash of what decides the features>`."""
    digest = hashlib.sha256(json.dumps(_stored(source), sort_keys=True).encode()).hexdigest()[:8]
    return FeatureStore(folder / f"simulated_{digest}")


def _stored(source: SimulatedStore) -> dict[str, Any]:
    return {**source.identity, "stored": "float16"}


def store_features(source: SimulatedStore, streams: Sequence[str], folder: Path) -> FeatureStore:
    """Write the features of all videos as float16 files, where they are not there yet.

    Raises UserError when the disk is too small.
    """
    store = stored_features(source, folder)
    store.claim(_stored(source))
    missing = [
        (s, video_id) for s in streams for video_id in source.ids if not store.path(s, video_id).exists()
    ]
    check_space(store.folder, sum(2 * math.prod(source.shape(video_id)) for _, video_id in missing))

    def write(stream: str, video_id: str) -> None:
        store.write(stream, video_id, source.read(stream, video_id).astype(np.float16))

    with ThreadPoolExecutor(num_cores()) as pool:
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


def envelope(segments: Iterable[Segment], num_snippets: int) -> npt.NDArray[np.float64]:
    """(num_snippets,) how much of an action is seen, 0 to 1: segments rise and fall at their edges."""
    grid = TimeGrid()
    seen = np.zeros(num_snippets)
    for segment in segments:
        start = max(0, grid.snippet_at(segment.start_s))
        stop = min(num_snippets, grid.snippet_at(segment.end_s) + 1)
        middle = grid.centres_s(num_snippets)[start:stop]
        edge_s = min(_EDGE_S, (segment.end_s - segment.start_s) / 3) + 1e-9
        inside = np.minimum(middle - segment.start_s, segment.end_s - middle)
        height = np.where(inside >= 0, np.clip(0.3 + inside / edge_s, 0, 1), 0)
        seen[start:stop] = np.maximum(seen[start:stop], height)
    return seen
