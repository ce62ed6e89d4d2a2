"""Fits and predicts with Lightning's Trainer: settings, checkpoints, and continuing after a stop."""

from __future__ import annotations

import errno
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytorch_lightning as pl
import torch.distributed as dist
from pydantic.dataclasses import dataclass
from pytorch_lightning.callbacks import Callback, LearningRateMonitor, ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger, Logger
from pytorch_lightning.utilities import rank_zero_only

from tsrnet.core.errors import UserError
from tsrnet.core.identity import no_effect
from tsrnet.core.settings import KNOWN_KEYS, Count, Positive
from tsrnet.datasets.datamodule import VideoDataModule
from tsrnet.evaluation.predictions import PredictionStore, PredictionWriter
from tsrnet.models.snippets import bfloat16_products
from tsrnet.training.callbacks import KeepSignal, SpeedMonitor, StepProgress, VideoProgress
from tsrnet.training.checkpoints import LAST, WholeCheckpoints, last_checkpoint
from tsrnet.training.module import TSRNetModule

_LOG_EVERY = 10


@dataclass(frozen=True, config=KNOWN_KEYS)
class TrainerSettings:
    """What Lightning's Trainer is given.

    `devices`: -1 for all. `gradient_clip`: norm that gradients are clipped to. `accumulate`: batches of
    an optimiser step. `checkpoint_every`: steps. `precision`: "auto" is 32-true; on a CPU that has
    instructions for bfloat16, training steps use it for large products of snippets.
    """

    accelerator: str = no_effect("auto")
    devices: Count | Literal[-1] = no_effect(1)
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "auto"  # batches become float32
    max_steps: Count = 500
    checkpoint_every: Count = no_effect(100)
    strategy: str = no_effect("auto")
    num_nodes: Count = no_effect(1)
    gradient_clip: Positive | None = None
    accumulate: Count = 1

    @property
    def distributed(self) -> bool:
        return self.devices != 1 or self.num_nodes > 1


def is_first_process() -> bool:
    """Whether this is rank 0 of the processes that train together."""
    return int(getattr(rank_zero_only, "rank", 0)) == 0


def wait_for_all() -> bool:
    """Wait until all processes that train together are here; return whether there are several."""
    if not (dist.is_available() and dist.is_initialized()):
        return False
    dist.barrier()
    return True


def leave_other_processes() -> bool:
    """End the joint training; return whether this process continues alone, to localise and report."""
    if wait_for_all():
        dist.destroy_process_group()
    return is_first_process()


def fit(
    module: TSRNetModule,
    data: VideoDataModule,
    settings: TrainerSettings,
    *,
    folder: Path,
    loggers: Sequence[Logger] = (),
) -> None:
    """Train for `settings.max_steps` steps; a stopped call continues from its checkpoint in `folder`.

    `folder` gets `last.ckpt` every `settings.checkpoint_every` steps, and `logs/metrics.csv`.
    """
    with _quiet(), _disk_errors(folder):
        trainer = _trainer(
            settings,
            folder,
            max_steps=settings.max_steps,
            loggers=[CSVLogger(folder, name="", version="logs"), *loggers],
            callbacks=[
                ModelCheckpoint(
                    folder,
                    filename=LAST.removesuffix(".ckpt"),
                    every_n_train_steps=settings.checkpoint_every,
                    enable_version_counter=False,
                ),
                LearningRateMonitor("step"),
                SpeedMonitor(),
                KeepSignal(),
                StepProgress(f"training {folder.name.rsplit('-', 1)[0]}"),
            ],
        )
        on_cpu = trainer.strategy.root_device.type == "cpu"
        with bfloat16_products(on_cpu and settings.precision == "auto"):
            trainer.fit(module, datamodule=data, ckpt_path=last_checkpoint(folder), weights_only=True)
    trainer.strategy.barrier()


def predict(
    module: TSRNetModule,
    data: VideoDataModule,
    settings: TrainerSettings,
    store: PredictionStore,
    *,
    identity: Mapping[str, object],
) -> None:
    """Write the predictions of a module for every snippet of the test videos, from all processes."""
    order = [record.id for record in data.dataset.test]
    writer = PredictionWriter(store, order=order, identity=identity)
    callbacks = [writer, VideoProgress(f"testing ({data.stream})")]
    exact = replace(settings, precision="32-true")
    with _quiet(), _disk_errors(store.folder):
        trainer = _trainer(exact, store.folder.parent, loggers=[], callbacks=callbacks)
        trainer.predict(module, datamodule=data, return_predictions=False)


def _trainer(
    settings: TrainerSettings,
    folder: Path,
    *,
    loggers: Sequence[Logger],
    callbacks: Sequence[Callback],
    max_steps: int = -1,
) -> pl.Trainer:
    return pl.Trainer(
        accelerator=settings.accelerator,
        devices=settings.devices,
        num_nodes=settings.num_nodes,
        strategy=settings.strategy,
        precision="32-true" if settings.precision == "auto" else settings.precision,
        gradient_clip_val=settings.gradient_clip,
        accumulate_grad_batches=settings.accumulate,
        max_steps=max_steps,
        max_epochs=-1,
        logger=list(loggers),
        log_every_n_steps=min(_LOG_EVERY, max_steps) if max_steps > 0 else _LOG_EVERY,
        callbacks=list(callbacks),
        plugins=[WholeCheckpoints()],
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=max_steps > 0,
        default_root_dir=folder,
    )


@contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
            raise
        raise UserError(
            f"{folder}: cannot be written ({error.strerror}); free some space and run the same command again"
            " to continue from the last checkpoint"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress hints of Lightning that do not apply; workers for loading are a setting of ours."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        for message in (
            ".*does not have many workers.*",
            ".*(exists and is not empty|previous log files).*",
            ".*LeafSpec.*deprecated.*",
            ".*smaller than the logging interval.*",
            ".*in eval mode at the start of training.*",
        ):
            warnings.filterwarnings("ignore", message=message)
        yield
