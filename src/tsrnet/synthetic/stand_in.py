"""The demo's stand-in for ImageNet weights: small networks that learn to see figures.

The RGB network reads where the limbs of a figure are, the flow network how they move, both from
`random_figures`. The same pose in two scenes must give nearly the same features, so that these describe the
figure more than the scene. They are then used like those of any backbone.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from tsrnet.core.progress import track
from tsrnet.core.settings import KNOWN_KEYS, Count, Natural, NonNegative, Positive
from tsrnet.core.workers import worker_pool
from tsrnet.features.backbone import Backbone
from tsrnet.synthetic import random_figures
from tsrnet.video.snippets import SnippetSettings


@dataclass(frozen=True, config=KNOWN_KEYS)
class StandInSettings:
    """How much the stand-in sees and how it learns.

    `num_pictures`, `num_stacks`: poses and motions, each in two scenes. `picture_steps`,
    `stack_steps`: of `batch_size` poses in both scenes. `invariance`: weight of the distance
    between the features of the two, as a fraction of the features' variance.
    """

    num_pictures: Count
    num_stacks: Count
    picture_steps: Count
    stack_steps: Count
    batch_size: Count
    learning_rate: Positive
    invariance: NonNegative
    seed: Natural = 0


def train_stand_in(
    name: str, *, stream: str, settings: StandInSettings, snippets: SnippetSettings, workers: int
) -> dict[str, Tensor]:
    """State dict of a `Backbone` of this name, trained from nothing for one stream."""
    if stream == "rgb":
        count, num_steps = settings.num_pictures, settings.picture_steps
    else:
        count, num_steps = settings.num_stacks, settings.stack_steps
    inputs, targets = _samples(count, stream, settings.seed, snippets, workers)
    targets = (targets - targets.mean(axis=0)) / targets.std(axis=0)
    torch.manual_seed(settings.seed)
    backbone = Backbone(name, stream=stream).train().to(memory_format=torch.channels_last)
    head = nn.Linear(backbone.num_features, random_figures.NUM_TARGETS)
    parameters = [*backbone.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=settings.learning_rate, total_steps=num_steps
    )
    rng = np.random.default_rng((settings.seed, 3))
    for _ in track(range(num_steps), total=num_steps, what=f"training the demo's backbone ({stream})"):
        rows = rng.choice(len(inputs), settings.batch_size, replace=False)
        batch, wanted = (
            np.concatenate([inputs[rows, 0], inputs[rows, 1]]),
            np.concatenate([targets[rows]] * 2),
        )
        if rng.random() < 0.5:
            batch, wanted = _mirror(batch, wanted, stream)
        features = backbone(torch.from_numpy(batch))
        one, other = features.chunk(2)
        distance = (one - other).square().mean() / features.var(dim=0).mean()
        error = nn.functional.mse_loss(head(features), torch.from_numpy(wanted))
        loss = error + settings.invariance * distance
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return backbone.state_dict()


def _mirror(
    batch: npt.NDArray[np.generic], targets: npt.NDArray[np.float32], stream: str
) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.float32]]:
    """Left and right swapped: the picture, the sign of x, the names of the limbs."""
    points = targets.reshape(len(targets), -1, 2, 2)[:, :, ::-1] * np.array([-1, 1], np.float32)
    if stream == "rgb":
        flipped = batch[:, :, ::-1]
    else:
        signs = np.tile(np.array([-1, 1], batch.dtype), batch.shape[1] // 2)
        flipped = batch[:, :, :, ::-1] * signs[:, None, None]
    return np.ascontiguousarray(flipped), points.reshape(targets.shape).astype(np.float32)


def _samples(
    count: int, stream: str, seed: int, snippets: SnippetSettings, workers: int
) -> random_figures.Samples:
    draw = partial(random_figures.samples, stream=stream, seed=seed, snippets=snippets)
    scenes = range(-(-count // 4))
    with worker_pool(workers) as pool:
        what = f"drawing pictures for the demo's backbone ({stream})"
        parts = [part for _, part in track(pool.map(draw, scenes), total=len(scenes), what=what)]
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])
