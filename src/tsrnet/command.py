"""How a command starts: Hydra's configuration, one clear line for a mistake, an exit code."""

from __future__ import annotations

import difflib
import fcntl
import functools
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tsrnet.errors import UserError

FAILED = "failed.txt"
"""In the folder of a job of a multirun that runs or that a mistake or a kill has ended: the reason."""
failed_jobs: list[Path] = []
"""Of the multirun that has ended; the command then exits with 1."""
running_sweeps: list[Path] = []
"""The folder of the multirun that goes on in this process."""
_stopped_by: list[int] = []


def conf_folder() -> Path:
    """The configuration: `tsrnet/conf` of an installed wheel, `conf` of a checkout."""
    inside = Path(__file__).parent / "conf"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "conf"


def run_command(config_name: str, function: Callable[[DictConfig], object], *, folder: str = "") -> None:
    """Run `function` with the composed configuration; exit 2 on a mistake, 128 + n on signal n.

    `folder`: where the configuration begins, below `conf`. What `function` returns is what a sweeper
    that searches maximises. A user who sets HYDRA_FULL_ERROR=1 gets the stack trace.
    """
    # Threads that wait must not spin: two jobs on the same cores slow each other down many times then.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is imported
    trace = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises instead of printing pages
    for number in (signal.SIGINT, signal.SIGTERM):  # SIGTERM: a cluster takes the machine away
        signal.signal(number, _stop)
    if int(os.environ.get("RANK", "0")):  # torchrun: the first process has the run folder
        sys.argv += ["hydra.run.dir=.", "hydra.output_subdir=null", "hydra/job_logging=none"]

    @functools.wraps(function)
    def job(config: DictConfig) -> object:
        if HydraConfig.get().mode is RunMode.MULTIRUN:
            return _one_of_many(function, config, Path(HydraConfig.get().runtime.output_dir) / FAILED)
        try:
            return function(config)
        except UserError as error:
            if trace:
                raise
            # Here and not below: Hydra would put a line with all overrides before ours.
            sys.exit(_say(str(error), error.exit_code))

    root = str(conf_folder() / folder)
    main = hydra.main(version_base="1.3", config_path=root, config_name=config_name)(job)
    try:
        main()
        sys.stdout.flush()
        sys.exit(1 if failed_jobs else 0)
    except BrokenPipeError:  # `... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is flushed at exit
        sys.exit(128 + signal.SIGPIPE)
    except (HydraException, OmegaConfBaseException, OSError) as error:
        if trace:
            raise
        sys.exit(_say(_one_line(error, root, config_name)))
    except (KeyboardInterrupt, SystemExit):  # Lightning makes the second of the first
        if not _stopped_by:
            raise
        print("\nstopped; the same command goes on from here", file=sys.stderr)
        sys.exit(128 + _stopped_by[0])
    except Exception as error:
        if trace or not running_sweeps:
            raise
        # A launcher lost a process, or a sweeper found no result: the others are still reported.
        from tsrnet.reporting.sweep import report_sweep, wait_for_jobs

        wait_for_jobs(running_sweeps[0])
        report_sweep(running_sweeps[0])
        what = (str(error).strip().splitlines() or [""])[0]
        sys.exit(
            _say(f"the multirun ended early, the same command goes on: {type(error).__name__}: {what}", 1)
        )


def _stop(number: int, _: FrameType | None) -> None:
    _stopped_by.append(number)
    raise KeyboardInterrupt


def _one_of_many(function: Callable[[DictConfig], object], config: DictConfig, mark: Path) -> object:
    """A job of a multirun: whatever ends it, the others go on, and the reason stands in its folder."""
    with mark.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # goes with the process, see `is_running`
        file.write("it was killed before its end")
        file.flush()
        launcher = HydraConfig.get().launcher
        if launcher._target_.endswith("LocalLauncher"):  # submitit's begins all jobs at once
            os.environ.setdefault("OMP_NUM_THREADS", str(launcher.cpus_per_task or 1))
        try:
            result = function(config)
        except Exception as error:
            mark.write_text(str(error) if isinstance(error, UserError) else traceback.format_exc().strip())
            _say(mark.read_text())
            return None
        mark.unlink()
    return result


def is_running(mark: Path) -> bool:
    """Whether the job of a multirun that has this mark in its folder goes on, in whatever process."""
    try:
        with mark.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _say(mistake: str, exit_code: int = 2) -> int:
    """Print the line of a user's mistake; return the exit code that goes with it."""
    print(f"error: {mistake}", file=sys.stderr)
    return exit_code


def _one_line(error: Exception, root: str, config_name: str) -> str:
    text = str(error)
    if isinstance(error, OSError) and error.filename:
        reason = f"{error.filename}: {error.strerror}"
        return f"{reason}; give a folder that you may write to (hydra.run.dir, paths.data)"
    if "override_grammar" in text:
        said = text.split("See http")[0].strip()
        return f"{said}; a value with one of = , ( ) [ ] {{ }} needs quotes of its own: \"key='value'\""
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
