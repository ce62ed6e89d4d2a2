"""What a command leaves in the folder where it runs: what docs/files.md says, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]
RUN = {"metrics.json", "detections.json", "config.yaml", "timelines", ".hydra"}
"""The folder of a run; with these beside its log, a command of its own leaves it in `runs`."""
RIGHT: dict[str, tuple[str, set[str]]] = {
    "train": ("{demo} paths.data={data} stream=rgb logger=csv", {"runs/*", *(f"runs/*/{name}" for name in RUN)}),
}


@pytest.fixture(scope="module")
def places(prepared: Path, linked: Callable[..., Path], tiny: tuple[str, ...], tmp_path_factory: Any) -> Any:
    """Where the inputs of the right calls are: far from the folder in which the commands run."""
