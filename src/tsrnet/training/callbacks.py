"""Lightning callbacks: progress, speed, and the caller's handling of SIGTERM."""

from __future__ import annotations

import resource
import signal
import time
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from tsrnet.core.progress import Progress


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

    def __init__(self) -> None:
        self._last: tuple[int, float] | None = None

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        step, now = trainer.global_step, time.monotonic()
        if step % trainer.log_every_n_steps or (self._last and self._last[0] == step):  # type: ignore[attr-defined]
            return
        values = {"memory_GB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6}
        if torch.cuda.is_available():
            values["cuda_memory_GB"] = torch.cuda.max_memory_allocated() / 1e9
        if self._last:
            values["steps_per_s"] = (step - self._last[0]) / (now - self._last[1])
        self._last = step, now
        for logger in trainer.loggers:
            logger.log_metrics(values, step)


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
