"""What the demo's figure does: its actions and distractors, and their poses over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tsrnet.synthetic import figure

ACTIONS = ("Wave", "JumpingJack", "Squat", "SideKick", "FlapUp", "FlapDown")
"""The flaps pass the same poses, one fast upward, one fast downward: only motion tells them apart."""
DISTRACTORS = ("idle", "walk", "phone", "stretch", "lean")


@dataclass(frozen=True)
class Act:
    """One thing the figure does: an action or a distractor, in seconds of the video."""

    name: str
    start_s: float
    end_s: float
    cycles_per_s: float
    side: int  # 0 left, 1 right
    walk: float = 0.0  # distance walked, in fractions of the frame's width


def _set_side(pose: npt.NDArray[np.float64], joint: str, side: int, angle: float) -> None:
    pose[figure.JOINT_ANGLES.index(f"{joint}_{'lr'[side]}")] = angle


def pose_of(act: Act, time_s: float) -> tuple[npt.NDArray[np.float64], float]:
    """Pose (8 angles, radians; see `figure.JOINT_ANGLES`) and lift of an act at a time."""
    phase = 2 * np.pi * act.cycles_per_s * (time_s - act.start_s)
    pulse = np.sin(phase)
    sway = 0.04 * np.sin(1.3 * time_s)
    pose = np.array([0.15, 0.1, 0.15, 0.1, 0.06, 0.0, 0.06, 0.0]) + sway
    lift = 0.0
    both = (0, 1)
    if act.name == "Wave":
        _set_side(pose, "shoulder", act.side, 2.6)
        _set_side(pose, "elbow", act.side, 0.9 * pulse)
    elif act.name == "JumpingJack":
        for side in both:
            _set_side(pose, "shoulder", side, 2.1 + 0.5 * pulse)
            _set_side(pose, "hip", side, 0.45 + 0.15 * pulse)
        lift = 0.03 + 0.03 * pulse
    elif act.name == "Squat":
        for side in both:
            _set_side(pose, "hip", side, 1.0 + 0.25 * pulse)
            _set_side(pose, "knee", side, -1.1 - 0.25 * pulse)
            _set_side(pose, "shoulder", side, 0.6)
            _set_side(pose, "elbow", side, -1.4)
    elif act.name == "SideKick":
        _set_side(pose, "hip", act.side, 1.5 + 0.35 * pulse)
        _set_side(pose, "shoulder", 1 - act.side, 1.9 + 0.4 * pulse)
    elif act.name in ("FlapUp", "FlapDown"):
        stroke = _sawtooth(0.7 * phase) * (1 if act.name == "FlapUp" else -1)
        for side in both:
            _set_side(pose, "shoulder", side, 1.4 + 0.5 * stroke)
    elif act.name == "walk":
        for side, sign in zip(both, (1, -1), strict=True):
            _set_side(pose, "hip", side, 0.3 * sign * np.sin(phase))
            _set_side(pose, "knee", side, -0.25 * max(0.0, sign * np.cos(phase)))
            _set_side(pose, "shoulder", side, 0.15 - 0.25 * sign * np.sin(phase))
    elif act.name == "phone":
        _set_side(pose, "shoulder", act.side, 0.6)
        _set_side(pose, "elbow", act.side, 2.2)
    elif act.name == "stretch":
        for side in both:
            _set_side(pose, "shoulder", side, 0.8 + 0.2 * np.sin(phase / 4))
    elif act.name == "lean":
        _set_side(pose, "hip", act.side, 0.35)
        _set_side(pose, "knee", act.side, -0.25)
        _set_side(pose, "shoulder", act.side, 0.6)
        _set_side(pose, "elbow", act.side, -1.2)
    return pose, lift


def _sawtooth(phase: float) -> float:
    """From -1 to 1 in the first 0.3 of a cycle, back in the rest: all values equally often."""
    done = phase / (2 * np.pi) % 1
    return float(np.interp(done, (0.0, 0.3, 1.0), (-1.0, 1.0, -1.0)))
