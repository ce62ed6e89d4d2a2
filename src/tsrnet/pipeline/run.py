"""A run from its configuration to its folder: every stage that it needs, the test, the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from tsrnet.inference.model import save_model
from tsrnet.pipeline.config import Plan
from tsrnet.pipeline.data import prepare_data
from tsrnet.pipeline.results import report_test, run_dashboard
from tsrnet.pipeline.train_stages import test_activations, train_network
from tsrnet.training.fit import part_from_the_others


def run(
    plan: Plan, config: DictConfig, folder: Path, *, name: str, group: str | None
) -> dict[str, Any] | None:
    """Data and features, a network a stream, the test videos; what metrics.json of `folder` holds.

    None in a process that only trains along with the first. `name` and `group` are those of the W&B run.
    """
    with run_dashboard(plan, config, folder, name=name, group=group):
        data = prepare_data(plan)
        trained = {stream: train_network(plan, data, stream) for stream in plan.streams}
        if not part_from_the_others():
            return None
        save_model(folder, plan, config, data.store.identity, trained)
        stores = test_activations(plan, data, trained)
        stages = [stage for result in trained.values() for stage in result.stages]
        return report_test(plan, data, stores, stages, folder, config)
