"""A training step of TSRNet with transfer, on a batch that stays in memory.

python benchmarks/train_step.py [--videos 16] [--snippets 700] [--features 2048] [--precision 32-true auto]
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset

from tsrnet.datasets.batch import Sample, TrainingBatch
from tsrnet.models.snippets import bfloat16_products
from tsrnet.training.module import TSRNetModule

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
CLIP_SNIPPETS = 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--videos", type=int, default=16)
    parser.add_argument("--snippets", type=int, default=700)
    parser.add_argument("--features", type=int, default=2048)
    parser.add_argument("--classes", type=int, default=200)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--precision", nargs="*", default=["32-true", "auto", "bf16-mixed"])
    given = parser.parse_args()
    shape = (given.videos, given.snippets, given.features, given.classes)
    print(f"| {DEVICE}, {torch.get_num_threads()} threads | ms a step | ratio |\n|---|---|---|")
    first = None
    for precision in given.precision:
        seconds = training_step_s(shape, precision, steps=given.steps)
        first = first or seconds
        print(f"| {precision} | {1e3 * seconds:.1f} | {first / seconds:.2f} |", flush=True)


class _Repeated(Dataset[TrainingBatch]):
    """The same batch, again and again; stored as float16, as most features are."""

    def __init__(self, shape: tuple[int, int, int, int], steps: int) -> None:
        videos, snippets, num_features, classes = shape
        generator = torch.Generator().manual_seed(0)

        def sample(name: str, length: int, label: int) -> Sample:
            rows = torch.randn(length, num_features, generator=generator).half()
            return Sample(name, rows, torch.eye(classes)[label % classes])

        pairs = [(sample(f"v{i}", snippets, i), sample(f"c{i}", CLIP_SNIPPETS, i)) for i in range(videos)]
        self.batch, self.steps = TrainingBatch.collate(pairs), steps

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, index: int) -> TrainingBatch:
        return self.batch


class _Clock(pl.Callback):
    """Writes the seconds of a step, without the first third of the steps, into a file."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.times: list[float] = []

    def on_train_batch_end(self, *_: Any) -> None:
        if DEVICE == "cuda":
            torch.cuda.synchronize()
        self.times.append(time.perf_counter())

    def on_train_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.is_global_zero:
            kept = self.times[len(self.times) // 3 :]
            self.file.write_text(str((kept[-1] - kept[0]) / (len(kept) - 1)))


def training_step_s(
    shape: tuple[int, int, int, int], precision: Any, *, steps: int, devices: int = 1
) -> float:
    """Seconds of a step on a batch of (videos, snippets, features, classes), shared by so many devices."""
    videos, snippets, num_features, classes = shape
    sizes = {"num_features": num_features, "classes": tuple(f"class {k}" for k in range(classes))}
    module = TSRNetModule(**sizes, teacher=TSRNetModule(**sizes, losses=None), alpha=30.0)
    automatic = precision == "auto"  # as `tsrnet.training.fit` does on a CPU
    products = bfloat16_products(automatic and DEVICE == "cpu")
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), products:
        warnings.simplefilter("ignore")
        file = Path(folder) / "step"
        trainer = pl.Trainer(
            accelerator="gpu" if DEVICE == "cuda" else "cpu",
            devices=devices,
            strategy="ddp_spawn" if devices > 1 else "auto",
            precision="32-true" if automatic else precision,
            max_steps=steps,
            callbacks=[_Clock(file)],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
        batches = _Repeated((max(1, videos // devices), snippets, num_features, classes), steps)
        trainer.fit(module, DataLoader(batches, batch_size=None))
        return float(file.read_text())


if __name__ == "__main__":
    main()
