"""Tests trained networks and fills the run folder: metrics, detections, timelines, tables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from tsrnet.core.files import atomic_path
from tsrnet.core.progress import track
from tsrnet.datasets.records import VideoRecord
from tsrnet.evaluation.evaluator import FigureCollector
from tsrnet.evaluation.localize_videos import VideoResult, localize_videos
from tsrnet.evaluation.predictions import ActivationStore
from tsrnet.evaluation.timelines import timeline_of
from tsrnet.pipeline.config import Plan
from tsrnet.pipeline.data import Data
from tsrnet.reporting.timeline import Detection, Timeline, draw_timeline
from tsrnet.reporting.wandb import log_results, log_weights, open_dashboard
from tsrnet.synthetic.simulated import SimulationSettings
from tsrnet.training.fit import is_first_process
from tsrnet.video.time_grid import TimeGrid


def run_dashboard(
    plan: Plan, config: DictConfig, folder: Path, *, name: str, group: str | None
) -> AbstractContextManager[None]:
    """The W&B run of a training, or nothing."""
    if plan.dashboard is None or not is_first_process():
        return nullcontext()
    content = OmegaConf.to_container(config, resolve=True)
    assert isinstance(content, dict)
    simulated = isinstance(plan.features, SimulationSettings)
    return open_dashboard(
        replace(plan.dashboard, group=plan.dashboard.group or group),
        {str(key): value for key, value in content.items() if key != "logger"},
        folder=folder,
        name=name,
        tags=[
            str(config.dataset.name),
            *plan.streams,
            f"transfer={'on' if plan.transfer.active else 'off'}",
            *(["SIMULATED"] if simulated else []),
        ],
        memory=plan.stages_root / ".wandb",
    )


def report_test(
    plan: Plan,
    data: Data,
    stores: Mapping[str, ActivationStore],
    stages: Sequence[str],
    folder: Path,
    config: DictConfig,
) -> dict[str, Any]:
    """Localise in the test videos and write what a run folder holds; `stages` made the networks.

    Returns what metrics.json holds.
    """
    records = dict(data.ground_truth)
    figures = FigureCollector(tuple(records.values()), data.untrimmed.classes)

    def grid_of(video_id: str, num_snippets: int) -> TimeGrid:
        return data.store.time_grid(num_snippets, records[video_id].duration_s)

    results = localize_videos(
        stores, plan.localization, rate_hz=lambda video_id, length: grid_of(video_id, length).rate_hz
    )
    tested = [record.id for record in data.untrimmed.test]
    drawn = set(tested[: plan.num_timelines])
    for result in track(results, total=len(tested), what="localising"):
        grid = grid_of(result.id, len(result.score))
        figures.add(result, grid)
        if result.id in drawn:
            with atomic_path(folder / "timelines" / f"{result.id}.png") as part:
                draw_timeline(_timeline(result, records[result.id], grid, data, plan), part)
    found = figures.figures(plan.protocol)
    metrics = {
        "simulated": isinstance(plan.features, SimulationSettings),
        "protocol": f"{plan.holdout:g} of the training videos" if plan.holdout else plan.protocol.name,
        "videos": len(records),
        "missing": len(records) - found["available"]["videos"],
        **found,
        "attention": figures.attention(),
        "seed": plan.seed,
        "stages": list(stages),
    }
    detections = figures.submission()
    with atomic_path(folder / "detections.json") as part:
        part.write_text(json.dumps(detections))
    with atomic_path(folder / "config.yaml") as part:
        part.write_text(OmegaConf.to_yaml(config, resolve=True))
    with atomic_path(folder / "metrics.json") as part:
        part.write_text(json.dumps(metrics, indent=1))
    timelines = sorted((folder / "timelines").glob("*.png"))
    log_results(metrics, detections["results"], timelines, figures.confusion())
    if plan.dashboard and plan.dashboard.checkpoints:
        weights = {stage: plan.stages_root / stage / "weights.pt" for stage in stages}
        log_weights({stage: path for stage, path in weights.items() if path.is_file()})
    return metrics


def _timeline(result: VideoResult, record: VideoRecord, grid: TimeGrid, data: Data, plan: Plan) -> Timeline:
    simulated = isinstance(plan.features, SimulationSettings)
    return timeline_of(
        result,
        grid,
        title=f"{'SIMULATED ' * simulated}{record.id}: {', '.join(record.labels)}",
        classes=data.untrimmed.classes,
        thresholds=plan.localization.thresholds,
        duration_s=record.duration_s or len(result.score) / grid.rate_hz,
        video=None if simulated else data.untrimmed.path(record.id),
        truth=[Detection(s.label, s.start_s, s.end_s, 1.0) for s in record.segments],
    )
