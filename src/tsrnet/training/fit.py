"""Trains a module as a stage: Lightning's Trainer, logs, and going on after a cut."""

from __future__ import annotations

import errno
import logging
import resource
import signal
import time
import warnings
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
import torch.distributed as dist
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.utilities import rank_zero_only

from tsrnet.core.errors import UserError
from tsrnet.core.progress import Progress
from tsrnet.datasets.datamodule import VideoDataModule
from tsrnet.pipeline.stages import Stage
from tsrnet.reporting.wandb import log_losses
from tsrnet.training.module import TSRNetModule

_PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")  # batches become float32 on the device


@dataclass(frozen=True)
class TrainerSettings:
    """What Lightning's Trainer is given."""

    accelerator: str
    devices: int
    precision: str
    max_steps: int
    checkpoint_every: int
    strategy: str = "auto"
    num_nodes: int = 1
    gradient_clip: float | None = None
    accumulate: int = 1  # batches a step

    def __post_init__(self) -> None:
        for name in ("max_steps", "checkpoint_every", "num_nodes", "accumulate"):
            if getattr(self, name) < 1:
                raise ValueError(f"trainer.{name}: got {getattr(self, name)}, need at least 1")
        if self.devices < 1 and self.devices != -1:
            raise ValueError(f"trainer.devices: got {self.devices}, need at least 1, or -1 for all")
        if self.precision not in _PRECISIONS:
            raise ValueError(f"trainer.precision: got {self.precision}, need one of {', '.join(_PRECISIONS)}")
        if self.gradient_clip is not None and not self.gradient_clip > 0:
            raise ValueError(f"trainer.gradient_clip: got {self.gradient_clip}, need null or a norm above 0")

    @property
    def distributed(self) -> bool:
        return self.devices != 1 or self.num_nodes > 1


def is_first_process() -> bool:
    """Whether this is rank 0 of the processes that train together, which alone writes and tests."""
    return int(getattr(rank_zero_only, "rank", 0)) == 0


def part_from_the_others() -> bool:
    """End the training together; whether this process goes on, to test and to report alone."""
    if dist.is_available() and dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()
    return is_first_process()


class _Log(Callback):
    """Losses, rate of learning and speed for the W&B run, as often as for the CSV file."""

    def __init__(self, stage: str, every: int) -> None:
        self._stage, self._every = stage.rsplit("-", 1)[0], every
        self._last: tuple[int, float] | None = None

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        step = trainer.global_step
        if step % self._every or (self._last and self._last[0] == step):
            return
        now = time.monotonic()
        values = {name: float(value) for name, value in trainer.callback_metrics.items()}
        values["learning_rate"] = trainer.optimizers[0].param_groups[0]["lr"]
        values["memory_GB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        if torch.cuda.is_available():
            values["cuda_memory_GB"] = torch.cuda.max_memory_allocated() / 1e9
        if self._last:
            values["steps_per_s"] = (step - self._last[0]) / (now - self._last[1])
        self._last = step, now
        log_losses(self._stage, step, values)


class _KeepSignal(Callback):
    """What SIGTERM did before does it in training, too.

    Lightning's handler ends with exit code 0, and of several processes waits for all in the middle of
    what else they exchange.
    """

    def __init__(self) -> None:
        self._handler = signal.getsignal(signal.SIGTERM)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if callable(self._handler):
            signal.signal(signal.SIGTERM, self._handler)


class _Bar(Callback):
    """Lightning's own bars fill a log file with one line a step."""

    def __init__(self, what: str, total: int) -> None:
        self._progress = Progress(what, total)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._progress.__enter__()

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step % 10 == 0 or trainer.global_step == self._progress.total:
            loss = float(trainer.callback_metrics.get("loss/total", torch.nan))
            self._progress.update(trainer.global_step, f"loss {loss:.3f}")

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._progress.__exit__(None, None, None)


def train_stage(
    stage: Stage, module: TSRNetModule, data: VideoDataModule, settings: TrainerSettings, *, max_steps: int
) -> None:
    """Train `module.network` for `max_steps` and finish the stage with its weights.

    When an earlier call was cut off, training goes on from its last checkpoint. Of several processes
    the first one writes.
    """
    if is_first_process():
        stage.begin()
    checkpoint = stage.folder / "last.ckpt"
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        # Loading with workers is a setting of ours; small stages log less often than every 50 steps.
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*(exists and is not empty|previous log files).*")
        warnings.filterwarnings("ignore", message=".*LeafSpec.*deprecated.*")
        warnings.filterwarnings("ignore", message=".*in eval mode at the start of training.*")
        trainer = pl.Trainer(
            accelerator=settings.accelerator,
            devices=settings.devices,
            num_nodes=settings.num_nodes,
            strategy=settings.strategy,
            gradient_clip_val=settings.gradient_clip,
            accumulate_grad_batches=settings.accumulate,
            use_distributed_sampler=False,  # each process takes its part of every batch by itself
            precision=settings.precision,  # type: ignore[arg-type]
            max_steps=max_steps,
            max_epochs=-1,
            logger=CSVLogger(stage.folder, name="", version="logs"),
            log_every_n_steps=min(10, max_steps),
            callbacks=[
                ModelCheckpoint(
                    stage.folder,
                    filename="last",
                    every_n_train_steps=settings.checkpoint_every,
                    enable_version_counter=False,
                ),
                _KeepSignal(),
                _Log(stage.key, min(10, max_steps)),
                *([_Bar(f"training {stage.key}", max_steps)] if is_first_process() else []),
            ],
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=stage.folder,
        )
        resume = str(checkpoint) if checkpoint.exists() else None
        try:
            trainer.fit(module, datamodule=data, ckpt_path=resume, weights_only=True)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
                raise
            raise UserError(
                f"{stage.folder}: cannot be written ({error.strerror}); free space and give the same command"
                " again, it goes on from the last checkpoint"
            ) from error
    if is_first_process():
        stage.finish({name: value.cpu() for name, value in module.network.state_dict().items()})
    trainer.strategy.barrier()  # the others load what was written
