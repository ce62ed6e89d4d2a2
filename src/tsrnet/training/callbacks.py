"""Lightning callbacks: progress, speed, and the caller's handling of SIGTERM."""

from __future__ import annotations

import csv
import resource
import signal
import time
from pathlib import Path
from statistics import fmean
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from tsrnet.core.progress import Progress

_SPEED = "steps_per_s"


class StepProgress(Callback):
    """A progress bar over the steps of a training, with its loss; lines where there is no terminal."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._progress: Progress | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            done = trainer.global_step  # of a training that is continued
            self._progress = Progress(self._what, trainer.max_steps, done=done).__enter__()

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        step = trainer.global_step
        if self._progress and (step % 10 == 0 or step == self._progress.total):
            loss = float(trainer.callback_metrics.get("loss/total", torch.nan))
            self._progress.update(step, f"loss {loss:.3f}")

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if self._progress:
            self._progress.__exit__(None, None, None)


class VideoProgress(Callback):
    """A progress bar over the videos that the first process predicts."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._progress: Progress | None = None

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            self._progress = Progress(self._what, int(sum(trainer.num_predict_batches))).__enter__()

    def on_predict_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if self._progress:
            self._progress.update(self._progress.done + 1)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if self._progress:
            self._progress.__exit__(None, None, None)


class SpeedMonitor(Callback):
    """Logs steps a second and memory, as often as the trainer logs."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._last = trainer.global_step, time.monotonic()

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        step, now = trainer.global_step, time.monotonic()
        last, then = self._last
        if step % trainer.log_every_n_steps or step == last:  # type: ignore[attr-defined]
            return
        values = {
            "memory_GB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
            _SPEED: (step - last) / (now - then),
        }
        if torch.cuda.is_available():
            values["cuda_memory_GB"] = torch.cuda.max_memory_allocated() / 1e9
        self._last = step, now
        for logger in trainer.loggers:
            logger.log_metrics(values, step)


def training_seconds(log: Path) -> float | None:
    """What all steps of a training took, from its metrics.csv with what SpeedMonitor logs; None without that.

    Of a training that was cut off and continued, the log and therefore the speed are of its last part.
    """
    if not log.is_file():
        return None
    with log.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row.get(_SPEED)]
    return int(rows[-1]["step"]) * fmean(1 / float(row[_SPEED]) for row in rows) if rows else None


class KeepSignal(Callback):
    """Keeps the caller's SIGTERM handler during training.

    Lightning's handler ends with exit code 0, and of several processes waits for all in the middle of
    what else they exchange.
    """

    def __init__(self) -> None:
        self._handler = signal.getsignal(signal.SIGTERM)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if callable(self._handler):
            signal.signal(signal.SIGTERM, self._handler)
