"""An articulated figure seen from the front: its pose, its joints and its picture."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]

JOINT_ANGLES = (
    "shoulder_l",
    "elbow_l",
    "shoulder_r",
    "elbow_r",
    "hip_l",
    "knee_l",
    "hip_r",
    "knee_r",
)
"""Order of the angles in a pose; radians from straight down, outward positive on both sides.

Elbow and knee are relative to the upper limb, so a mirrored pose has left and right swapped.
"""

# Lengths as fractions of the standing height.
_HEAD, _TORSO, _SHOULDERS, _HIPS = 0.085, 0.30, 0.11, 0.06
_UPPER_ARM, _FOREARM, _THIGH, _SHIN = 0.19, 0.18, 0.24, 0.24
_SUBPIXEL = 4  # cv2 draws with 4 fractional bits: motion is smooth, flow can follow it


@dataclass(frozen=True)
class Body:
    """Looks of one figure: colours (RGB), limb thickness as a fraction of its height."""

    skin: Colour
    shirt: Colour
    trousers: Colour
    thickness: float = 0.05


def _limb(start: npt.NDArray[np.float64], angle: float, side: int, length: float) -> npt.NDArray[np.float64]:
    return start + length * np.array([side * np.sin(angle), np.cos(angle)])


def joints(pose: npt.NDArray[np.float64]) -> dict[str, npt.NDArray[np.float64]]:
    """Joint positions of a pose (8 angles, radians) with height 1, feet on y = 0, y downward."""
    pelvis = np.zeros(2)
    neck = np.array([0.0, -_TORSO])
    points = {"pelvis": pelvis, "neck": neck, "head": neck - np.array([0.0, _HEAD * 1.3])}
    for index, (name, side) in enumerate((("l", -1), ("r", 1))):
        shoulder, elbow = pose[2 * index], pose[2 * index + 1]
        hip, knee = pose[4 + 2 * index], pose[5 + 2 * index]
        points[f"shoulder_{name}"] = neck + np.array([side * _SHOULDERS, 0.02])
        points[f"elbow_{name}"] = _limb(points[f"shoulder_{name}"], shoulder, side, _UPPER_ARM)
        points[f"hand_{name}"] = _limb(points[f"elbow_{name}"], shoulder + elbow, side, _FOREARM)
        points[f"hip_{name}"] = pelvis + np.array([side * _HIPS, 0.0])
        points[f"knee_{name}"] = _limb(points[f"hip_{name}"], hip, side, _THIGH)
        points[f"foot_{name}"] = _limb(points[f"knee_{name}"], hip + knee, side, _SHIN)
    ground = max(points["foot_l"][1], points["foot_r"][1])
    return {name: point - np.array([0.0, ground]) for name, point in points.items()}


def draw(
    image: Image,
    pose: npt.NDArray[np.float64],
    *,
    body: Body,
    foot: tuple[float, float],
    height: float,
    lift: float = 0.0,
) -> None:
    """Draw the figure into `image` ((h, w, 3) uint8 RGB, changed in place).

    `foot` is the ground point in pixels, `height` the standing height in pixels, `lift` how far
    the feet are off the ground as a fraction of the height.
    """
    points = {
        name: np.array([foot[0], foot[1] - lift * height]) + point * height
        for name, point in joints(pose).items()
    }
    scale = 1 << _SUBPIXEL

    def pixel(point: npt.NDArray[np.float64]) -> tuple[int, int]:
        return round(point[0] * scale), round(point[1] * scale)

    def line(start: str, end: str, colour: Colour, width: float = 1.0) -> None:
        thickness = max(1, round(body.thickness * height * width))
        cv2.line(image, pixel(points[start]), pixel(points[end]), colour, thickness, cv2.LINE_AA, _SUBPIXEL)

    for side in "lr":
        line(f"hip_{side}", f"knee_{side}", body.trousers, 1.2)
        line(f"knee_{side}", f"foot_{side}", body.trousers)
    line("pelvis", "neck", body.shirt, 3.2)
    cv2.circle(
        image,
        pixel(points["head"]),
        round(_HEAD * height * scale),
        body.skin,
        -1,
        cv2.LINE_AA,
        _SUBPIXEL,
    )
    for side in "lr":
        line(f"shoulder_{side}", f"elbow_{side}", body.shirt, 1.1)
        line(f"elbow_{side}", f"hand_{side}", body.skin)
