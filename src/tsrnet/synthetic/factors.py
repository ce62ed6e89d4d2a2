"""The factors behind simulated features, and how they become features.

A few factors change over time, and a mixing that all videos share spreads them over the features:
so, as in real features, few directions hold most of what differs, and classes, scenes and noise
share them. The strengths are fitted to real features: docs/simulation.md, benchmarks/simulation.py.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field
from pydantic.dataclasses import dataclass

from tsrnet.core.settings import KNOWN_KEYS, NonNegative, NotBool, Positive
from tsrnet.video.time_grid import TimeGrid

Array = npt.NDArray[np.float32]

_NUM_FACTORS = 128
_NUM_FAMILIES = 10


@dataclass(frozen=True, config=KNOWN_KEYS)
class StreamSettings:
    """What the features of a stream are made of: standard deviations of a feature before the ReLU.

    `bias`, `bias_spread`: mean and standard deviation of the constant parts of the features.
    `action`: of the class, during its segments. `any_action`: what the actions of all classes have in
    common. `own_action`: how far the action of one video lies from its class.
    `scene`: of the surroundings, which all classes of a family share. The streams have different
    families, so one stream tells apart what the other confuses.
    `shot`: of what changes with every cut. `flicker`: of what changes from snippet to snippet, with
    a correlation of exp(-t / `flicker_s`) over t seconds.
    `shift`: between trimmed and untrimmed, in another direction for each class.
    `decay`: the variance of factor k is proportional to k^-decay; `flicker_decay`: in the flicker.
    """

    bias: Annotated[float, Field(allow_inf_nan=False), NotBool]
    bias_spread: NonNegative
    action: NonNegative
    any_action: NonNegative
    own_action: NonNegative
    scene: NonNegative
    shot: NonNegative
    flicker: NonNegative
    flicker_s: Positive
    shift: NonNegative
    decay: NonNegative
    flicker_decay: NonNegative


RGB = StreamSettings(
    bias=0.05,
    bias_spread=0.35,
    action=0.42,
    any_action=0.33,
    own_action=0.4,
    scene=0.65,
    shot=0.65,
    flicker=0.43,
    flicker_s=0.6,
    shift=0.6,
    decay=1.1,
    flicker_decay=0.3,
)
FLOW = StreamSettings(
    bias=-0.85,
    bias_spread=0.5,
    action=0.28,
    any_action=0.42,
    own_action=0.2,
    scene=0.2,
    shot=0.4,
    flicker=0.8,
    flicker_s=0.13,
    shift=0.3,
    decay=1.3,
    flicker_decay=1.3,
)


def draw(rng: np.random.Generator, count: int, decay: float) -> Array:
    """(count, factors) independent draws; their variances fall with `decay` and sum to 1."""
    spread = np.arange(1, _NUM_FACTORS + 1) ** (-decay / 2)
    spread /= np.linalg.norm(spread)
    return rng.standard_normal((count, _NUM_FACTORS), np.float32) * spread.astype(np.float32)


def flicker(rng: np.random.Generator, count: int, settings: StreamSettings) -> Array:
    """(count, factors) of a first-order autoregression, stationary from the first snippet on."""
    noise: Array = np.float32(settings.flicker) * draw(rng, count, settings.flicker_decay)
    kept = np.float32(np.exp(-1 / (settings.flicker_s * TimeGrid().rate_hz)))
    noise[1:] *= np.sqrt(1 - kept**2)
    # noise[t] += kept * noise[t - 1], row after row, in few steps: sums of 1, 2, 4, ... terms.
    step = 1
    while step < count and (weight := kept**step) > 1e-9:
        noise[step:] += weight * noise[:-step]
        step *= 2
    return noise


@lru_cache(maxsize=4096)
def direction(seed: int, stream: str, kind: str, name: str, decay: float) -> Array:
    """(factors,) of length 1: the direction of a named action, scene or shift."""
    drawn = draw(seeded_rng(seed, kind, stream, name), 1, decay)[0]
    return np.asarray(drawn / np.linalg.norm(drawn), np.float32)


def family(seed: int, stream: str, name: str) -> str:
    """The family of an action, by its name."""
    return str(seeded_rng(seed, "family", stream, name).integers(_NUM_FAMILIES))


def mix(factors: Array, seed: int, stream: str, num_features: int, settings: StreamSettings) -> Array:
    """(n, num_features) features, not negative, of (n, factors)."""
    mixing, constant = _mixing(seed, stream, num_features)
    features: Array = factors @ mixing
    features += np.float32(settings.bias_spread) * constant + np.float32(settings.bias)
    np.maximum(features, 0, out=features)
    return features


@lru_cache(maxsize=8)
def _mixing(seed: int, stream: str, num_features: int) -> tuple[Array, Array]:
    drawn = seeded_rng(seed, "mixing", stream).standard_normal((_NUM_FACTORS + 1, num_features), np.float32)
    return drawn[:-1], drawn[-1]


def seeded_rng(seed: int, *names: str) -> np.random.Generator:
    """Random numbers that follow from the seed and the names of what they are for, on any machine."""
    digest = hashlib.sha256(json.dumps(names).encode()).digest()
    return np.random.default_rng((seed, int.from_bytes(digest[:8], "little")))
