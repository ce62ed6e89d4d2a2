"""`python -m tsrnet.dashboard`: makes a W&B workspace for the runs of a project."""

from __future__ import annotations

from omegaconf import DictConfig

from tsrnet.core.cli import run_command
from tsrnet.core.errors import UserError


def dashboard(config: DictConfig) -> None:
    """Build the workspace and save it with W&B; print its address."""
    from importlib.util import find_spec

    from tsrnet.reporting.workspace import workspace

    for key in ("entity", "project"):
        if not config[key]:
            raise UserError(f"{key}: got nothing, need its name on W&B; give {key}=NAME")
    if find_spec("wandb_workspaces") is None:
        raise UserError("wandb-workspaces is not installed; pip install 'tsrnet[dashboard]'")
    try:
        print(workspace(config.entity, config.project, config.name).save().url)
    except Exception as error:  # not logged in, no such entity, no network: any error of the service
        lines = str(error).strip().splitlines() or [""]
        raise UserError(
            f"W&B: the workspace could not be saved ({type(error).__name__}: {lines[0][:200]}); run"
            " wandb login, then the same command again"
        ) from error


if __name__ == "__main__":
    run_command("dashboard", dashboard)
