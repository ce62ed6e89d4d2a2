"""Stages are found by what they depend on and are finished as a whole or not at all."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tsrnet.core.errors import UserError
from tsrnet.core.files import remove_parts_of_the_dead
from tsrnet.core.weights import load_weights
from tsrnet.pipeline.stages import Stage, stored_stages


def test_the_key_follows_from_the_identity_alone(tmp_path: Path) -> None:
    one = Stage(tmp_path, "teacher", {"seed": 0, "loss": {"alpha": 1.0}})
    assert one.key == Stage(tmp_path / "x", "teacher", {"loss": {"alpha": 1.0}, "seed": 0}).key
    assert one.key != Stage(tmp_path, "teacher", {"seed": 0, "loss": {"alpha": 2.0}}).key


def test_a_stage_is_finished_when_its_index_is_there(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "teacher", {"seed": 0})
    stage.begin()
    assert "not finished" in str(stage.problem())
    for name in ("last.ckpt", "before.ckpt"):
        (stage.folder / name).write_bytes(b"of a training that is done")
    module = torch.nn.Linear(2, 1)
    stage.finish(module.state_dict())
    assert stage.problem() is None
    assert {path.name for path in stage.folder.iterdir()} == {"identity.json", "index.json", "weights.pt"}
    loaded = torch.nn.Linear(2, 1)
    load_weights(loaded, stage.weights, need="a line")
    torch.testing.assert_close(loaded.state_dict(), module.state_dict(), rtol=0, atol=0)


def test_weights_that_execute_something_are_not_loaded(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "executed",))

    stage = Stage(tmp_path, "teacher", {"seed": 0})
    stage.begin()
    torch.save({"a": Evil()}, stage.weights)
    with pytest.raises(UserError, match=r"weights\.pt: .*weights of a line"):
        load_weights(torch.nn.Linear(2, 1), stage.weights, need="a line")
    assert not (tmp_path / "executed").exists()


def damaged(name: str, change: Callable[[bytes], bytes], root: Path) -> Stage:
    stage = Stage(root, "teacher", {"seed": 0})
    stage.begin()
    stage.finish({"a": torch.arange(100.0)})
    path = stage.folder / name
    path.write_bytes(change(path.read_bytes()))
    return stage


CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "half": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "longer": lambda content: content + b"0",
    "bit": lambda content: content[:8] + bytes([content[8] ^ 1]) + content[9:],
    "deep": lambda content: b"[" * 100_000,
    "{}": lambda content: b"{}",
    "number": lambda content: b'{"files": 1}',
    "nothing": lambda content: b'{"files": {}}',
    "hostile": lambda content: b'{"files": {"/dev/zero": {"bytes": 0}, "weights.pt": []}}',
}


@pytest.mark.parametrize("name", ["weights.pt", "identity.json", "index.json"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_damaged_stage_is_made_again_and_said_to_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, change: str
) -> None:
    stage = damaged(name, CHANGES[change], tmp_path)
    with stage.work() as needed:
        assert needed
        assert not stage.folder.exists()
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"{stage.folder}/")
    assert said.endswith("; made again")


def test_a_file_that_a_stage_lacks_is_damage(tmp_path: Path) -> None:
    stage = damaged("weights.pt", bytes, tmp_path)
    stage.weights.unlink()
    assert stage.problem() == f"{stage.weights}: is missing"


def test_stored_stages_are_listed_and_nothing_is_changed(tmp_path: Path) -> None:
    """Newest last. What a killed process began to write is no stage; nor are folders of others, or links."""
    for seed, finish in ((0, True), (1, False)):
        stage = Stage(tmp_path, "teacher", {"seed": seed}, ("jump", "run"))
        stage.begin()
        if finish:
            stage.finish({"a": torch.zeros(2)})
        os.utime(stage.folder / "identity.json", (1e9 + seed, 1e9 + seed))
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True
    )
    part = tmp_path / f".tsrnet-part.{platform.node()}.{dead.stdout.strip()}.0123abcd"
    part.mkdir()
    (part / "index.json").write_text("[]")
    (tmp_path / "myphotos-of-0123456789abcdef").mkdir()
    (tmp_path / "myphotos-of-0123456789abcdef" / "1.jpg").write_bytes(b"photo")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "identity.json").write_bytes(b"{}")
    (tmp_path / "teacher-link-0123456789abcdef").symlink_to(Stage(tmp_path, "teacher", {"seed": 0}).folder)
    before = sorted(tmp_path.rglob("*"))
    found = stored_stages(tmp_path)
    assert [(one.key, one.finished) for one in found] == [
        (Stage(tmp_path, "teacher", {"seed": 1}).key, False),
        (Stage(tmp_path, "teacher", {"seed": 0}).key, True),
    ]
    assert sorted(tmp_path.rglob("*")) == before
    remove_parts_of_the_dead(tmp_path)
    assert not part.exists()
    identity = json.loads((tmp_path / found[0].key / "identity.json").read_text())
    assert identity == {"seed": 1, "classes": ["jump", "run"]}


_WORK = """
import sys
from pathlib import Path
import torch
from tsrnet.pipeline.stages import Stage
stage = Stage(Path(sys.argv[1]), "teacher", {"seed": 0})
with stage.work() as needed:
    print("needed" if needed else "found", flush=True)
    if needed:
        stage.begin()
        sys.stdin.readline()  # until the test says go on
        stage.finish({"a": torch.zeros(1)})
"""


def start(root: Path) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", _WORK, str(root)]
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_of_two_processes_one_computes_a_stage_and_the_other_takes_it(tmp_path: Path) -> None:
    one = start(tmp_path)
    assert first_line(one) == "needed"
    other = start(tmp_path)
    assert other.stderr is not None
    assert "locked by another process; waiting" in other.stderr.readline()
    one.communicate("go on\n", timeout=60)
    assert one.returncode == 0
    assert other.communicate("go on\n", timeout=60)[0].strip() == "found"


def test_a_process_that_dies_does_not_keep_a_stage(tmp_path: Path) -> None:
    one = start(tmp_path)
    assert first_line(one) == "needed"
    other = start(tmp_path)
    assert other.stderr is not None
    assert "waiting" in other.stderr.readline()
    one.kill()
    one.communicate()
    out, _ = other.communicate(timeout=60)
    assert out.strip() == "needed"
    assert Stage(tmp_path, "teacher", {"seed": 0}).problem() is None
