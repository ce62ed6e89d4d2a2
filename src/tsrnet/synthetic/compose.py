"""Untrimmed videos with ground truth, composed of the user's trimmed clips and background clips.

The folder that is written has the layout of a real dataset: `untrimmed/<id>.mp4`, `annotations.json` in
ActivityNet's layout, `labels.csv` with the labels of the training videos, `trimmed/<class>/` with links to
the clips that the teacher gets, `overlap.csv`. `composed.json` has the settings and the parts of each
video; it is written first, and a second run follows it.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator
from pydantic.dataclasses import dataclass as pydantic_dataclass

from tsrnet.core.errors import UserError
from tsrnet.core.files import atomic_path, make_folder, remove_parts_of_the_dead
from tsrnet.core.progress import track
from tsrnet.core.settings import KNOWN_KEYS, Natural, NotBool
from tsrnet.core.wording import listed
from tsrnet.core.workers import worker_pool
from tsrnet.synthetic.compose_clips import find_clips, usable_clips
from tsrnet.synthetic.compose_plan import PlanSettings, make_plan
from tsrnet.synthetic.compose_record import Plan, read_plan, write_plan
from tsrnet.synthetic.compose_video import Composer, Fit

FORMAT = 1
"""Raise it when the same seed gives other videos."""
PLAN_FILE = "composed.json"

_Side = Annotated[int, Field(ge=32, multiple_of=2, description="an even number of pixels >= 32"), NotBool]


@pydantic_dataclass(frozen=True, config=KNOWN_KEYS)
class ComposeSettings(PlanSettings):
    """Where clips come from and which are used, see `find_clips` and `usable_clips`; the videos' size."""

    clips: Annotated[str, Field(description="a folder with the clips <class>/<clip>")]
    background: str | None
    output: Annotated[str, Field(description="the folder to write")]
    classes: Annotated[list[str] | None, Field(description="null or a list of at least two classes")]
    group: Annotated[str, Field(description="a regular expression")]
    width: _Side
    height: _Side
    fit: Fit
    workers: Natural

    @field_validator("classes")
    @classmethod
    def _two(cls, classes: list[str] | None) -> list[str] | None:
        if classes is not None and len(set(classes)) < 2:
            raise ValueError
        return None if classes is None else sorted(set(classes))

    @field_validator("group")
    @classmethod
    def _compiles(cls, group: str) -> str:
        try:
            re.compile(group)
        except re.error as error:
            raise ValueError from error
        return group

    @property
    def background_folder(self) -> Path:
        return Path(self.clips if self.background is None else self.background)

    @property
    def identity(self) -> dict[str, Any]:
        """The settings that decide the videos, with only the names of folders: the same on every machine."""
        values = asdict(self) | {"format": FORMAT, "clips": Path(self.clips).resolve().name}
        if self.background is not None:
            values["background"] = Path(self.background).resolve().name
        return {key: value for key, value in values.items() if key not in ("output", "workers")}


def compose(settings: ComposeSettings) -> Plan:
    """Write what is missing of the videos and of the files beside them; return what they show.

    Raises UserError for folders without clips, classes with too few, and an output that holds other things.
    """
    output = Path(settings.output)
    if (output / PLAN_FILE).exists():
        plan = read_plan(output / PLAN_FILE, settings.identity)
    else:
        if any((output / name).exists() for name in ("annotations.json", "untrimmed", "trimmed")):
            raise UserError(f"output: got {output}, which holds videos from elsewhere; give another folder")
        plan = _plan(settings)
        write_plan(output / PLAN_FILE, plan, settings.identity)
    for folder in (output, output / "trimmed"):
        remove_parts_of_the_dead(folder)
    _write(output / "annotations.json", json.dumps(ground_truth(plan, settings), indent=1))
    labels = [
        (f"{video.id}.mp4", label)
        for video in plan.videos
        if video.subset == "training"
        for label in sorted({segment.label for segment in video.segments})
    ]
    _write(output / "labels.csv", _table(("video", "label"), labels))
    _write(output / "overlap.csv", _table(("untrimmed", "trimmed"), [(name, name) for name in plan.trimmed]))
    for names in plan.trimmed.values():
        for name in names:
            _link(Path(settings.clips) / name, output / "trimmed" / name)
    _write_videos(plan, settings)
    return plan


def ground_truth(plan: Plan, settings: ComposeSettings) -> dict[str, object]:
    """The segments of all videos in ActivityNet's layout (seconds)."""
    return {
        "version": f"tsrnet.compose {FORMAT}, seed {settings.seed}",
        "taxonomy": [],
        "database": {
            video.id: {
                "duration": video.duration_s,
                "subset": video.subset,
                "resolution": f"{settings.width}x{settings.height}",
                "url": "",
                "annotations": [
                    {"label": segment.label, "segment": [segment.start_s, segment.end_s]}
                    for segment in video.segments
                ],
            }
            for video in plan.videos
        },
    }


def _plan(settings: ComposeSettings) -> Plan:
    background = None if settings.background is None else Path(settings.background)
    clips, between = find_clips(Path(settings.clips), background, settings.classes)
    classes = sorted(set(clips.values()))
    settings.check_classes(classes)
    options: dict[str, Any] = {"group": settings.group, "workers": settings.workers}
    usable, left_out = usable_clips(Path(settings.clips), clips, what="clips", **options)
    others, others_left_out = usable_clips(settings.background_folder, between, what="background", **options)
    left_out |= others_left_out
    try:
        plan = make_plan(usable, others, classes, settings)
    except UserError as error:
        reasons = [f"{name} ({reason})" for name, reason in left_out.items()]
        raise UserError(f"{error}" + f"; left out: {listed(reasons, most=3)}" * bool(reasons)) from error
    return replace(plan, left_out=left_out)


def _write_videos(plan: Plan, settings: ComposeSettings) -> None:
    size = (settings.width, settings.height)
    folder = make_folder(Path(settings.output) / "untrimmed")
    composer = Composer(Path(settings.clips), settings.background_folder, folder, *size, settings.fit)
    if missing := [video for video in plan.videos if not composer.path(video).exists()]:
        with worker_pool(settings.workers) as pool:
            for _ in track(pool.map(composer, missing), total=len(missing), what="composing videos"):
                pass


def _write(path: Path, text: str) -> None:
    """Write a file unless it already has this text."""
    if not path.exists() or path.read_bytes() != text.encode():
        with atomic_path(path) as part:
            part.write_text(text, encoding="utf-8")


def _link(source: Path, target: Path) -> None:
    """Make a link, or a copy if the disk has no links."""
    if target.exists():
        return
    with atomic_path(target) as part:
        part.unlink()
        try:
            os.symlink(source.resolve(), part)
        except OSError:
            shutil.copyfile(source, part)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()
