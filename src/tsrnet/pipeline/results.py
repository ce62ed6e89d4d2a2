"""Localises in the test videos and fills the run folder: metrics, detections, timelines; W&B, too."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace
from operator import itemgetter
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from tsrnet.core.errors import optional
from tsrnet.core.files import atomic_path, remove_parts_of_the_dead
from tsrnet.core.progress import track
from tsrnet.core.wording import counted
from tsrnet.datasets.availability import MANIFEST
from tsrnet.evaluation.evaluator import VideoEvaluator, flat_metrics
from tsrnet.evaluation.localize_videos import VideoResult, localize_videos
from tsrnet.evaluation.predictions import PredictionStore
from tsrnet.evaluation.video_detections import VideoDetections, write_clip
from tsrnet.features.store import FeatureStore
from tsrnet.metrics.protocols import PROTOCOLS
from tsrnet.pipeline.config import RunConfig
from tsrnet.pipeline.data import RunData
from tsrnet.reporting.diagnosis import write_diagnosis
from tsrnet.reporting.timeline import Detection
from tsrnet.reporting.wandb import WandbRun, open_wandb
from tsrnet.training.fit import is_first_process


def open_run(
    config: RunConfig, given: DictConfig, folder: Path, *, name: str, group: str | None
) -> AbstractContextManager[WandbRun | None]:
    """The W&B run of a training, or None."""
    if config.wandb is None or not is_first_process():
        return nullcontext()
    content = OmegaConf.to_container(given, resolve=True)
    assert isinstance(content, dict)
    tags = [str(given.dataset.name), *config.streams, f"transfer={'on' if config.transfer.active else 'off'}"]
    return open_wandb(
        replace(config.wandb, group=config.wandb.group or group),
        {str(key): value for key, value in content.items() if key != "logger"},
        folder=folder,
        name=name,
        tags=[*tags, *[config.label] * bool(config.label)],
        memory=config.paths.stages / ".wandb",
    )


def write_results(
    config: RunConfig,
    data: RunData,
    predictions: Mapping[str, PredictionStore],
    stages: Sequence[str],
    folder: Path,
    given: DictConfig,
    wandb: WandbRun | None = None,
    *,
    diagnose: bool = False,
) -> dict[str, Any]:
    """Localise in the test videos and write the run folder; return the content of metrics.json.

    `predictions`: stream -> those of its network. `stages`: keys of the stages that made the networks.
    """
    remove_parts_of_the_dead(folder)
    records = data.test_records
    videos = data.module(config.streams[0], batch_size=1, seed=0)
    streams = [*predictions, *["fusion"] * (len(predictions) > 1)]
    # The predictions of all processes are on the disk already, so nothing must be gathered.
    evaluator = VideoEvaluator(
        list(records.values()),
        videos.classes,
        PROTOCOLS[config.protocol],
        streams=streams,
        sync_on_compute=False,
    )
    tested = [record.id for record in videos.dataset.test]
    pictured = set(tested[: max(config.report.timelines, config.report.pages)])
    shown = []  # in order
    results = localize_videos(predictions, config.localization, grid_of=videos.time_grid)
    for result in track(results, total=len(tested), what="localising"):
        evaluator.update(result)
        if result.id in pictured:
            shown.append(result)
    found = evaluator.compute()
    share = f"{config.holdout:g} of the training videos"
    metrics = {
        "simulated": config.simulated,
        "label": config.label,
        "protocol": share if config.holdout else config.protocol,
        "videos": len(records),
        "missing": len(records) - found["available"]["videos"],
        **found,
        "seed": config.seed,
        "stages": list(stages),
    }
    detections = evaluator.submission()
    texts = {
        "detections.json": json.dumps(detections),
        "config.yaml": OmegaConf.to_yaml(given, resolve=True),
        "metrics.json": json.dumps(metrics, indent=1),
    }
    for name, text in texts.items():
        with atomic_path(folder / name) as part:
            part.write_text(text)
    if diagnose:
        label = f"{config.label}, " * bool(config.label)
        what = f"{label}{metrics['protocol']}, {counted(len(records), 'video')}"
        write_diagnosis({"title": what, **asdict(evaluator.diagnosis())}, folder)
    _write_pictures(config, data, videos.classes, shown, folder)
    if wandb:
        timelines = sorted((folder / "timelines").glob("*.png"))
        summary = {name: metrics[name] for name in ("simulated", "label", "protocol")}
        wandb.log_results(
            flat_metrics(metrics), summary, detections["results"], timelines, evaluator.confusion()
        )
        _log_inputs_and_clips(config, data, detections["results"], folder, wandb)
        weights = {stage: config.paths.stages / stage / "weights.pt" for stage in stages}
        wandb.log_weights({stage: path for stage, path in weights.items() if path.is_file()})
    return metrics


def _log_inputs_and_clips(
    config: RunConfig,
    data: RunData,
    detections: Mapping[str, Sequence[Mapping[str, Any]]],
    folder: Path,
    wandb: WandbRun,
) -> None:
    if isinstance(data.features, FeatureStore):
        files = [data.features.folder / name for name in ("features.json", MANIFEST)]
        name = "-".join(data.features.folder.parts[-2:])  # dataset, network
        wandb.log_features(name, [path for path in files if path.is_file()])
    clips: dict[Path, str] = {}
    most = config.wandb.clips if config.wandb and not config.simulated else 0
    best = sorted(
        ((one["score"], video, one) for video, some in detections.items() for one in some), key=itemgetter(0)
    )
    for score, video, one in reversed(best):
        if len(clips) == most:
            break
        file, path = data.untrimmed.dataset.path(video), folder / "clips" / f"{len(clips)}_{video}.mp4"
        if file.is_file():
            with optional(str(path)):
                write_clip(file, path, start_s=one["segment"][0], end_s=one["segment"][1])
                clips[path] = f"{one['label']}, {score:.2f}, {video} at {one['segment'][0]:.1f} s"
    wandb.log_clips(clips)


def _write_pictures(
    config: RunConfig, data: RunData, classes: Sequence[str], results: Sequence[VideoResult], folder: Path
) -> None:
    """Timelines and pages of the first test videos."""
    for number, result in enumerate(results):
        record, file = data.test_records[result.id], data.untrimmed.dataset.path(result.id)
        found = VideoDetections.of(
            result,
            video=file,
            duration_s=record.duration_s or len(result.score) / result.grid.rate_hz,
            classes=classes,
            thresholds=config.localization.thresholds,
        )
        if number < config.report.timelines:
            path = folder / "timelines" / f"{result.id}.png"
            title = f"{'SIMULATED ' * config.simulated}{record.id}: {', '.join(record.labels)}"
            truth = [Detection(s.label, s.start_s, s.end_s, 1.0) for s in record.segments]
            with optional(str(path)):
                found.plot(path, title=title, truth=truth, frames=not config.simulated)
        if number < config.report.pages and not config.simulated and file.is_file():
            path = folder / "pages" / f"{result.id}.html"
            with optional(str(path)):
                found.to_html(path, video_id=result.id)
