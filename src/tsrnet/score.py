"""`python -m tsrnet.score`: scores the detections or video labels of any method."""

from __future__ import annotations

import json
from pathlib import Path

from omegaconf import DictConfig

from tsrnet.core.cli import run_command
from tsrnet.core.errors import UserError


def score(config: DictConfig) -> None:
    """Read both files, print a table, write the metrics to `output`."""
    from tsrnet.core.files import atomic_path
    from tsrnet.datasets.ground_truth import read_ground_truth
    from tsrnet.metrics.predictions import read_predictions
    from tsrnet.metrics.protocols import PROTOCOLS
    from tsrnet.metrics.recognition import classification_metrics
    from tsrnet.reporting.tables import print_score

    for key in ("predictions", "ground_truth"):
        if config[key] is None:
            raise UserError(f"{key}: got nothing, need a file")
    if config.protocol not in PROTOCOLS:
        raise UserError(f"protocol: got {config.protocol}, need one of {', '.join(PROTOCOLS)}")
    if config.task not in ("detection", "classification"):
        raise UserError(f"task: got {config.task}, need detection or classification")
    protocol, classify = PROTOCOLS[config.protocol], config.task == "classification"
    videos = None if config.videos is None else Path(str(config.videos))
    truth = read_ground_truth(Path(str(config.ground_truth)), protocol, config.subset, videos=videos)
    if not classify and not len(truth.segments):
        raise UserError(
            f"{config.ground_truth}: got labels and no segments in the subset {truth.subset!r}; give"
            " task=classification, or ground truth with segments"
        )
    if classify and not len(truth.labels):
        raise UserError(f"{config.ground_truth}: got no labels in the subset {truth.subset!r}, need some")
    predictions = read_predictions(
        Path(str(config.predictions)), truth, classify=classify, swap=protocol.toolkit is not None
    )
    if classify:
        figures = classification_metrics(predictions.segments, truth.labels, truth.classes)
    else:
        figures = protocol.detection_metrics(
            predictions.segments, truth.segments, truth.classes, truth.ambiguous
        )
    result = {
        "protocol": protocol.name,
        "task": config.task,
        "subset": truth.subset,
        "videos": len(truth.videos),
        "ground_truth_segments": len(truth.labels if classify else truth.segments),
        "predictions": len(predictions.segments),
        "warnings": predictions.warnings,
        **figures,
    }
    if config.output is not None:
        with atomic_path(Path(str(config.output))) as part:
            part.write_text(json.dumps(result, indent=1))
    print_score(result, per_class=config.per_class)


if __name__ == "__main__":
    import gc

    gc.disable()  # collections take half of the time to read large files, and find nothing
    run_command("score", score)
