"""One W&B run over all stages and the test: configuration, losses, metrics, pictures."""

from __future__ import annotations

import hashlib
import json
import netrc
import os
import re
import secrets
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlparse

from PIL import Image, ImageOps
from pydantic import Field
from pydantic.dataclasses import dataclass
from pytorch_lightning.loggers import WandbLogger

from tsrnet.core.errors import UserError
from tsrnet.core.files import atomic_path
from tsrnet.core.reading import read_json_as
from tsrnet.core.settings import KNOWN_KEYS, Natural

_MAX_ROWS = 10_000


@dataclass(frozen=True, config=KNOWN_KEYS)
class WandbSettings:
    """Where a run is logged on W&B. `mode`: "auto" is online with a login, else offline.

    `checkpoints`: the weights, too. `clips`: number of detected segments to show.
    """

    project: str = "tsrnet"
    entity: str | None = None
    group: str | None = None
    tags: tuple[str, ...] = ()
    mode: Literal["auto", "online", "offline"] = "auto"
    checkpoints: bool = False
    clips: Natural = 0


class StageLogger(WandbLogger):
    """Lightning's logger for one stage of a run: its names begin with the stage, and so does its step."""

    LOGGER_JOIN_CHAR = "/"

    def __init__(self, run: Any, stage: str) -> None:
        super().__init__(experiment=run, prefix=stage)
        self._step = f"{stage}/step"
        run.define_metric(f"{stage}/*", step_metric=self._step)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        named = {f"{self._prefix}/{name}": value for name, value in metrics.items()}
        self.experiment.log({self._step: step, **named})

    def log_hyperparams(self, params: Any) -> None:
        """The run has the whole configuration already."""


class WandbRun:
    """The open W&B run, for the loggers of the stages and for the results of the test."""

    def __init__(self, run: Any, settings: WandbSettings) -> None:
        self._run, self._settings = run, settings

    def logger(self, stage: str) -> StageLogger:
        return StageLogger(self._run, stage)

    def log_results(
        self,
        metrics: Mapping[str, float],
        summary: Mapping[str, Any],
        detections: Mapping[str, Sequence[Mapping[str, Any]]],
        timelines: Sequence[Path],
        confusion: tuple[Sequence[str], Sequence[str], Sequence[str]],
    ) -> None:
        """Add the test: metrics by name, detections, timelines and the confusion matrix.

        `summary` is shown beside the metrics. `confusion`: classes, and the true and the recognised class
        of each video.
        """
        import wandb

        flat = {f"test/{name}": value for name, value in metrics.items()}
        self._run.summary.update({**flat, **summary})
        rows = [
            [video, found["label"], *found["segment"], found["score"]]
            for video, some in detections.items()
            for found in some
        ]
        rows = sorted(rows, key=lambda row: -row[-1])[:_MAX_ROWS]
        classes, true, recognised = confusion
        number = {name: index for index, name in enumerate(classes)}
        self._run.log(
            {
                **flat,
                "test/detections": wandb.Table(["video", "label", "start_s", "end_s", "score"], data=rows),
                "test/timelines": [
                    wandb.Image(picture, caption=path.stem)
                    for path, picture in zip(timelines, _of_one_height(timelines), strict=True)
                ],
                "test/confusion": wandb.plot.confusion_matrix(
                    y_true=[number[name] for name in true],
                    preds=[number[name] for name in recognised],
                    class_names=list(classes),
                ),
            }
        )

    def log_clips(self, clips: Mapping[Path, str]) -> None:
        """Add clips of detected segments: mp4 file -> caption."""
        import wandb

        videos = [wandb.Video(str(path), caption=text, format="mp4") for path, text in clips.items()]
        if videos:
            self._run.log({"test/clips": videos})

    def log_features(self, name: str, files: Sequence[Path]) -> None:
        """Note which features the run uses, as an artefact with their description and manifest."""
        import wandb

        artefact = wandb.Artifact(f"features-{re.sub(r'[^a-zA-Z0-9_.-]', '-', name)}", type="features")
        for path in files:
            artefact.add_file(str(path))
        # W&B draws what a run uses before it, and what it logs after it; offline, it only logs.
        (self._run.log_artifact if self._run.offline else self._run.use_artifact)(artefact)

    def log_weights(self, files: Mapping[str, Path]) -> None:
        """Add the weights of networks as one artefact, where the settings ask for it: name -> file."""
        if not self._settings.checkpoints:
            return
        import wandb

        artefact = wandb.Artifact(f"networks-{self._run.id}", type="model")
        for name, path in files.items():
            artefact.add_file(str(path), name=f"{name}.pt")
        self._run.log_artifact(artefact)


@contextmanager
def open_wandb(
    settings: WandbSettings,
    config: Mapping[str, Any],
    *,
    folder: Path,
    name: str,
    tags: Sequence[str],
    memory: Path,
) -> Iterator[WandbRun]:
    """Open a W&B run for the block and finish it however the block ends. Network errors do not end the block.

    `config` identifies the run: one that was begun with it and stopped is continued. `memory` is the folder
    that keeps the ids of unfinished runs.
    """
    import wandb

    text = json.dumps(config, sort_keys=True, default=str)
    note = memory / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"
    run_id = _id_in(note) or secrets.token_hex(4)
    with atomic_path(note) as part:
        part.write_text(json.dumps({"id": run_id}))
    options: dict[str, Any] = {
        "project": settings.project,
        "entity": settings.entity,
        "group": settings.group,
        "name": name,
        "tags": [*tags, *settings.tags],
        "config": dict(config),
        "dir": str(folder),
        "reinit": "finish_previous",
    }
    if "WANDB_SWEEP_ID" not in os.environ:  # the agent of a sweep gives the id
        options |= {"id": run_id, "resume": "allow"}
    quiet = wandb.Settings(silent=True, init_timeout=30, disable_git=True, disable_code=True)
    try:
        run = wandb.init(**{**options, "mode": _mode(settings.mode)}, settings=quiet)
    except Exception as error:  # any error of the network or the service: the run continues
        reason = str(error).splitlines()[0][:120]
        print(
            f"W&B: offline, because it cannot be reached ({type(error).__name__}: {reason})", file=sys.stderr
        )
        wandb.teardown()  # it still holds the run's id
        run = wandb.init(**options, mode="offline", settings=quiet)
    where = f"offline; to upload: wandb sync {Path(run.dir).parent}" if run.offline else run.url
    print(f"W&B: {where}")
    failed = True
    try:
        yield WandbRun(run, settings)
        failed = False
    finally:
        run.finish(exit_code=1 if failed else 0)
    note.unlink(missing_ok=True)


@dataclass(frozen=True)
class _Note:
    id: Annotated[str, Field(pattern="^[0-9a-f]{8}$")]


def _id_in(note: Path) -> str | None:
    """The id of the run in a note, or None if it is missing or damaged: then the run is a new one."""
    if not note.is_file():
        return None
    try:
        return read_json_as(_Note, note).id
    except UserError as error:
        print(f"W&B: a new run, because {error}", file=sys.stderr)
        return None


def _of_one_height(pictures: Sequence[Path]) -> list[Image.Image]:
    """Pad the pictures, because W&B shows all images of a step in the size of the first."""
    opened = [Image.open(path).convert("RGB") for path in pictures]
    height = max((picture.height for picture in opened), default=0)
    return [ImageOps.expand(one, (0, 0, 0, height - one.height), "white") for one in opened]


def _mode(mode: str) -> str:
    if mode != "auto":
        return mode
    if os.environ.get("WANDB_MODE"):
        return os.environ["WANDB_MODE"]
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    if os.environ.get("WANDB_API_KEY"):
        return "online"
    try:
        return "online" if netrc.netrc().authenticators(host) else "offline"
    except (OSError, netrc.NetrcParseError):
        return "offline"
