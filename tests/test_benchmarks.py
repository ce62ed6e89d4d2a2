"""The benchmark of all that a GPU does runs on the CPU, too, with tiny sizes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CUDA = Path(__file__).parents[1] / "benchmarks" / "cuda.py"


@pytest.mark.process
def test_cuda_prints_a_row_for_flow_extraction_and_each_precision(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, str(CUDA), "--tiny"], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr
    rows = [line for line in result.stdout.splitlines() if line.startswith("| ")]
    for what in ("TV-L1", "extraction", "32-true", "bf16-mixed"):
        assert any(what in row for row in rows), result.stdout
    assert "mean difference 0.0" in next(row for row in rows if "TV-L1" in row)
