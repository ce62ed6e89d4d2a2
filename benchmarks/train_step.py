"""A training step, on features that stay in memory. TSRNet and TSRNet+ have transfer.

python benchmarks/train_step.py [--videos 16] [--snippets 700] [--features 2048] [--precision 32-true auto]
python benchmarks/train_step.py --model tsrnet_plus    also stpn, wtalc, basnet, untrimmednet
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
import warnings
from dataclasses import replace
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
    parser.add_argument("--model", default="tsrnet")
    parser.add_argument("--precision", nargs="*", default=["32-true", "auto", "bf16-mixed"])
    given = parser.parse_args()
    shape = (given.videos, given.snippets, given.features, given.classes)
    print(f"{given.model} on {DEVICE}, {torch.get_num_threads()} threads")
    print("| | ms a step | ratio | growth of memory, MB a step |\n|---|---|---|---|")
    first = None
    for precision in given.precision:
        seconds, growth = training_step(shape, precision, steps=given.steps, model=given.model)
        first = first or seconds
        print(f"| {precision} | {1e3 * seconds:.1f} | {first / seconds:.2f} | {growth:.1f} |", flush=True)


class _Repeated(Dataset[TrainingBatch]):
    """The same videos, again and again, with other lengths in each step, at least a half of `snippets`.

    Stored as float16, as most features are.
    """

    def __init__(self, shape: tuple[int, int, int, int], steps: int) -> None:
        videos, snippets, num_features, classes = shape
        self.generator = generator = torch.Generator().manual_seed(0)

        def sample(name: str, length: int, label: int) -> Sample:
            rows = torch.randn(length, num_features, generator=generator).half()
            return Sample(name, rows, torch.eye(classes)[label % classes])

        pairs = [(sample(f"v{i}", snippets, i), sample(f"c{i}", CLIP_SNIPPETS, i)) for i in range(videos)]
        self.batch, self.steps = TrainingBatch.collate(pairs), steps

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, index: int) -> TrainingBatch:
        videos = self.batch.videos
        num, most = videos.mask.shape
        lengths = torch.randint(most // 2, most + 1, (num, 1), generator=self.generator)
        return replace(self.batch, videos=replace(videos, mask=torch.arange(most) < lengths))


class _Clock(pl.Callback):
    """Writes the seconds of a step and the growth of memory in MB into a file, without the first third."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.times: list[float] = []
        self.memory: list[int] = []

    def on_train_batch_end(self, *_: Any) -> None:
        if DEVICE == "cuda":
            torch.cuda.synchronize()
        self.times.append(time.perf_counter())
        self.memory.append(int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize())

    def on_train_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.is_global_zero:
            first, steps = len(self.times) // 3, len(self.times) - 1 - len(self.times) // 3
            growth = (self.memory[-1] - self.memory[first]) / 1e6
            self.file.write_text(f"{(self.times[-1] - self.times[first]) / steps} {growth / steps}")


def training_step(
    shape: tuple[int, int, int, int],
    precision: Any,
    *,
    steps: int,
    devices: int = 1,
    model: str = "tsrnet",
) -> tuple[float, float]:
    """Seconds of a step on (videos, snippets, features, classes), and growth of memory in MB."""
    videos, snippets, num_features, classes = shape
    sizes = {"num_features": num_features, "classes": tuple(f"class {k}" for k in range(classes))}
    transfers = model.startswith("tsrnet")
    teacher = TSRNetModule(**sizes, model=model, losses=None) if transfers else None
    module = TSRNetModule(**sizes, model=model, teacher=teacher, alpha=30.0)
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
        seconds, growth = map(float, file.read_text().split())
        return seconds, growth


if __name__ == "__main__":
    main()
