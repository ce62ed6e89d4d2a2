"""Shared fixtures: videos are generated, the configuration is the real one, shrunk."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tsrnet.video.writer import write_video

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the commands do

TINY = (
    "dataset.num_train=6",
    "dataset.num_test=6",
    "trimmed.clips_per_class=1",
    "dataset.size=64",
    "features.resize=32",
    "features.crop=32",
    "features.stand_in.num_pictures=64",
    "features.stand_in.num_stacks=64",
    "features.stand_in.picture_steps=3",
    "features.stand_in.stack_steps=3",
    "features.stand_in.batch_size=16",
    "trainer.max_steps=12",
    "trainer.checkpoint_every=5",
    "teacher.max_steps=12",
    "report.timelines=1",
    "logger=csv",
)
"""Shrinks the real configuration so that a whole run takes half a minute."""

Train = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def tiny() -> tuple[str, ...]:
    return TINY


@pytest.fixture(scope="session")
def train() -> Train:
    """Runs `python -m tsrnet.train`, shrunk, with more overrides."""

    def run(*overrides: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tsrnet.train", *TINY, *overrides]
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)

    return run


@pytest.fixture(scope="session")
def moving_square(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A 2 s mp4, 64 x 48, 30 Hz: frame k is as bright as k, a square moves right by 1 px a frame."""
    path = tmp_path_factory.mktemp("videos") / "square.mp4"

    def frame(index: int) -> np.ndarray:
        image = np.full((48, 64, 3), 20 + 2 * index, np.uint8)
        image[16:32, index % 48 : index % 48 + 12] = 255
        return image

    write_video(path, (frame(index) for index in range(60)), frame_rate_hz=30)
    return path
