"""A run from its configuration to its folder: every stage that it needs, the test, the results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from tsrnet.core.progress import plan
from tsrnet.core.seal import is_sealed
from tsrnet.pipeline.config import RunConfig
from tsrnet.pipeline.data import prepare_data
from tsrnet.pipeline.model_folder import save_card, save_model
from tsrnet.pipeline.predict_stages import predict_stage
from tsrnet.pipeline.results import open_run, write_results
from tsrnet.pipeline.train_stages import run_stage, stages_of
from tsrnet.training.fit import leave_other_processes


def run(
    config: RunConfig, given: DictConfig, folder: Path, *, name: str, group: str | None
) -> dict[str, Any] | None:
    """Prepare the data, train a network per stream, test; return the content of metrics.json of `folder`.

    Returns None in a process that only helps the first one to train. `given` is the configuration as it is
    written; `name` and `group` are those of the W&B run.
    """
    print(
        f"recipe: {given.recipe.name} (alpha {config.loss.alpha:g}, beta {config.loss.beta:g},"
        f" {config.trainer.max_steps} steps, attention {config.localization.attention},"
        f" class activations {config.localization.activation})"
    )
    data = prepare_data(config)
    with open_run(config, given, folder, name=name, group=group) as wandb:
        stages = {stream: stages_of(config, data, stream) for stream in config.streams}
        keys = [key for stage in stages.values() for key in stage.keys]
        waiting = dict.fromkeys(key for key in keys if not is_sealed(config.paths.stages / key))
        tests = [f"testing ({stream})" for stream in config.streams]
        plan([*(f"training {key.rsplit('-', 1)[0]}" for key in waiting), *tests, "localising"])
        modules = {stream: run_stage(config, stage, wandb) for stream, stage in stages.items()}
        predictions = {
            stream: predict_stage(config, data, stream, module, stages[stream].key)
            for stream, module in modules.items()
        }
        if not leave_other_processes():
            return None
        save_model(folder, config, given, data.features.identity, stages, modules)
        metrics = write_results(config, data, predictions, keys, folder, given, wandb)
        save_card(folder, metrics)
        return metrics
