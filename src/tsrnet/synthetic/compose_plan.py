"""Plans what each composed video shows when, from a seed and the names of the clips, without pixels.

Lists are sorted by name before anything is drawn. `numpy.random.default_rng((seed, 0))` draws which part a
group of clips goes to, `(seed, 1)` all of the training videos in their order, `(seed, 2)` the test videos.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass as pydantic_dataclass

from tsrnet.core.errors import UserError
from tsrnet.core.settings import KNOWN_KEYS, Count, Natural, NotBool, Positive
from tsrnet.core.wording import counted
from tsrnet.synthetic.compose_record import ComposedVideo, Part, Plan
from tsrnet.video.time_grid import FRAME_RATE_HZ

MIN_CLIP_S = 1.0
"""Shorter clips cannot be used."""
MAX_SEGMENTS = 4
_TWO_CLASSES = 4  # one video in this many
_GAP, _MORE_GAP = 2 * FRAME_RATE_HZ, 5 * FRAME_RATE_HZ
"""Frames of background before, between and after segments: the least, and the most that are drawn on top."""
_FLASH = FRAME_RATE_HZ // 2
"""No background clip is shown for fewer frames than this."""
_PARTS = {"trimmed": "the teacher", "training": "training", "validation": "test"}


@dataclass(frozen=True)
class Clip:
    """A clip that can be used. `name`: its path in its folder. `num_frames`: at 30 Hz.

    `label`: its class; of a background clip the class whose videos it is for, None for all videos.
    """

    name: str
    group: str
    num_frames: int
    label: str | None


@pydantic_dataclass(frozen=True, config=KNOWN_KEYS)
class PlanSettings:
    """Seed, numbers of videos, share of a class's groups that the teacher gets, lengths in seconds."""

    seed: Natural
    num_train: Count
    num_test: Count
    trimmed_share: Annotated[float, Field(gt=0, lt=1), NotBool]
    max_segment_s: Annotated[
        float, Field(ge=MIN_CLIP_S, allow_inf_nan=False, description="a number >= 1"), NotBool
    ]
    min_duration_s: Positive
    max_duration_s: Positive

    @model_validator(mode="after")
    def _fits(self) -> PlanSettings:
        if self.min_duration_s > self.max_duration_s:
            raise ValueError(
                f"min_duration_s: got {self.min_duration_s:g}, need at most"
                f" max_duration_s={self.max_duration_s:g}"
            )
        most = (self.max_duration_s - 3 * _GAP / FRAME_RATE_HZ) / 2
        if self.max_segment_s > most:
            raise ValueError(
                f"max_segment_s: got {self.max_segment_s:g}, need at most {most:g}: two segments between"
                f" backgrounds fit into max_duration_s={self.max_duration_s:g}"
            )
        return self

    def check_classes(self, classes: Collection[str]) -> None:
        """UserError where there are fewer videos than classes to train on or to test on."""
        for key, count in (("num_train", self.num_train), ("num_test", self.num_test)):
            if count < len(classes):
                raise UserError(f"{key}: got {count}, need at least {len(classes)}, one video a class")


def make_plan(
    clips: Sequence[Clip], background: Sequence[Clip], classes: Sequence[str], settings: PlanSettings
) -> Plan:
    """Which clips the teacher gets and what each video shows; the order of the lists does not matter.

    The clips of a group, also of background, are in one part only. A clip is in a second video of its part
    only after all clips of its class have been shown. Raises UserError for classes without a clip for each
    part.
    """
    clips, background = sorted(clips, key=lambda clip: clip.name), sorted(background, key=lambda c: c.name)
    classes = sorted(classes)
    part_of = _split(clips, background, classes, settings)
    videos: list[ComposedVideo] = []
    for number, subset, name, count in (
        (1, "training", "train", settings.num_train),
        (2, "validation", "test", settings.num_test),
    ):
        shown, between = ([c for c in some if part_of[c.group] == subset] for some in (clips, background))
        rng = np.random.default_rng((settings.seed, number))
        videos += [
            ComposedVideo(f"composed_{name}_{index:03d}", subset, parts)
            for index, parts in enumerate(_videos(count, classes, shown, between, settings, rng))
        ]
    trimmed = {
        label: tuple(c.name for c in clips if c.label == label and part_of[c.group] == "trimmed")
        for label in classes
    }
    return Plan(trimmed, tuple(videos))


def _split(
    clips: Sequence[Clip], background: Sequence[Clip], classes: Sequence[str], settings: PlanSettings
) -> dict[str, str]:
    """Group -> part."""
    rng = np.random.default_rng((settings.seed, 0))
    training = settings.num_train / (settings.num_train + settings.num_test)
    rest = 1 - settings.trimmed_share
    shares = {
        "trimmed": settings.trimmed_share,
        "training": rest * training,
        "validation": rest * (1 - training),
    }
    part_of: dict[str, str] = {}
    lacking = []
    for label in classes:
        own = [clip for clip in clips if clip.label == label]
        if missing := _deal(own, shares, part_of, rng):
            groups = len({clip.group for clip in own})
            lacking.append(
                f"{label!r} ({counted(len(own), 'clip')} in {counted(groups, 'group')}, none for"
                f" {' and '.join(_PARTS[part] for part in missing)})"
            )
    if lacking:
        raise UserError(
            f"clips: got too few of {', '.join(lacking)}; need a group of clips of each class for the"
            " teacher, for training and for test; add clips, or give classes=[...] without these"
        )
    shares = {"training": training, "validation": 1 - training}
    for pool in sorted({clip.label or "" for clip in background}):
        _deal([clip for clip in background if (clip.label or "") == pool], shares, part_of, rng)
    if missing := [part for part in shares if part not in {part_of[clip.group] for clip in background}]:
        raise UserError(
            f"background: got {counted(len(background), 'clip')} that can be used, none for"
            f" {' and '.join(_PARTS[part] for part in missing)}; need at least two of different groups"
        )
    return part_of


def _deal(
    clips: Sequence[Clip], shares: Mapping[str, float], part_of: dict[str, str], rng: np.random.Generator
) -> list[str]:
    """Deal the groups that have no part yet, in random order; return the parts that got none.

    Each group goes to a part without any, then to the part that is furthest below its share.
    """
    groups = sorted({clip.group for clip in clips})
    dealt = Counter(part_of[group] for group in groups if group in part_of)
    for group in rng.permutation(groups).tolist():
        if group not in part_of:
            part = max(shares, key=lambda name: (not dealt[name], shares[name] * len(groups) - dealt[name]))
            part_of[group] = part
            dealt[part] += 1
    return [part for part in shares if not dealt[part]]


def _videos(
    count: int,
    classes: Sequence[str],
    clips: Sequence[Clip],
    background: Sequence[Clip],
    settings: PlanSettings,
    rng: np.random.Generator,
) -> Iterator[tuple[Part, ...]]:
    """The parts of each video of a subset. Classes take turns, also the second ones."""
    first, second = (itertools.cycle(rng.permutation(classes).tolist()) for _ in range(2))
    with_two = set(rng.permutation(count)[: count // _TWO_CLASSES].tolist())
    decks = {label: _Deck([clip for clip in clips if clip.label == label], rng) for label in classes}
    pools: dict[tuple[Clip, ...], _Deck] = {}
    for index in range(count):
        labels = [next(first)]
        if index in with_two:
            labels.append(next(label for label in second if label != labels[0]))
        segments = _segments(labels, decks, settings, rng)
        suitable = tuple(clip for clip in background if clip.label is None or clip.label in labels)
        pool = suitable or tuple(background)
        deck = pools.setdefault(pool, _Deck(pool, rng))
        gaps = _gaps(segments, settings, rng)
        parts = list(_fill(deck, gaps[0], rng))
        for segment, gap in zip(segments, gaps[1:], strict=True):
            parts += [segment, *_fill(deck, gap, rng)]
        yield tuple(parts)


def _segments(
    labels: Sequence[str], decks: Mapping[str, _Deck], settings: PlanSettings, rng: np.random.Generator
) -> list[Part]:
    """1 to 4 segments that fit, at least one of each label, of different clips, in random order."""
    number = int(rng.integers(len(labels), MAX_SEGMENTS + 1))
    wanted = [*labels, *rng.choice(labels, number - len(labels)).tolist()]
    longest = int(settings.max_segment_s * FRAME_RATE_HZ)
    left = int(settings.max_duration_s * FRAME_RATE_HZ) - _GAP
    segments: list[Part] = []
    for label in wanted:
        fits = longest + _GAP <= left  # for any next clip
        clip = decks[label].draw({segment.clip for segment in segments}) if fits else None
        if clip is None:
            continue
        length = min(clip.num_frames, longest)
        start = int(rng.integers(clip.num_frames - length + 1))
        segments.append(Part(clip.name, start, length, label))
        left -= length + _GAP
    return [segments[i] for i in rng.permutation(len(segments))]


def _gaps(segments: Sequence[Part], settings: PlanSettings, rng: np.random.Generator) -> list[int]:
    """Frames of background before, between and after the segments, within the limits of the duration."""
    least = sum(segment.num_frames for segment in segments) + _GAP * (len(segments) + 1)
    more = rng.uniform(0, _MORE_GAP, len(segments) + 1)
    low = max(0, math.ceil(settings.min_duration_s * FRAME_RATE_HZ) - least)
    high = int(settings.max_duration_s * FRAME_RATE_HZ) - least
    total = int(np.clip(more.sum(), low, high))
    gaps = [_GAP + int(frames) for frames in more * (total / more.sum())]
    gaps[-1] += total + _GAP * len(gaps) - sum(gaps)
    return gaps


def _fill(deck: _Deck, length: int, rng: np.random.Generator) -> Iterator[Part]:
    """Background of `length` frames: one clip from a random start, or several one after the other."""
    while length:
        clip = deck.draw(())
        assert clip is not None
        frames = min(clip.num_frames, length)
        if 0 < length - frames < _FLASH:
            frames = length - _FLASH
        yield Part(clip.name, int(rng.integers(clip.num_frames - frames + 1)), frames, None)
        length -= frames


class _Deck:
    """Clips in random order: each is drawn once before one is drawn again."""

    def __init__(self, clips: Sequence[Clip], rng: np.random.Generator) -> None:
        self._clips, self._rng = clips, rng
        self._left: list[Clip] = []

    def draw(self, without: Collection[str]) -> Clip | None:
        """The next clip whose name is not in `without`; None where all are."""
        if all(clip.name in without for clip in self._left):
            self._left += [self._clips[i] for i in self._rng.permutation(len(self._clips))]
        for place, clip in enumerate(self._left):
            if clip.name not in without:
                return self._left.pop(place)
        return None
