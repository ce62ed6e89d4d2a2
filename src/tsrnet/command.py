"""How a command starts: Hydra's configuration, one clear line for a mistake, an exit code."""

from __future__ import annotations

import difflib
import functools
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tsrnet.errors import UserError

FAILED = "failed.txt"
"""In the folder of a job of a multirun: the mistake that ended it."""
failed_jobs: list[Path] = []
"""Of the multirun that has ended; the command then exits with 1."""


def conf_folder() -> Path:
    """The configuration: `tsrnet/conf` of an installed wheel, `conf` of a checkout."""
    inside = Path(__file__).parent / "conf"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "conf"


def run_command(config_name: str, function: Callable[[DictConfig], None], *, folder: str = "") -> None:
    """Run `function` with the composed configuration; exit 2 on a mistake, 130 on Ctrl-C.

    `folder`: where the configuration begins, below `conf`.

    A user who sets HYDRA_FULL_ERROR=1 gets the stack trace.
    """
    # Threads that wait must not spin: two jobs on the same cores slow each other down many times then.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is imported
    trace = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises instead of printing pages

    @functools.wraps(function)
    def job(config: DictConfig) -> None:
        try:
            function(config)
        except UserError as error:
            if trace:
                raise
            if HydraConfig.get().mode is RunMode.MULTIRUN:  # the other jobs go on
                _say(str(error))
                (Path(HydraConfig.get().runtime.output_dir) / FAILED).write_text(str(error))
                return
            # Here and not below: Hydra would put a line with all overrides before ours.
            sys.exit(_say(str(error), error.exit_code))

    root = str(conf_folder() / folder)
    main = hydra.main(version_base="1.3", config_path=root, config_name=config_name)(job)
    try:
        main()
        sys.exit(1 if failed_jobs else 0)
    except (HydraException, OmegaConfBaseException, OSError) as error:
        if trace:
            raise
        sys.exit(_say(_one_line(error, root, config_name)))
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from here", file=sys.stderr)
        sys.exit(130)


def _say(mistake: str, exit_code: int = 2) -> int:
    """Print the line of a user's mistake; return the exit code that goes with it."""
    print(f"error: {mistake}", file=sys.stderr)
    return exit_code


def _one_line(error: Exception, root: str, config_name: str) -> str:
    text = str(error)
    if isinstance(error, OSError) and error.filename:
        reason = f"{error.filename}: {error.strerror}"
        return f"{reason}; give a folder that you may write to (hydra.run.dir, paths.data)"
    unknown = re.match(r"Could not (?:override|append|delete)[^']*'([^']+)'", text)
    if unknown:
        key = unknown.group(1)
        near = difflib.get_close_matches(key, _keys(root, config_name), n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}" if near else "--cfg job lists the keys"
        return f"{key}: is no key of the configuration; {hint}"
    return " ".join(text.split("Config search path")[0].split())


def _keys(root: str, config_name: str) -> list[str]:
    """All keys of the default configuration, dotted."""
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(root, version_base="1.3"):
        tree = OmegaConf.to_container(hydra.compose(config_name), resolve=False)
    found: list[str] = []

    def walk(node: object, prefix: str) -> None:
        for key, value in node.items() if isinstance(node, dict) else ():
            found.append(f"{prefix}{key}")
            walk(value, f"{prefix}{key}.")

    walk(tree, "")
    return found
