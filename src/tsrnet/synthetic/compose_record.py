"""The plan of composed videos as data, and composed.json, which keeps it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tsrnet.core.errors import UserError
from tsrnet.core.files import atomic_path, check_id
from tsrnet.core.reading import read_json_as, within
from tsrnet.core.settings import Name, Natural
from tsrnet.datasets.records import Segment
from tsrnet.video.time_grid import FRAME_RATE_HZ


@dataclass(frozen=True)
class Part:
    """Frames `start`, ..., `start + num_frames - 1` (at 30 Hz) of a clip; `label` is None for background.

    `clip` is a path in the folder of the clips, or in that of the background.
    """

    clip: Name
    start: Natural
    num_frames: Natural
    label: Name | None


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

    trimmed: Mapping[str, tuple[Name, ...]]
    videos: tuple[ComposedVideo, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)


def write_plan(path: Path, plan: Plan, settings: Mapping[str, Any]) -> None:
    """Write composed.json. `settings`: what decided the plan."""
    with atomic_path(path) as part:
        part.write_text(json.dumps({"settings": settings, **asdict(plan)}, indent=1), encoding="utf-8")


@dataclass(frozen=True)
class _PlanFile(Plan):
    settings: dict[str, Any] = field(kw_only=True)


def read_plan(path: Path, settings: Mapping[str, Any]) -> Plan:
    """The plan of composed.json; UserError if it has other settings or was changed by hand."""
    plan = read_json_as(_PlanFile, path)
    with within(path):
        for video in plan.videos:
            check_id(video.id)
    there = plan.settings
    if differing := [key for key in settings if there.get(key) != settings[key]]:
        which = "; ".join(f"{key} {there.get(key)}, not {settings[key]}" for key in differing)
        raise UserError(f"{path}: was composed with {which}; remove the folder or give another output")
    return plan
