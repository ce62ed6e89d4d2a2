"""Figures in random poses and motions: what the demo's backbone learns to see from.

None of the demo's actions is among them: each picture has a pose of its own, each stack of flow
fields a motion of its own, and the target is where the limbs are or how they move.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from tsrnet.synthetic import figure, scene
from tsrnet.video.flow_settings import FlowSettings
from tsrnet.video.optical_flow import flow_fields
from tsrnet.video.snippets import SnippetSettings
from tsrnet.video.time_grid import FRAME_RATE_HZ, FRAMES_PER_SNIPPET

LIMBS = tuple(f"{part}_{side}" for part in ("elbow", "hand", "knee", "foot") for side in "lr")
NUM_TARGETS = 2 * len(LIMBS)
_PER_SCENE = 4

Samples = tuple[npt.NDArray[np.generic], npt.NDArray[np.float32]]


def samples(index: int, *, stream: str, seed: int, snippets: SnippetSettings) -> Samples:
    """The figures of one pair of scenes, for the RGB or the flow network. Drawn in workers: this file must
    not import torch."""
    rng = np.random.default_rng((seed, 4, index))
    if stream == "rgb":
        return stills(rng, size=snippets.crop)
    return motions(rng, size=snippets.crop, method=snippets.flow)


def stills(rng: np.random.Generator, *, size: int) -> Samples:
    """4 poses, each pictured in the same two scenes.

    Pictures (4, 2, size, size, 3) uint8; limb positions (4, 16) from the pelvis, height 1.
    """
    poses = [_pose(rng) for _ in range(_PER_SCENE)]
    pictures = []
    for _ in range(2):
        place, body, height, foot = _setting(rng, size)
        row = []
        for pose in poses:
            image = place.frame(float(rng.uniform(0, 30)))
            figure.draw(image, pose, body=body, foot=foot, height=height)
            row.append(_shrink(image, size))
        pictures.append(np.stack(row))
    return np.stack(pictures, axis=1), np.stack([_limbs(pose) for pose in poses])


def motions(rng: np.random.Generator, *, size: int, method: FlowSettings) -> Samples:
    """4 motions, each filmed in the same two scenes.

    Flow stacks (4, 2, 10, size, size) float16; limb velocities (4, 16), heights per second.
    """
    poses = [_pose(rng) for _ in range(_PER_SCENE)]
    velocities = [rng.normal(0, 5, 8) * (rng.random(8) < 0.4) * (rng.random() < 0.8) for _ in poses]
    stacks = []
    for _ in range(2):
        place, body, height, foot = _setting(rng, size)
        row = []
        for pose, velocity in zip(poses, velocities, strict=True):
            drift = rng.normal(0, 0.1) * (rng.random() < 0.2)  # walking, heights per second
            start_s = float(rng.uniform(0, 30))
            frames = []
            for index in range(FRAMES_PER_SNIPPET + 1):
                time_s = index / FRAME_RATE_HZ
                image = place.frame(start_s + time_s)
                at = (foot[0] + drift * height * time_s, foot[1])
                figure.draw(image, pose + velocity * time_s, body=body, foot=at, height=height)
                frames.append(_shrink(image, size))
            row.append(flow_fields(np.stack(frames), method).reshape(-1, size, size))
        stacks.append(np.stack(row).astype(np.float16))
    length_s = FRAMES_PER_SNIPPET / FRAME_RATE_HZ
    targets = [
        (_limbs(pose + velocity * length_s) - _limbs(pose)) / length_s
        for pose, velocity in zip(poses, velocities, strict=True)
    ]
    return np.stack(stacks, axis=1), np.stack(targets)


def _setting(
    rng: np.random.Generator, size: int
) -> tuple[scene.Scene, figure.Body, float, tuple[float, float]]:
    canvas = 2 * size
    place = scene.plain(rng, canvas) if rng.random() < 0.25 else scene.cluttered(rng, canvas, duration_s=30)
    foot = (float(rng.uniform(0.25, 0.75) * canvas), float(rng.uniform(0.78, 0.95) * canvas))
    return place, scene.body(rng), float(rng.uniform(0.5, 0.85) * canvas), foot


def _pose(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    arms = rng.uniform((-0.3, -1.6), (3.3, 1.6), (2, 2))
    legs = rng.uniform((-0.2, -1.3), (1.5, 0.3), (2, 2)) * rng.choice([0.15, 1.0], (2, 1))
    return np.concatenate([arms.ravel(), legs.ravel()])


def _limbs(pose: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    points = figure.joints(pose)
    return np.concatenate([points[name] - points["pelvis"] for name in LIMBS]).astype(np.float32)


def _shrink(image: figure.Image, size: int) -> figure.Image:
    return np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA), np.uint8)
