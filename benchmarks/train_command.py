"""What `tsrnet.train` takes: a step of TSRNet with its batch, and a test video, of any configuration.

python benchmarks/train_command.py dataset=activitynet pretrain=overlap30 features=simulated [KEY=VALUE ...]

The features must be ready, or simulated. Nothing is written. Processor time is what counts on busy cores.
"""

from __future__ import annotations

import itertools
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import hydra
from omegaconf import OmegaConf

from tsrnet.core.cli import conf_folder, set_environment

set_environment()

import torch  # noqa: E402

from tsrnet.models.snippets import bfloat16_products  # noqa: E402
from tsrnet.pipeline.config import RunConfig  # noqa: E402
from tsrnet.pipeline.data import prepare_data  # noqa: E402
from tsrnet.pipeline.train_stages import build_module, stages_of  # noqa: E402

STEPS, VIDEOS = 6, 20


def main() -> None:
    OmegaConf.register_new_resolver("config_groups", lambda: "", replace=True)
    with hydra.initialize_config_dir(str(conf_folder()), version_base="1.3"):
        config = RunConfig.from_config(hydra.compose("train", sys.argv[1:]))
    data = prepare_data(config)
    spec = stages_of(config, data, config.streams[0])
    module = build_module(config, spec, build_module(config, spec.teacher) if spec.teacher else None)
    module.log = module.log_dict = lambda *_, **__: None  # there is no trainer
    optimizer = module.configure_optimizers()

    def step(batch: Any) -> None:
        loss = module.training_step(batch.to("cpu"), 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    @torch.inference_mode()
    def predict(batch: Any) -> None:
        module.predict_step(batch.to("cpu"))

    print(f"| {torch.get_num_threads()} threads of {os.cpu_count()} cores | ms | ms of processors | GB |")
    print("|---|---|---|---|")
    with bfloat16_products(config.trainer.precision == "auto"):
        report("a step", step, iter(spec.data.train_dataloader()), STEPS)
    module.eval()
    report("a test video", predict, iter(spec.data.test_dataloader()), VIDEOS)


def report(what: str, work: Callable[[Any], None], batches: Iterator[Any], count: int) -> None:
    """Print the mean of some batches, after the first one."""
    work(next(batches))
    wall, spent = time.perf_counter(), time.process_time()
    for batch in itertools.islice(batches, count):
        work(batch)
    wall, spent = time.perf_counter() - wall, time.process_time() - spent
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"| {what} | {1e3 * wall / count:.0f} | {1e3 * spent / count:.0f} | {memory:.2f} |", flush=True)


if __name__ == "__main__":
    main()
