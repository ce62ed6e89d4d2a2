"""`python -m tsrnet.score`: scores the detections or video labels of any method."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Literal

from omegaconf import DictConfig
from pydantic import Field

from tsrnet.core.cli import run_command
from tsrnet.core.errors import UserError
from tsrnet.core.settings import AnyPath, settings_of


@dataclass(frozen=True)
class ScoreSettings:
    """The keys of the command; conf/score.yaml says what each means."""

    predictions: Annotated[AnyPath, Field(description="a file")]
    ground_truth: AnyPath
    protocol: str
    task: Literal["detection", "classification"]
    subset: str | None
    videos: AnyPath | None
    output: AnyPath | None
    per_class: bool


def score(config: DictConfig) -> None:
    """Read both files, print a table, write the metrics to `output`."""
    from tsrnet.core.files import atomic_path
    from tsrnet.datasets.ground_truth import read_ground_truth
    from tsrnet.metrics.predictions import read_predictions
    from tsrnet.metrics.protocols import PROTOCOLS
    from tsrnet.metrics.recognition import classification_metrics
    from tsrnet.reporting.tables import print_score

    settings = settings_of(ScoreSettings, config, where="")
    if settings.protocol not in PROTOCOLS:
        raise UserError(f"protocol: got {settings.protocol}, need one of {', '.join(PROTOCOLS)}")
    protocol, classify = PROTOCOLS[settings.protocol], settings.task == "classification"
    truth = read_ground_truth(settings.ground_truth, protocol, settings.subset, videos=settings.videos)
    if not classify and not len(truth.segments):
        raise UserError(
            f"{settings.ground_truth}: got labels and no segments in the subset {truth.subset!r}; give"
            " task=classification, or ground truth with segments"
        )
    if classify and not len(truth.labels):
        raise UserError(f"{settings.ground_truth}: got no labels in the subset {truth.subset!r}, need some")
    swap = protocol.toolkit is not None
    predictions = read_predictions(settings.predictions, truth, classify=classify, swap=swap)
    if classify:
        figures = classification_metrics(predictions.segments, truth.labels, truth.classes)
    else:
        figures = protocol.detection_metrics(
            predictions.segments, truth.segments, truth.classes, truth.ambiguous
        )
    result = {
        "protocol": protocol.name,
        "task": settings.task,
        "subset": truth.subset,
        "videos": len(truth.videos),
        "ground_truth_segments": len(truth.labels if classify else truth.segments),
        "predictions": len(predictions.segments),
        "warnings": predictions.warnings,
        **figures,
    }
    if settings.output is not None:
        with atomic_path(settings.output) as part:
            part.write_text(json.dumps(result, indent=1))
    print_score(result, per_class=settings.per_class)


if __name__ == "__main__":
    import gc

    gc.disable()  # collections take half of the time to read large files, and find nothing
    run_command("score", score)
