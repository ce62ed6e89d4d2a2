"""A multirun side by side: what jobs share is computed once."""

from __future__ import annotations

import csv
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

Train = Callable[..., subprocess.CompletedProcess[str]]


def test_jobs_side_by_side_share_teacher_and_networks(train: Train, tmp_path: Path) -> None:
    """Four settings in two processes: two networks, one teacher; the same again trains nothing."""
    command = (
        *("hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "stream=rgb"),
        *("loss.alpha=1,10", "localization.theta=0.3,0.5", f"paths.data={tmp_path}/data"),
        *(f"hydra.sweep.dir={tmp_path}/sweep", "-m"),
    )
    result = train(*command)
    assert result.returncode == 0, result.stderr
    stages = [path.name for path in (tmp_path / "data" / "stages").iterdir() if path.name[0] != "."]
    assert Counter(name.rsplit("-", 1)[0] for name in stages) == {
        "backbone-rgb": 1,
        "teacher-rgb": 1,
        "tsrnet-rgb": 2,
        "activations-rgb": 2,
    }
    with (tmp_path / "sweep" / "sweep.csv").open() as file:
        rows = list(csv.DictReader(file))
    settings = [(row["loss.alpha"], row["localization.theta"]) for row in rows]
    assert settings == [("1", "0.3"), ("1", "0.5"), ("10", "0.3"), ("10", "0.5")]
    again = train(*command)
    assert again.returncode == 0
    assert "training" not in again.stderr
