"""The plan of composed videos as data, and composed.json, which keeps it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from tsrnet.core.errors import UserError
from tsrnet.core.files import check_id
from tsrnet.core.reading import read_json_as, within
from tsrnet.core.settings import Name, NotBool
from tsrnet.datasets.records import Segment
from tsrnet.video.time_grid import FRAME_RATE_HZ

_Seconds = Annotated[float, Field(ge=0, le=1e6), NotBool]


@dataclass(frozen=True)
class Part:
    """Frames `start`, ..., `start + num_frames - 1` (at 30 Hz) of a clip; `label` is None for background.

    `clip` is a path in the folder of the clips, or in that of the background.
    """

    clip: str
    start: int
    num_frames: int
    label: str | None


@dataclass(frozen=True)
class ComposedVideo:
    """The parts of a video in order; `subset` is "training" or "validation"."""

    id: str
    subset: str
    parts: tuple[Part, ...]

    @property
    def duration_s(self) -> float:
        return round(sum(part.num_frames for part in self.parts) / FRAME_RATE_HZ, 3)

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The ground truth: where its parts with a label are."""
        ends = np.cumsum([part.num_frames for part in self.parts]).tolist()
        return tuple(
            Segment(round(start / FRAME_RATE_HZ, 3), round(end / FRAME_RATE_HZ, 3), part.label)
            for start, end, part in zip([0, *ends], ends, self.parts, strict=False)
            if part.label is not None
        )


@dataclass(frozen=True)
class Plan:
    """Class -> clips that are kept for the teacher; the videos; clip -> why it is in neither."""

    trimmed: Mapping[str, tuple[str, ...]]
    videos: tuple[ComposedVideo, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)


def plan_json(plan: Plan, settings: Mapping[str, Any]) -> str:
    """What composed.json holds; times in seconds of the clip. `settings`: what decided the plan."""
    videos = {
        video.id: {
            "subset": video.subset,
            "parts": [
                {
                    "clip": part.clip,
                    "start": round(part.start / FRAME_RATE_HZ, 3),
                    "end": round((part.start + part.num_frames) / FRAME_RATE_HZ, 3),
                    "label": part.label,
                }
                for part in video.parts
            ],
        }
        for video in plan.videos
    }
    content = {"settings": settings, "left_out": plan.left_out, "trimmed": plan.trimmed, "videos": videos}
    return json.dumps(content, indent=1)


@dataclass(frozen=True)
class _PartEntry:
    clip: Name
    start: _Seconds
    end: _Seconds
    label: Name | None


@dataclass(frozen=True)
class _VideoEntry:
    subset: str
    parts: tuple[_PartEntry, ...]


@dataclass(frozen=True)
class _PlanFile:
    """composed.json as it is written."""

    settings: dict[str, Any]
    left_out: dict[str, str]
    trimmed: dict[str, tuple[Name, ...]]
    videos: dict[str, _VideoEntry]


def read_plan(path: Path, settings: Mapping[str, Any]) -> Plan:
    """The plan of composed.json; UserError where it is of other settings, or was changed by hand."""
    content = read_json_as(_PlanFile, path)
    there = content.settings
    with within(path):
        videos = tuple(
            ComposedVideo(check_id(name), entry.subset, tuple(map(_part, entry.parts)))
            for name, entry in content.videos.items()
        )
    plan = Plan(content.trimmed, videos, content.left_out)
    differing = [key for key in settings if there.get(key) != settings[key]]
    if differing:
        which = "; ".join(f"{key} {there.get(key)}, not {settings[key]}" for key in differing)
        raise UserError(f"{path}: was composed with {which}; remove the folder or give another output")
    return plan


def _part(entry: _PartEntry) -> Part:
    start, end = (round(time_s * FRAME_RATE_HZ) for time_s in (entry.start, entry.end))
    return Part(entry.clip, start, end - start, entry.label)
