"""`python -m tsrnet.train`: trains and tests; runs every stage that the configuration needs."""

from __future__ import annotations

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from tsrnet.core.cli import importing, run_command
from tsrnet.core.errors import UserError


def train(config: DictConfig) -> float | None:
    """Prepare the data, train a network per stream, test, write the run folder.

    Returns what a search maximises: the accuracy on the training videos that `holdout` keeps out.
    """
    # Imported here, because torch takes seconds and --help and --cfg job do not need it.
    with importing():
        from tsrnet.pipeline.config import RunConfig, settle_transfer
        from tsrnet.pipeline.run import run
        from tsrnet.reporting.tables import print_metrics

    _check_recipe()
    settle_transfer(config)
    settings = RunConfig.from_config(config)
    hydra = HydraConfig.get()
    if "Optuna" in hydra.sweeper._target_ and not settings.holdout:
        raise UserError("holdout: got 0, a search needs a share of the training videos; give holdout=0.25")
    if settings.trainer.distributed and hydra.mode is RunMode.MULTIRUN:
        raise UserError(
            "trainer.devices: got a multirun with several processes, each of which would start all jobs; give"
            " a command for each run, hydra.run.dir=SWEEP/0, SWEEP/1, ..., then tsrnet.report sweep=SWEEP"
        )
    folder = Path(hydra.runtime.output_dir)
    sweep = Path(hydra.sweep.dir).name if hydra.mode is RunMode.MULTIRUN else None
    metrics = run(settings, config, folder, name=", ".join(hydra.overrides.task) or "defaults", group=sweep)
    if metrics is None:
        return None
    if sweep is None:  # a sweep ends with one table of all
        print_metrics(metrics)
    print(f"run folder: {folder}")
    return float(list(metrics["recognition"].values())[-1]["accuracy"]) if settings.holdout else None


def _check_recipe() -> None:
    """Raise UserError for a missing recipe: it is optional, so Hydra ignores a misspelt name."""
    from hydra.core.global_hydra import GlobalHydra

    options = GlobalHydra.instance().config_loader().get_group_options("recipe")
    given = [text for text in HydraConfig.get().overrides.task if text.startswith("recipe=")]
    if given and (name := given[-1].removeprefix("recipe=")) not in options:
        raise UserError(f"recipe: got {name}, need one of {', '.join(options)}")


if __name__ == "__main__":
    run_command("train", train)
