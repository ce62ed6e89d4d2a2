"""`python -m tsrnet.report`: prints the table of a multirun and draws its picture again."""

from __future__ import annotations

from omegaconf import DictConfig

from tsrnet.core.cli import run_command
from tsrnet.core.errors import UserError
from tsrnet.core.settings import AnyPath, settings_of


def report(config: DictConfig) -> None:
    """Read the runs below `sweep`."""
    from tsrnet.reporting.sweep import report_sweep

    if config.sweep is None or not (folder := settings_of(AnyPath, config.sweep, where="sweep")).is_dir():
        raise UserError(f"sweep: got {config.sweep}, need the folder of a multirun")
    if not report_sweep(folder):
        raise UserError(f"sweep: got {config.sweep}, which has no finished run (a folder with metrics.json)")


if __name__ == "__main__":
    run_command("report", report, folder="report")
