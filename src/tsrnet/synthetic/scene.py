"""What stands behind and around the figure: plain or cluttered backgrounds that may move."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from tsrnet.synthetic.figure import Body, Image


def colour(rng: np.random.Generator, low: int, high: int) -> tuple[int, int, int]:
    """A random RGB colour with each channel in [low, high]."""
    red, green, blue = (int(value) for value in rng.integers(low, high, 3))
    return red, green, blue


def body(rng: np.random.Generator) -> Body:
    """A figure of random looks, in clothes that are brighter or darker than most scenes."""
    tone = int(rng.integers(190, 250))
    return Body(
        skin=(tone, int(tone * 0.82), int(tone * 0.68)),
        shirt=colour(rng, 170, 255),
        trousers=colour(rng, 0, 60),
        thickness=float(rng.uniform(0.055, 0.07)),
    )


@dataclass(frozen=True)
class Scene:
    """A wide backdrop seen through a window that sways, and objects that cross it.

    `backdrop` is (size, 2 * size, 3) uint8; sway in pixels, times in seconds.
    """

    backdrop: Image
    sway: float
    sway_period_s: float
    phase: float
    crossers: tuple[tuple[float, float, float, float, tuple[int, int, int]], ...] = ()
    """Objects (first time s, speed px/s, y px, radius px, colour) that pass from left to right."""

    def frame(self, time_s: float) -> Image:
        """The (size, size, 3) background at a time."""
        size = self.backdrop.shape[0]
        shift = size / 2 + self.sway * np.sin(2 * np.pi * time_s / self.sway_period_s + self.phase)
        move = np.array([[1.0, 0.0, -shift], [0.0, 1.0, 0.0]], dtype=np.float32)
        image = cv2.warpAffine(self.backdrop, move, (size, size), flags=cv2.INTER_LINEAR)
        for start_s, speed, y, radius, tint in self.crossers:
            x = (time_s - start_s) * speed - radius
            if -radius < x < size + radius:
                cv2.circle(image, (int(x * 16), int(y * 16)), int(radius * 16), tint, -1, cv2.LINE_AA, 4)
        return np.asarray(image, dtype=np.uint8)


def plain(rng: np.random.Generator, size: int) -> Scene:
    """A still scene of one colour with a floor: where the trimmed clips are taken."""
    backdrop = np.empty((size, 2 * size, 3), np.uint8)
    backdrop[:] = colour(rng, 80, 150)
    backdrop[int(0.85 * size) :] = colour(rng, 60, 130)
    return Scene(_grain(rng, backdrop, 3.0), 0.0, 1.0, 0.0)


def cluttered(rng: np.random.Generator, size: int, *, duration_s: float) -> Scene:
    """A scene full of shapes, some swaying, some crossed by moving objects."""
    coarse = rng.integers(70, 150, (4, 8, 3)).astype(np.uint8)
    backdrop = np.asarray(cv2.resize(coarse, (2 * size, size), interpolation=cv2.INTER_CUBIC), np.uint8)
    for _ in range(int(rng.integers(12, 28))):
        x, y = rng.uniform(0, 2 * size), rng.uniform(0, size)
        width, height = rng.uniform(0.04, 0.3, 2) * size
        tint = colour(rng, 60, 160)
        if rng.random() < 0.6:
            cv2.rectangle(backdrop, (int(x), int(y)), (int(x + width), int(y + height)), tint, -1)
        else:
            thickness = max(1, int(0.035 * size))
            end = (int(x + rng.normal(0, 0.3) * size), int(y + rng.normal(0, 0.3) * size))
            cv2.line(backdrop, (int(x), int(y)), end, tint, thickness, cv2.LINE_AA)
    crossers = tuple(
        (
            float(rng.uniform(0, duration_s)),
            float(rng.uniform(0.25, 0.8) * size),
            float(rng.uniform(0.1, 0.9) * size),
            float(rng.uniform(0.04, 0.09) * size),
            colour(rng, 60, 200),
        )
        for _ in range(int(duration_s / 10 * rng.uniform(0, 1)))
    )
    moving = rng.random() < 0.33
    return Scene(
        _grain(rng, backdrop, 6.0),
        sway=float(rng.uniform(0.04, 0.15) * size) if moving else 0.0,
        sway_period_s=float(rng.uniform(4, 9)),
        phase=float(rng.uniform(0, 2 * np.pi)),
        crossers=crossers,
    )


def _grain(rng: np.random.Generator, image: Image, deviation: float) -> Image:
    noise: npt.NDArray[np.float64] = rng.normal(0, deviation, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)
