"""`python -m tsrnet.evaluate`: tests the networks of a run again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsrnet.core.cli import run_command

if TYPE_CHECKING:
    from omegaconf import DictConfig


def evaluate(config: DictConfig) -> None:
    """Find the networks and their predictions for the test videos, localise, write a run folder."""
    from pathlib import Path

    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from tsrnet.pipeline.config import RunConfig
    from tsrnet.pipeline.reopen import finished_runs
    from tsrnet.pipeline.results import write_results
    from tsrnet.reporting.tables import print_metrics

    base, tested = finished_runs(config, HydraConfig.get().overrides.task)
    settings = RunConfig.from_config(base)
    folder = Path(HydraConfig.get().runtime.output_dir)
    metrics = write_results(settings, tested.data, tested.predictions, tested.stages, folder, base)
    if HydraConfig.get().mode is not RunMode.MULTIRUN:  # a sweep ends with one table of all
        print_metrics(metrics)
    print(f"run folder: {folder}")


if __name__ == "__main__":
    run_command("evaluate", evaluate)
