"""How a command starts: Hydra's configuration, one clear line for a mistake, an exit code."""

from __future__ import annotations

import difflib
import functools
import gc
import io
import os
import re
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tsrnet.core import jobs
from tsrnet.core.errors import UserError, one_line

_MISTAKES = (HydraException, OmegaConfBaseException, OSError)
_stopped_by: list[int] = []


def conf_folder() -> Path:
    """The folder of the configuration: `tsrnet/conf` of an installed wheel, `conf` of a checkout."""
    package = Path(__file__).parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parents[1] / "conf"


def set_environment() -> None:
    """Set what NumPy and torch read when they are imported; what the user has set is kept."""
    # Threads that wait must not spin, or two jobs on the same cores make each other many times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # NumPy makes batches in a thread beside torch's
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # large tensors in huge pages: few page faults


@contextmanager
def importing() -> Iterator[None]:
    """Turn off garbage collection, which takes a sixth of the time to import torch and the like."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def run_command(config_name: str, function: Callable[[DictConfig], object], *, folder: str = "") -> None:
    """Run `function` with the composed configuration; exit 2 on a mistake, 128 + n on signal n.

    `folder`: where the configuration begins, below `conf`. A sweeper that searches maximises the return value
    of `function`. A user who sets HYDRA_FULL_ERROR=1 gets the stack trace.
    """
    set_environment()
    trace = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises instead of printing pages
    OmegaConf.register_new_resolver("config_groups", _groups, replace=True)  # for --help
    if isinstance(sys.stdout, io.TextIOWrapper):  # a file name may not be valid text
        sys.stdout.reconfigure(errors="backslashreplace")
    for number in (signal.SIGINT, signal.SIGTERM):  # SIGTERM: a cluster takes the machine away
        signal.signal(number, _stop)
    rank = os.environ.get("RANK") or os.environ.get("SLURM_PROCID") or "0"
    if int(rank):  # torchrun, srun: only the first process has a run folder
        sys.argv += ["hydra.run.dir=.", "hydra.output_subdir=null"]
    if int(rank) or int(os.environ.get("LOCAL_RANK", "0")):  # only the first process prints
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115

    @functools.wraps(function)
    def job(config: DictConfig) -> object:
        if HydraConfig.get().mode is RunMode.MULTIRUN:
            return _one_of_many(function, config)
        try:
            return function(config)
        except BrokenPipeError:
            sys.exit(_reader_left())
        except (KeyboardInterrupt, SystemExit):
            _leave_nothing(HydraConfig.get())
            raise
        except (UserError, *_MISTAKES) as error:
            if trace:
                raise
            # Here and not below: Hydra would put a line with all overrides before ours.
            code = error.exit_code if isinstance(error, UserError) else 2
            code = _say(_explained(error, root, config_name), code)
            _leave_nothing(HydraConfig.get())
            sys.exit(code)

    root = str(conf_folder() / folder)
    main = hydra.main(version_base="1.3", config_path=root, config_name=config_name)(job)
    try:
        if {"-h", "--help"} & set(sys.argv[1:]):
            print(_help(root, config_name))
        else:
            main()
        sys.stdout.flush()
        sys.exit(1 if jobs.failed_jobs else 0)
    except BrokenPipeError:
        sys.exit(_reader_left())
    except _MISTAKES as error:
        if trace:
            raise
        sys.exit(_say(_explained(error, root, config_name)))
    except (KeyboardInterrupt, SystemExit):  # Lightning turns the first into the second
        if not _stopped_by:
            raise
        print("\nstopped; run the same command again to continue", file=sys.stderr)
        sys.exit(128 + _stopped_by[0])
    except Exception as error:
        if trace or not jobs.when_interrupted:
            raise
        # A launcher lost a process, or a sweeper found no result: still report the other jobs.
        jobs.when_interrupted[-1]()
        what = (str(error).strip().splitlines() or [""])[0]
        sys.exit(_say(f"the multirun ended early; run the command again: {type(error).__name__}: {what}", 1))


def _stop(number: int, _: FrameType | None) -> None:
    _stopped_by.append(number)
    raise KeyboardInterrupt


def _one_of_many(function: Callable[[DictConfig], object], config: DictConfig) -> object:
    """Run a job of a multirun. If it fails, print the reason and let the other jobs continue."""
    hydra_config = HydraConfig.get()
    if hydra_config.launcher._target_.endswith("LocalLauncher"):  # submitit's starts all jobs at once
        os.environ.setdefault("OMP_NUM_THREADS", str(hydra_config.launcher.cpus_per_task or 1))
    folder = Path(hydra_config.runtime.output_dir)
    result = jobs.run_job(lambda: function(config), folder)
    if reason := jobs.failure(folder):
        *trace, last = reason.splitlines()
        _say(f"{folder / jobs.FAILED}: {last}" if trace else last)
    return result


def _reader_left() -> int:
    """Print nothing more, because a reader such as `head` has closed the pipe; return the exit code."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is flushed at exit
    return 128 + signal.SIGPIPE


def _say(mistake: str, exit_code: int = 2) -> int:
    """Print the line of a user's mistake; return the exit code that goes with it."""
    print(one_line(f"error: {mistake}"), file=sys.stderr)
    return exit_code


def _leave_nothing(hydra_config: Any) -> None:
    """Remove the run folder if it holds only Hydra's own files and an empty log."""
    folder, own = Path(hydra_config.runtime.output_dir), hydra_config.output_subdir
    log = folder / f"{hydra_config.job.name}.log"
    if own is None or not folder.is_dir() or {path.name for path in folder.iterdir()} - {own, log.name}:
        return
    if not log.is_file() or not log.stat().st_size:
        log.unlink(missing_ok=True)
        shutil.rmtree(folder / own)
        with suppress(OSError):  # the folder holds other runs
            if not Path.cwd().is_relative_to(folder):
                folder.rmdir()
                Path("runs").rmdir()


def _help(root: str, config_name: str) -> str:
    """Return the text of `--help`. Hydra needs a second to fill in the lists of its own template."""
    return str(OmegaConf.load(Path(root) / f"{config_name}.yaml").hydra.help.template)


def _groups() -> str:
    """The choices of a command, without the folders of commands that have their own settings."""
    root, lines = conf_folder(), []
    for folder in sorted(path for path in root.rglob("*") if path.is_dir()):
        name = folder.relative_to(root)
        options = sorted(path.stem for path in folder.glob("*.yaml"))
        chosen = name.parts[0] not in ("reading", "wandb")  # part of the others; W&B's own file
        if chosen and options and not (root / name.parts[0] / f"{name.parts[0]}.yaml").is_file():
            lines.append(f"{name.as_posix()}: {', '.join(options)}\n")
    return "".join(lines)


def _explained(error: Exception, root: str, config_name: str) -> str:
    """Say what was wrong and what to do."""
    text = str(error)
    if isinstance(error, UserError):
        return text
    if isinstance(error, OSError) and error.filename:
        reason = f"{error.filename}: {error.strerror}"
        return f"{reason}; give a folder that you can write to (hydra.run.dir, paths.data)"
    if "override_grammar" in text:
        said = text.split("See http")[0].strip()
        return f"{said}; quote a value that contains one of = , ( ) [ ] {{ }}: \"key='value'\""
    unknown = re.match(r"Could not (?:override|append|delete)[^']*'([^']+)'", text)
    if unknown:
        key = unknown.group(1)
        others = [known for known in _keys(root, config_name) if known != key]
        found = (difflib.get_close_matches(key, others, n=3, cutoff=cutoff) for cutoff in (0.8, 0.5))
        near = next(filter(None, found), [])
        hint = f"did you mean {' or '.join(near)}" if near else "--cfg job lists all keys"
        return f"{key}: is not a key of the configuration; {hint}"
    text = " ".join(text.split("Config search path")[0].split())
    choice = re.search(r"Could not find '(.+)/(.+?)' Available options in '.+': (.+)", text)
    if choice:
        group, option, options = choice.groups()
        return f"{group}={option}: is not a choice; need one of {', '.join(options.split())}"
    return text


def _keys(root: str, config_name: str) -> list[str]:
    """The dotted keys of the configuration with the choices that were made."""
    choices = [text for text in sys.argv[1:] if _is_group(Path(root), text)]
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(root, version_base="1.3"):
        try:
            config = hydra.compose(config_name, choices)
        except Exception:  # a choice, or a file of --config-dir, may be the mistake
            config = hydra.compose(config_name)
        tree = OmegaConf.to_container(config, resolve=False)
    found: list[str] = []

    def walk(node: object, prefix: str) -> None:
        for key, value in node.items() if isinstance(node, dict) else ():
            found.append(f"{prefix}{key}")
            walk(value, f"{prefix}{key}.")

    walk(tree, "")
    return found


def _is_group(root: Path, override: str) -> bool:
    name, equals, _ = override.lstrip("+").partition("=")
    return bool(equals) and (root / name.partition("@")[0]).is_dir()
