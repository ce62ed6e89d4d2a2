"""`python -m tsrnet.stages`: lists and removes the stages that training keeps."""

from __future__ import annotations

import shutil
from pathlib import Path

from omegaconf import DictConfig

from tsrnet.core.cli import run_command
from tsrnet.core.errors import UserError


def stages(config: DictConfig) -> None:
    """Remove the stages of `remove` and `older_than_days`, then list the others."""
    from tsrnet.core.files import remove_parts_of_the_dead
    from tsrnet.core.settings import NonNegative, settings_of
    from tsrnet.pipeline.stages import held, stored_stages
    from tsrnet.reporting.tables import print_stages

    root = Path(config.paths.stages)
    found = stored_stages(root)
    names = {stage.key for stage in found}
    wanted = settings_of(list[str], config.remove, where="remove")
    for name in wanted:
        if name not in names:
            raise UserError(f"remove: got {name}, {root} has no such stage; leave out remove= to list them")
    if config.older_than_days is not None:
        days: float = settings_of(NonNegative, config.older_than_days, where="older_than_days")
        wanted += [stage.key for stage in found if stage.age_days > days]
    for name in dict.fromkeys(wanted):
        with held(root, name):  # not while a process computes it
            shutil.rmtree(root / name)
            remove_parts_of_the_dead(root)
        print(f"removed {root / name}")
    print_stages([stage for stage in found if stage.key not in wanted], str(root))


if __name__ == "__main__":
    run_command("stages", stages)
