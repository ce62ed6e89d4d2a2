"""What a run shows on W&B: its configuration, losses while it trains, figures and pictures at the end."""

from __future__ import annotations

import hashlib
import json
import netrc
import os
import secrets
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from PIL import Image, ImageOps

from tsrnet.core.files import atomic_path

MODES = ("auto", "online", "offline")
_MAX_ROWS = 10_000


@dataclass(frozen=True)
class DashboardSettings:
    """Where a run goes on W&B. `mode`: "auto" is online where the user is logged in."""

    project: str = "tsrnet"
    entity: str | None = None
    group: str | None = None
    tags: tuple[str, ...] = ()
    mode: str = "auto"
    checkpoints: bool = False

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"logger.mode: got {self.mode}, need one of {', '.join(MODES)}")


@contextmanager
def open_dashboard(
    settings: DashboardSettings,
    config: Mapping[str, Any],
    *,
    folder: Path,
    name: str,
    tags: Sequence[str],
    memory: Path,
) -> Iterator[None]:
    """A W&B run while the block runs, finished whatever ends it; the network never ends it.

    `config` decides which run this is: the same one, begun before and cut off, is continued. `memory`
    is the folder that keeps the ids of runs that are not finished.
    """
    import wandb

    text = json.dumps(config, sort_keys=True, default=str)
    note = memory / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"
    run_id = json.loads(note.read_text())["id"] if note.is_file() else secrets.token_hex(4)
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
        "id": run_id,
        "resume": "allow",
        "reinit": "finish_previous",
    }
    quiet = wandb.Settings(silent=True, init_timeout=30, disable_git=True, disable_code=True)
    try:
        run = wandb.init(**{**options, "mode": _mode(settings.mode)}, settings=quiet)
    except Exception as error:  # whatever the network or the service makes of it: the run goes on
        reason = str(error).splitlines()[0][:120]
        print(f"W&B: offline, it cannot be reached ({type(error).__name__}: {reason})", file=sys.stderr)
        wandb.teardown()  # it still holds the run's id
        run = wandb.init(**options, mode="offline", settings=quiet)
    where = f"offline; wandb sync {Path(run.dir).parent}" if run.offline else run.url
    print(f"W&B: {where}")
    failed = True
    try:
        yield
        failed = False
    finally:
        run.finish(exit_code=1 if failed else 0)
    note.unlink(missing_ok=True)


def log_losses(stage: str, step: int, values: Mapping[str, float]) -> None:
    """Add a point of a stage's training to the W&B run, if one is open."""
    run = _open_run()
    if run is not None:
        run.define_metric(f"{stage}/*", step_metric=f"{stage}/step")
        run.log({f"{stage}/step": step, **{f"{stage}/{name}": value for name, value in values.items()}})


def _of_one_height(pictures: Sequence[Path]) -> list[Image.Image]:
    """W&B shows all images of a step in the size of the first."""
    opened = [Image.open(path).convert("RGB") for path in pictures]
    height = max((picture.height for picture in opened), default=0)
    return [ImageOps.expand(one, (0, 0, 0, height - one.height), "white") for one in opened]


def log_results(
    metrics: Mapping[str, Any],
    detections: Mapping[str, Sequence[Mapping[str, Any]]],
    timelines: Sequence[Path],
    confusion: tuple[Sequence[str], Sequence[str], Sequence[str]],
) -> None:
    """Add the figures, detections, timelines and confusion matrix of a run's test, if one is open.

    `confusion`: classes, and the true and the recognised class of each video.
    """
    run = _open_run()
    if run is None:
        return
    import wandb

    flat = {}
    if metrics["detection"]:
        flat = {f"test/mAP/{name}": value for name, value in metrics["detection"]["mAP"].items()}
        flat["test/average_mAP"] = metrics["detection"]["average_mAP"]
    for stream, figures in metrics["recognition"].items():
        flat |= {f"test/{stream}/{name}": value for name, value in figures.items()}
    for stream, figures in metrics["attention"].items():
        flat |= {f"test/attention/{stream}/{name}": value for name, value in figures.items()}
    run.summary.update({**flat, "simulated": metrics["simulated"], "protocol": metrics["protocol"]})
    rows = [
        [video, found["label"], *found["segment"], found["score"]]
        for video, some in detections.items()
        for found in some
    ]
    rows = sorted(rows, key=lambda row: -row[-1])[:_MAX_ROWS]
    classes, true, recognised = confusion
    number = {name: index for index, name in enumerate(classes)}
    run.log(
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


def log_weights(files: Mapping[str, Path]) -> None:
    """Add the weights of networks as one artefact, if a run is open: name -> file."""
    run = _open_run()
    if run is not None:
        import wandb

        artefact = wandb.Artifact(f"networks-{run.id}", type="model")
        for name, path in files.items():
            artefact.add_file(str(path), name=f"{name}.pt")
        run.log_artifact(artefact)


def _open_run() -> Any:
    """W&B holds the run that is open; its import takes seconds, so only where it was imported."""
    module = sys.modules.get("wandb")
    return getattr(module, "run", None)


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
