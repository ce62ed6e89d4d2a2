"""`python -m tsrnet.evaluate`: tests the networks of a run again."""

from __future__ import annotations

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from tsrnet.core.cli import importing, run_command
from tsrnet.core.errors import UserError


def evaluate(config: DictConfig) -> None:
    """Find the networks and their predictions for the test videos, localise, write a run folder."""
    with importing():
        from tsrnet.pipeline.config import RunConfig
        from tsrnet.pipeline.reopen import finished_runs
        from tsrnet.pipeline.results import write_results
        from tsrnet.reporting.tables import print_metrics

    if not isinstance(config.diagnose, bool):
        raise UserError(f"diagnose: got {config.diagnose}, need true or false")
    hydra = HydraConfig.get()
    folder, multirun = Path(hydra.runtime.output_dir), hydra.mode is RunMode.MULTIRUN
    base, tested = finished_runs(config, hydra.overrides.task, Path(hydra.sweep.dir) if multirun else folder)
    settings = RunConfig.from_config(base)
    metrics = write_results(
        settings, tested.data, tested.predictions, tested.stages, folder, base, diagnose=config.diagnose
    )
    if not multirun:  # a sweep ends with one table of all
        print_metrics(metrics)
    print(f"run folder: {folder}")


if __name__ == "__main__":
    run_command("evaluate", evaluate)
