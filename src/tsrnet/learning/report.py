"""Tests trained networks and fills the run folder: metrics, detections, timelines, tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from omegaconf import DictConfig, OmegaConf

from tsrnet.datasets.records import VideoRecord
from tsrnet.datasets.simulated import SimulationSettings
from tsrnet.files import atomic_path
from tsrnet.learning.experiment import Data, Trained, test_loaders
from tsrnet.learning.figures import FigureCollector, submission
from tsrnet.learning.plan import Plan
from tsrnet.learning.testing import VideoResult, run_test
from tsrnet.progress import track
from tsrnet.reporting.tables import print_metrics
from tsrnet.reporting.timeline import Bar, Curve, Timeline, draw_timeline
from tsrnet.video.reader import VideoFrames
from tsrnet.video.time_grid import FRAME_RATE_HZ, TimeGrid

Image = npt.NDArray[np.uint8]
_THUMBNAILS = 12
_THUMBNAIL_SIZE = 160


def report_test(
    plan: Plan, data: Data, trained: Mapping[str, Trained], folder: Path, config: DictConfig
) -> None:
    """Run the networks over the test videos and write what a run folder holds."""
    records = dict(data.ground_truth)
    figures = FigureCollector(records, data.untrimmed.classes)
    networks = {stream: result.network for stream, result in trained.items()}
    cuda = plan.trainer.accelerator != "cpu" and torch.cuda.is_available()
    device = torch.device("cuda" if cuda else "cpu")
    results = run_test(networks, test_loaders(plan, data), plan.localization, device=device)
    tested = [record.id for record in data.untrimmed.test]
    drawn = set(tested[: plan.num_timelines])
    for result in track(results, total=len(tested), what="testing"):
        record = records[result.id]
        some = next(iter(result.attention.values()))
        grid = data.untrimmed_store.time_grid(len(some), record.duration_s)
        figures.add(result, grid)
        if result.id in drawn:
            with atomic_path(folder / "timelines" / f"{result.id}.png") as part:
                draw_timeline(_timeline(result, record, figures, grid, data, plan), part)
    metrics = {
        "simulated": isinstance(plan.features, SimulationSettings),
        "protocol": plan.protocol.name,
        "videos": len(records),
        "missing": len(records) - len(figures.detections),
        **figures.headline(plan.protocol),
        "available": figures.available(plan.protocol),
        "attention": figures.attention(),
        "seed": plan.seed,
        "stages": [stage for result in trained.values() for stage in result.stages],
    }
    with atomic_path(folder / "detections.json") as part:
        part.write_text(json.dumps(submission(figures.detections), indent=1))
    with atomic_path(folder / "config.yaml") as part:
        part.write_text(OmegaConf.to_yaml(config, resolve=True))
    with atomic_path(folder / "metrics.json") as part:
        part.write_text(json.dumps(metrics, indent=1))
    print_metrics(metrics)
    print(f"run folder: {folder}")


def _strip(path: Path, duration_s: float) -> list[Image]:
    """Frames of a video, evenly spaced in time; none where only its features are there."""
    if not path.is_file():
        return []
    frames = VideoFrames(path)
    times_s = (np.arange(_THUMBNAILS) + 0.5) * duration_s / _THUMBNAILS
    return [
        frames.read(index, index + 1, resize=_THUMBNAIL_SIZE, crop=_THUMBNAIL_SIZE)[0]
        for index in (times_s * FRAME_RATE_HZ).astype(int).tolist()
    ]


def _timeline(
    result: VideoResult, record: VideoRecord, figures: FigureCollector, grid: TimeGrid, data: Data, plan: Plan
) -> Timeline:
    classes = data.untrimmed.classes
    top = int(np.argmax(list(result.probabilities.values())[-1]))
    length = len(result.scores)
    middles_s = (np.arange(length) + 0.5) / grid.rate_hz
    simulated = isinstance(plan.features, SimulationSettings)
    duration_s = record.duration_s or length / grid.rate_hz
    return Timeline(
        title=f"{'SIMULATED ' * simulated}{record.id}: {', '.join(record.labels)}"
        f" (recognised: {classes[top]})",
        duration_s=duration_s,
        strip=[] if simulated else _strip(data.untrimmed.path(record.id), duration_s),
        classes=classes,
        truth=[Bar(s.label, s.start_s, s.end_s, 1.0) for s in record.segments],
        detections=[Bar(d.label, d.start_s, d.end_s, d.score) for d in figures.detections[record.id]],
        score=Curve("fused score" if len(plan.streams) > 1 else "score", middles_s, result.scores[:, top]),
        threshold=plan.localization.threshold,
        top=classes[top],
        attention=[Curve(name, middles_s, value * length) for name, value in result.attention.items()],
        activations=[
            Curve(name, middles_s, 1 / (1 + np.exp(-value[:, top])))
            for name, value in result.activations.items()
        ],
    )
