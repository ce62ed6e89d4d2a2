"""`python -m tsrnet.train`: every stage that the configuration needs, then test and report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsrnet.command import run_command

if TYPE_CHECKING:
    from omegaconf import DictConfig


def train(config: DictConfig) -> float | None:
    """Data and features, a network a stream, the test videos, the run folder.

    Returns what a search maximises: the accuracy on the training videos that `holdout` keeps out.
    """
    from pathlib import Path

    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    # torch and all that takes seconds to import: not before --help and --cfg job have answered
    from tsrnet.errors import UserError
    from tsrnet.learning.experiment import prepare_data, test_activations, train_network
    from tsrnet.learning.plan import Plan
    from tsrnet.learning.report import report_test, run_dashboard
    from tsrnet.learning.training import part_from_the_others

    plan = Plan.from_config(config)
    if "Optuna" in HydraConfig.get().sweeper._target_ and not plan.holdout:
        raise UserError("holdout: got 0, a search needs a share of the training videos, as holdout=0.25")
    if plan.trainer.distributed and HydraConfig.get().mode is RunMode.MULTIRUN:
        raise UserError(
            "trainer.devices: got a multirun with several processes, which would each begin all of it; give"
            " a command for each run, hydra.run.dir=SWEEP/0, SWEEP/1, ..., then tsrnet.report sweep=SWEEP"
        )
    folder = Path(HydraConfig.get().runtime.output_dir)
    with run_dashboard(plan, config, folder):
        data = prepare_data(plan)
        trained = {stream: train_network(plan, data, stream) for stream in plan.streams}
        if not part_from_the_others():
            return None
        stores = test_activations(plan, data, trained)
        stages = [stage for result in trained.values() for stage in result.stages]
        accuracy = report_test(plan, data, stores, stages, folder, config)
    return accuracy if plan.holdout else None


if __name__ == "__main__":
    run_command("train", train)
