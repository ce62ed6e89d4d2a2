"""`tsrnet VERB` does what `python -m tsrnet.VERB` does, in whatever process it ends up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tsrnet.__main__ import VERBS, listing

Command = Callable[..., Any]
MODULE = ("-m", "tsrnet")
SCRIPT = ("-c", "import sys; from tsrnet.__main__ import main; sys.argv[0] = 'tsrnet'; main()")
"""What the installed console command runs."""


def run(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, cwd=folder)


def is_there(session: int) -> bool:
    try:
        os.killpg(session, 0)
    except ProcessLookupError:
        return False
    return True


def test_every_module_that_is_a_command_has_its_line() -> None:
    folder = Path(__file__).parents[1] / "src" / "tsrnet"
    commands = {path.stem for path in folder.glob("*.py") if "\n    run_command(" in path.read_text()}
    assert set(VERBS) == commands
    lines = [line.split(maxsplit=1) for line in listing().splitlines() if line.startswith("  ")]
    assert [verb for verb, _ in lines] == list(VERBS)
    assert len({said for _, said in lines}) == len(VERBS)
    assert dict(lines)["report"] == "prints the table of a multirun and draws its picture again."


@pytest.mark.parametrize("start", [MODULE, SCRIPT], ids=["module", "script"])
def test_the_commands_are_listed(start: tuple[str, ...]) -> None:
    result = run(*start)
    assert (result.returncode, result.stdout, result.stderr) == (0, f"{listing()}\n", "")


@pytest.mark.parametrize(
    ("verb", "said"), [("trian", "did you mean train"), ("xyz", "need one of train, detect")]
)
def test_an_unknown_command_is_one_line(command: Command, verb: str, said: str) -> None:
    result = command(verb, "seed=1")
    assert result.mistake.startswith(f"error: {verb}: is not a command of tsrnet; {said}")
    assert result.out == ""


@pytest.fixture(scope="module")
def helps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, subprocess.CompletedProcess[str]]:
    """`python -m tsrnet.VERB --help` of every command in an empty folder, two at a time."""
    folder = tmp_path_factory.mktemp("empty")
    with ThreadPoolExecutor(2) as pool:
        calls = {
            verb: pool.submit(run, "-X", "importtime", "-m", f"tsrnet.{verb}", "--help", folder=folder)
            for verb in VERBS
        }
        found = {verb: call.result() for verb, call in calls.items()}
    assert not list(folder.iterdir())
    return found


@pytest.mark.parametrize("verb", VERBS)
def test_help_needs_none_of_the_large_libraries(
    helps: dict[str, subprocess.CompletedProcess[str]], verb: str
) -> None:
    result = helps[verb]
    assert result.returncode == 0, result.stderr
    assert f"python -m tsrnet.{verb}" in result.stdout
    imported = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines()}
    assert "hydra" in imported
    assert not imported & {"torch", "cv2", "matplotlib", "pandas", "wandb"}


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "--cfg", "job", "loss.alpha=7"),
        ("score", "protocol=mine", "predictions=a", "ground_truth=b"),
    ],
    ids=" ".join,
)
def test_answers_are_those_of_the_module(arguments: tuple[str, ...]) -> None:
    verb, *rest = arguments
    expected = run("-m", f"tsrnet.{verb}", *rest)
    result = run(*SCRIPT, verb, *rest)
    assert (result.returncode, result.stdout, result.stderr) == (
        expected.returncode,
        expected.stdout,
        expected.stderr,
    )
    assert "alpha: 7" in result.stdout or result.stderr.startswith("error: ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("check", "dataset.name=???"), "Missing mandatory value: dataset.name"),
        (("train", f"loss.classification={'x' * 5000}"), "loss.classification: got 'xxx"),
        (("score", "predictions=p", f"ground_truth={'g' * 5000}", "protocol=activitynet"), "ggg...ggg"),
        (("stages", "paths.stages=${nothing}"), "Interpolation key 'nothing' not found"),
    ],
    ids=["missing", "value", "file", "interpolation"],
)
def test_a_mistake_in_the_middle_is_one_line_too(
    command: Command, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    """Of 300 characters, without what Hydra says of the job before it."""
    mistake = command(*arguments, folder=tmp_path).mistake
    assert said in mistake
    assert len(mistake) <= 300
    assert not list(tmp_path.iterdir())


@pytest.fixture
def sweep(tmp_path: Path) -> tuple[str, ...]:
    """Arguments of a multirun of two jobs that list a stage and remove nothing."""
    stage = tmp_path / "stages" / "teacher-rgb-0123456789abcdef"
    stage.mkdir(parents=True)
    (stage / "identity.json").write_text("{}")
    older = "older_than_days=5,6"
    return ("stages", "-m", f"paths.stages={stage.parent}", older, f"hydra.sweep.dir={tmp_path}/sweep")


def test_a_multirun_runs_its_jobs(command: Command, sweep: tuple[str, ...]) -> None:
    result = command(*sweep)
    assert result.code == 0, result.err
    assert result.out.count("teacher-rgb-0123456789abcdef") == 2


@pytest.mark.process
def test_a_multirun_runs_its_jobs_in_processes(sweep: tuple[str, ...]) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    result = run(*SCRIPT, *sweep, "hydra/launcher=joblib")
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("teacher-rgb-0123456789abcdef") == 2


@pytest.mark.process
@pytest.mark.parametrize(
    ("number", "arguments"), [(signal.SIGINT, MODULE), (signal.SIGTERM, SCRIPT)], ids=["SIGINT", "SIGTERM"]
)
def test_a_signal_ends_it_and_its_workers(
    number: signal.Signals, arguments: tuple[str, ...], tmp_path: Path
) -> None:
    """While worker processes, which import the command anew, draw the demo's videos."""
    process = subprocess.Popen(
        [sys.executable, *arguments, "train", "logger=csv", f"paths.data={tmp_path}/data"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        start_new_session=True,
    )
    videos = tmp_path / "data" / "demo"
    try:
        while not list(videos.rglob("*.mp4")):
            assert process.poll() is None, process.communicate()
            time.sleep(0.1)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 128 + number
    assert said.splitlines()[-1] == "stopped; run the same command again to continue"
    assert "Traceback" not in said
    assert not (tmp_path / "runs").exists()  # nothing was written into the run folder
    deadline = time.monotonic() + 30
    while is_there(process.pid):  # the last of its workers may be about to end
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_folder_of_ones_own_adds_choices(command: Command, tmp_path: Path) -> None:
    """Groups and options beside those of the package, on top of which they are laid."""
    own = tmp_path / "my_conf"
    (own / "study").mkdir(parents=True)
    (own / "study" / "smooth.yaml").write_text("# @package _global_\nloss:\n  alpha: 7.0\n")
    (own / "optimizer").mkdir()
    (own / "optimizer" / "slow.yaml").write_text("defaults: [features]\nlearning_rate: 1.0e-5\n")
    chosen = ("--config-dir", "my_conf", "+study=smooth", "optimizer=slow", "--cfg", "job")
    result = command("train", *chosen, folder=tmp_path)
    assert result.code == 0, result.err
    assert "  alpha: 7.0\n" in result.out
    assert "  learning_rate: 1.0e-05\n  weight_decay: 0.01\n" in result.out
    assert "elsewhere" in command("train", "--config-dir", "elsewhere", folder=tmp_path).mistake


@pytest.mark.parametrize("arguments", [("tsrnet", "--help"), ("tsrnet.train", "--cfg", "job")])
def test_a_reader_that_leaves_early_is_no_mistake(arguments: tuple[str, ...]) -> None:
    """As `... | head -0`."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-m", *arguments], stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode in (128 + signal.SIGPIPE, -signal.SIGPIPE)
