"""The demo dataset: an articulated figure filmed in trimmed clips and untrimmed videos.

Everything follows from `seed`: the script of each video (which act when), its looks, its pixels.
The result on disk looks like a real dataset: H.264 files and annotation files in
ActivityNet's layout, read back by the same code as any other dataset.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass as pydantic_dataclass

from tsrnet.core.errors import UserError
from tsrnet.core.files import atomic_path, make_folder
from tsrnet.core.progress import track
from tsrnet.core.reading import read_json
from tsrnet.core.settings import KNOWN_KEYS, Natural, NotBool
from tsrnet.core.workers import worker_pool
from tsrnet.datasets.activitynet_layout import activitynet_records
from tsrnet.datasets.records import VideoDataset, check_records
from tsrnet.synthetic import figure, scene
from tsrnet.synthetic.acts import ACTIONS, DISTRACTORS, Act, pose_of
from tsrnet.video.writer import write_video

FORMAT = 1
"""Part of the folder's name: raise it when the same seed gives other videos."""

FRAME_RATE_HZ = 30
_BLEND_S = 0.25


@dataclass(frozen=True)
class Script:
    """All that decides a video's pixels except its size."""

    id: str
    subset: str  # "training" or "testing"
    acts: tuple[Act, ...]
    trimmed: bool
    rng_key: tuple[int, ...]

    @property
    def duration_s(self) -> float:
        return self.acts[-1].end_s

    @property
    def actions(self) -> list[Act]:
        return [act for act in self.acts if act.name in ACTIONS]


def untrimmed_scripts(seed: int, subset: str, count: int) -> list[Script]:
    """`count` untrimmed videos of 20 to 40 s: 1 to 4 instances between distractors.

    Classes take turns, so each has the same number of videos; every fifth video shows a second,
    and these take turns too.
    """
    split = {"training": 0, "testing": 1}[subset]
    seconds = itertools.cycle(np.random.default_rng((seed, split)).permutation(ACTIONS).tolist())
    scripts = []
    for index in range(count):
        key = (seed, split, index)
        rng = np.random.default_rng(key)
        classes = [ACTIONS[index % len(ACTIONS)]]
        if index % 5 == 4:
            classes.append(next(name for name in seconds if name != classes[0]))
        instances = classes + [classes[0]] * int(rng.integers(0, 3))
        acts: list[Act] = []
        now = _idle(rng, acts, 0.0, float(rng.uniform(1.5, 5)))
        for name in instances:
            now = _act(rng, acts, name, now, float(rng.uniform(2.5, 5)), rng.uniform(0.8, 1.2))
            now = _idle(rng, acts, now, float(rng.uniform(2.5, 5)))
        target = float(rng.uniform(20, 32))
        while now < 20 or now + 3 < min(target, 37):
            now = _idle(rng, acts, now, float(rng.uniform(2, 5)))
        name = f"demo_{'train' if split == 0 else 'test'}_{index:03d}"
        scripts.append(Script(name, subset, tuple(acts), False, key))
    return scripts


def trimmed_scripts(seed: int, clips_per_class: int) -> list[Script]:
    """`clips_per_class` clips of 2 to 4 s of every action, and a fifth as many to test on."""
    scripts = []
    for number, action in enumerate(ACTIONS):
        for index in range(clips_per_class + max(1, clips_per_class // 5)):
            key = (seed, 2, number, index)
            rng = np.random.default_rng(key)
            acts: list[Act] = []
            _act(rng, acts, action, 0.0, float(rng.uniform(2, 4)), rng.uniform(0.85, 1.15))
            subset = "training" if index < clips_per_class else "testing"
            scripts.append(Script(f"{action}_{index:03d}", subset, tuple(acts), True, key))
    return scripts


def _act(
    rng: np.random.Generator, acts: list[Act], name: str, start_s: float, length_s: float, speed: float
) -> float:
    acts.append(Act(name, start_s, start_s + length_s, 2.8 * speed, int(rng.integers(2))))
    return start_s + length_s


def _idle(rng: np.random.Generator, acts: list[Act], start_s: float, length_s: float) -> float:
    name = str(rng.choice(DISTRACTORS, p=[0.25, 0.3, 0.15, 0.15, 0.15]))
    walk = float(rng.uniform(0.1, 0.35)) * (1 if rng.random() < 0.5 else -1) if name == "walk" else 0.0
    end_s = start_s + length_s
    acts.append(Act(name, start_s, end_s, float(rng.uniform(0.8, 1.6)), int(rng.integers(2)), walk))
    return end_s


def frames(script: Script, size: int) -> Iterator[figure.Image]:
    """The (size, size, 3) RGB frames of a script at 30 Hz."""
    rng = np.random.default_rng((*script.rng_key, 1))
    body = scene.body(rng)
    if script.trimmed:
        place = scene.plain(rng, size)
        height, x, floor = rng.uniform(0.78, 0.86), rng.uniform(0.46, 0.54), rng.uniform(0.92, 0.95)
    else:
        place = scene.cluttered(rng, size, duration_s=script.duration_s)
        height, x, floor = rng.uniform(0.55, 0.75), rng.uniform(0.3, 0.7), rng.uniform(0.8, 0.95)
    starts = [x]
    for act in script.acts:  # where the figure stands when each act begins; it turns at the edges
        target = starts[-1] + act.walk
        starts.append(target if 0.2 <= target <= 0.8 else starts[-1] - act.walk)
    for index in range(round(script.duration_s * FRAME_RATE_HZ)):
        time_s = index / FRAME_RATE_HZ
        number = next(i for i, act in enumerate(script.acts) if time_s < act.end_s or act is script.acts[-1])
        act = script.acts[number]
        pose, lift = pose_of(act, time_s)
        since_s = time_s - act.start_s
        if number and since_s < _BLEND_S:
            before, before_lift = pose_of(script.acts[number - 1], act.start_s)
            weight = since_s / _BLEND_S
            pose, lift = before + weight * (pose - before), before_lift + weight * (lift - before_lift)
        done = since_s / (act.end_s - act.start_s)
        foot_x = starts[number] + done * (starts[number + 1] - starts[number])
        image = place.frame(time_s)
        figure.draw(
            image, pose, body=body, foot=(foot_x * size, floor * size), height=height * size, lift=lift
        )
        yield image


def ground_truth(scripts: list[Script]) -> dict[str, Any]:
    """The scripts' ground truth in ActivityNet's layout (seconds)."""
    return {
        "version": f"demo {FORMAT}",
        "database": {
            script.id: {
                "duration": round(script.duration_s, 3),
                "subset": script.subset,
                "annotations": [
                    {"label": act.name, "segment": [round(act.start_s, 3), round(act.end_s, 3)]}
                    for act in script.actions
                ],
            }
            for script in scripts
        },
    }


def _write(job: tuple[Script, Path, int]) -> None:
    script, path, size = job
    with atomic_path(path) as part:
        write_video(part, frames(script, size), frame_rate_hz=FRAME_RATE_HZ)


_MOST = 10_000
_OneAClass = Annotated[
    int,
    Field(ge=len(ACTIONS), le=_MOST, description=f"one per class: at least {len(ACTIONS)}, at most {_MOST}"),
    NotBool,
]


@pydantic_dataclass(frozen=True, config=KNOWN_KEYS)
class DemoSettings:
    """What decides the demo dataset: seed, numbers of videos and clips, side in pixels, folder."""

    seed: Natural
    num_train: _OneAClass
    num_test: _OneAClass
    clips_per_class: int
    size: Annotated[int, Field(ge=32, multiple_of=2, description="an even number of pixels >= 32"), NotBool]
    folder: str

    @model_validator(mode="after")
    def _check_clips(self) -> DemoSettings:
        if not 1 <= self.clips_per_class <= _MOST:  # the configuration has it under `trimmed`
            need = f"a whole number >= 1 and <= {_MOST}"
            raise ValueError(f"trimmed.clips_per_class: got {self.clips_per_class}, need {need}")
        return self


def find_dataset(settings: DemoSettings) -> tuple[VideoDataset, VideoDataset]:
    """The untrimmed videos and the trimmed clips, drawn or not; nothing is written."""
    untrimmed, trimmed = (_dataset(settings, kind, videos) for kind, videos in _scripts(settings).items())
    return untrimmed, trimmed


def _scripts(settings: DemoSettings) -> dict[str, list[Script]]:
    return {
        "untrimmed": untrimmed_scripts(settings.seed, "training", settings.num_train)
        + untrimmed_scripts(settings.seed, "testing", settings.num_test),
        "trimmed": trimmed_scripts(settings.seed, settings.clips_per_class),
    }


def _dataset(settings: DemoSettings, kind: str, scripts: list[Script]) -> VideoDataset:
    """The dataset, with records that are checked like a user's."""
    folder = Path(settings.folder)
    path = folder / f"{kind}.json"
    annotated = check_records(path, activitynet_records(path, ground_truth(scripts)["database"]))
    return VideoDataset(
        # The name of the videos, so of their features, too.
        name=f"demo_{settings.seed}_{settings.size}" + ("_trimmed" if kind == "trimmed" else ""),
        classes=tuple(sorted(ACTIONS)),
        train=tuple(record for record in annotated.records if record.subset == "training"),
        test=tuple(record for record in annotated.records if record.subset == "testing"),
        videos=folder / kind,
        remarks=annotated.remarks,
    )


def draw_dataset(settings: DemoSettings, *, workers: int) -> tuple[VideoDataset, VideoDataset]:
    """Write what is missing of the dataset; return its untrimmed videos and its trimmed clips.

    `untrimmed/` and `trimmed/` hold one `<id>.mp4` a video; `untrimmed.json` and `trimmed.json` the
    annotations.
    """
    folder = Path(settings.folder)
    version = {"format": FORMAT, "seed": settings.seed, "size": settings.size}
    marker = folder / "demo.json"
    if not marker.exists():
        with atomic_path(marker) as part:
            part.write_text(json.dumps(version))
    elif (present := read_json(marker)) != version:
        raise UserError(
            f"{folder}: contains a demo of {present}, need {version}; delete it or give dataset.folder"
        )
    jobs, datasets = [], []
    for kind, videos in _scripts(settings).items():
        with atomic_path(folder / f"{kind}.json") as part:
            part.write_text(json.dumps(ground_truth(videos), indent=1))
        dataset = _dataset(settings, kind, videos)
        make_folder(dataset.videos)
        datasets.append(dataset)
        jobs += [
            (script, dataset.path(script.id), settings.size)
            for script in videos
            if not dataset.path(script.id).exists()
        ]
    if jobs:
        with worker_pool(workers) as pool:
            for _ in track(pool.map(_write, jobs), total=len(jobs), what="drawing the demo's videos"):
                pass
    untrimmed, trimmed = datasets
    return untrimmed, trimmed
