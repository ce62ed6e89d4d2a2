"""Two processes on the CPU give what one gives: gradients of a batch, and shares of every batch."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from tsrnet.datasets.batch import Sample, TrainingBatch
from tsrnet.losses.objective import LossSettings, TransferSettings
from tsrnet.models.tsrnet import TSRNet, TSRNetSettings
from tsrnet.training.module import TSRNetModule

SETTINGS = TSRNetSettings(attention_size=8, hidden_size=6, dropout=0.0)


def samples() -> list[tuple[Sample, Sample | None]]:
    """Eight videos; five have a clip, four of them in the first process's half."""
    generator = torch.Generator().manual_seed(0)
    rows = []
    for i in range(8):
        label = torch.eye(3, dtype=torch.float64)[i % 3]
        video = Sample(f"v{i}", torch.randn(3 + i, 5, generator=generator, dtype=torch.float64), label)
        clip = Sample(f"c{i}", torch.randn(4, 5, generator=generator, dtype=torch.float64), label)
        rows.append((video, clip if i in (0, 2, 4, 5, 6) else None))
    return rows


def gradients(rows: list[tuple[Sample, Sample | None]], *, per_class: bool) -> list[torch.Tensor]:
    networks = []
    for seed in range(2):
        torch.manual_seed(seed)
        networks.append(TSRNet(SETTINGS, num_features=5, num_classes=3).double())
    sizes: dict[str, Any] = {"num_features": 5, "classes": ("climb", "jump", "run"), "model": SETTINGS}
    module = TSRNetModule(
        **sizes,
        network=networks[0],
        teacher=TSRNetModule(**sizes, network=networks[1]),
        losses=LossSettings(3.0, 0.1),
        transfer=TransferSettings(1.0, 1.0, per_class=per_class),
    )
    module.log_dict = module.log = lambda *_, **__: None  # type: ignore[method-assign, assignment]
    batch = TrainingBatch.collate(rows)
    doubled = TrainingBatch(
        *(
            type(v)(v.ids, v.features.double(), v.mask, v.labels.double()) if v else None
            for v in (batch.videos, batch.trimmed)
        ),
        batch.paired,
    )
    module.training_step(doubled, 0).backward()
    return [parameter.grad for parameter in module.model.parameters() if parameter.grad is not None]


def process(rank: int, folder: str, per_class: bool) -> list[torch.Tensor]:
    """The gradients after DDP's mean over the processes."""
    options: dict[str, Any] = {"world_size": 2, "timeout": timedelta(seconds=120)}
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, **options)
    try:
        found = gradients(samples()[rank::2], per_class=per_class)
        for gradient in found:
            dist.all_reduce(gradient)
            gradient /= 2
        return found
    finally:
        dist.destroy_process_group()


def other_process(_: int, folder: str, per_class: bool) -> None:
    process(1, folder, per_class)


@pytest.mark.parametrize("per_class", [False, True])
def test_a_global_batch_gives_the_same_gradient_on_two_processes(tmp_path: Path, per_class: bool) -> None:
    """L_KT sees the pairs of both, though the first has four of them and the second one."""
    other = mp.spawn(other_process, args=(str(tmp_path), per_class), nprocs=1, join=False)
    found = process(0, str(tmp_path), per_class)
    other.join()
    expected = gradients(samples(), per_class=per_class)
    assert len(found) == len(expected) > 4
    for one, of_all in zip(found, expected, strict=True):
        torch.testing.assert_close(one, of_all, rtol=1e-5, atol=1e-9)
