"""Which snippets of a video a training step sees; end to end, a few that are augmented alike."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from pydantic.dataclasses import dataclass as pydantic_dataclass
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as TF

from tsrnet.core.settings import KNOWN_KEYS, Count, Natural, NotBool
from tsrnet.video.snippet_images import SnippetImages

_STILL = 127.5
"""Grey value of no flow."""


@pydantic_dataclass(frozen=True, config=KNOWN_KEYS)
class SamplingSettings:
    """`num_snippets` of a video per step. All its snippets get the same augmentation: rotation by up to
    `rotation` degrees, a crop of at least `crop` of a side, and mirroring (`mirror`).
    """

    num_snippets: Annotated[int, Field(ge=2), NotBool] = 16
    rotation: Annotated[float, Field(ge=0, le=180), NotBool] = 10.0
    crop: Annotated[float, Field(gt=0, le=1), NotBool] = 0.8
    mirror: bool = False


def sample_snippets(length: int, count: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """One snippet from each of `count` equal parts of a video, in order (TSN); all of a shorter video."""
    if length <= count:
        return np.arange(length)
    edges = np.linspace(0, length, count + 1)
    found: npt.NDArray[np.int64] = np.floor(rng.uniform(edges[:-1], edges[1:])).astype(np.int64)
    return found.clip(max=length - 1)


@pydantic_dataclass(frozen=True, config=KNOWN_KEYS)
class BatchSettings:
    """How a batch of features is drawn.

    `pairs`: number of pairs of videos that share a class, in every batch. `max_snippets`: number of snippets
    of a longer video, None for all. `snippets`: one from each equal part ("spread"), or neighbours ("crop").
    """

    pairs: Natural = 0
    max_snippets: Count | None = None
    snippets: Literal["spread", "crop"] = "spread"

    def choose(self, length: int, rng: np.random.Generator) -> slice | npt.NDArray[np.int64]:
        """Choose the snippets of a video of `length` snippets."""
        if self.max_snippets is None or length <= self.max_snippets:
            return slice(None)
        if self.snippets == "spread":
            return sample_snippets(length, self.max_snippets, rng)
        start = int(rng.integers(length - self.max_snippets + 1))
        return slice(start, start + self.max_snippets)


PLAIN_BATCHES = BatchSettings()
"""Whole videos, each once per pass."""


def augment(pixels: Tensor, stream: str, settings: SamplingSettings, rng: np.random.Generator) -> Tensor:
    """Rotate, crop and mirror all snippets of a video alike; flow vectors turn and grow with the picture.

    Takes and returns (n, h, w, 3) or (n, 10, h, w) uint8.
    """
    angle = float(rng.uniform(-settings.rotation, settings.rotation))
    share = float(rng.uniform(settings.crop, 1.0))
    place = rng.uniform(size=2)
    mirrored = bool(settings.mirror and rng.random() < 0.5)
    images: Tensor = pixels.permute(0, 3, 1, 2) if stream == "rgb" else pixels
    height, width = images.shape[-2:]
    fill = 0.0 if stream == "rgb" else _STILL
    images = TF.rotate(images, angle, interpolation=InterpolationMode.BILINEAR, fill=fill)
    size = [max(1, round(share * height)), max(1, round(share * width))]
    top, left = (
        int(p * (whole - part + 1)) for p, whole, part in zip(place, (height, width), size, strict=True)
    )
    images = TF.resized_crop(images, top, left, *size, [height, width], antialias=True)
    if mirrored:
        images = images.flip(-1)
    if stream == "rgb":
        return images.permute(0, 2, 3, 1)
    return _turn_flow(images, angle, zoom=height / size[0], mirrored=mirrored)


def _turn_flow(images: Tensor, angle: float, *, zoom: float, mirrored: bool) -> Tensor:
    """Turn and scale the vectors of flow images like the picture (degrees, anticlockwise)."""
    fields = images.float() - _STILL
    x, y = fields[:, 0::2], fields[:, 1::2]
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    turned_x, turned_y = cos * x + sin * y, cos * y - sin * x  # y points down
    if mirrored:
        turned_x = -turned_x
    turned: Tensor = torch.stack([turned_x, turned_y], dim=2).flatten(1, 2) * zoom + _STILL
    return turned.round().clamp(0, 255).to(torch.uint8)


@dataclass(frozen=True)
class SnippetSampler:
    """Sampled, augmented snippets of the videos of one stream."""

    images: SnippetImages
    stream: str
    settings: SamplingSettings

    def sample(self, video_id: str, length: int, rng: np.random.Generator) -> Tensor:
        """(n, h, w, 3) or (n, 10, h, w) uint8 of a video of `length` snippets."""
        chosen = sample_snippets(length, self.settings.num_snippets, rng)
        pixels = torch.from_numpy(self.images.read(video_id, chosen.tolist()))
        return augment(pixels, self.stream, self.settings, rng)
