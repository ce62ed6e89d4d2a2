"""`python -m tsrnet.report`: prints the table of a multirun and draws its picture again."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from tsrnet.core.cli import run_command
from tsrnet.core.errors import UserError


def report(config: DictConfig) -> None:
    """Read the runs below `sweep`."""
    from tsrnet.reporting.sweep import report_sweep

    if config.sweep is None or not Path(config.sweep).is_dir():
        raise UserError(f"sweep: got {config.sweep}, need the folder of a multirun")
    if not report_sweep(Path(config.sweep)):
        raise UserError(f"sweep: got {config.sweep}, which has no finished run (a folder with metrics.json)")


if __name__ == "__main__":
    run_command("report", report, folder="report")
