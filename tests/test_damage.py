"""Finished work that something has damaged is made again, with a line; figures never change silently."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tsrnet import load
from tsrnet.core.errors import UserError

Command = Callable[..., Any]
DAMAGE: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "activations": ("predictions-rgb-*/0.safetensors", lambda content: content[: len(content) // 12 * 6]),
    "predictions' index": ("predictions-flow-*/index.json", lambda content: content[:-50]),
    "weights": ("tsrnet-flow-*/weights.pt", lambda c: c[: len(c) // 2] + bytes(1) + c[len(c) // 2 + 1 :]),
    "identity": ("tsrnet-rgb-*/identity.json", lambda content: b"null"),
    "backbone": ("backbone-rgb-*/weights.pt", lambda content: content[:1000]),
}


@pytest.fixture
def stages(prepared: Path, linked: Callable[..., Path], tmp_path: Path) -> Path:
    return linked(prepared / "data", tmp_path / "data") / "stages"


def damage(path: Path, change: Callable[[bytes], bytes]) -> Path:
    content = path.read_bytes()
    path.unlink()  # it may be a link
    path.write_bytes(change(content))
    assert path.read_bytes() != content
    return path


def snapshot(*folders: Path) -> dict[Path, tuple[int, int]]:
    files = (path for folder in folders for path in (folder, *folder.rglob("*")))
    return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in files}


def results(folder: Path) -> list[Any]:
    return [json.loads((folder / name).read_text()) for name in ("metrics.json", "detections.json")]


def test_all_damage_is_said_and_made_good(
    command: Command, tiny: tuple[str, ...], prepared: Path, stages: Path
) -> None:
    run = stages.parent.parent / "run"
    overrides = (*tiny, f"paths.data={stages.parent}", f"hydra.run.dir={run}")
    damaged = [damage(next(stages.glob(place)), change) for place, change in DAMAGE.values()]
    result = command("train", *overrides)
    assert result.code == 0, result.err
    said = [line for line in result.err.splitlines() if line.endswith("; made again")]
    assert {line.split(": ")[0] for line in said} == set(map(str, damaged))
    assert results(run) == results(prepared / "run")
    for one in ("rgb.safetensors", "flow.safetensors", "backbone_rgb.safetensors"):
        assert (run / "model" / one).read_bytes() == (prepared / "run" / "model" / one).read_bytes()
    again = command("train", *overrides)
    assert again.code == 0
    assert "made again" not in again.err


def stranger(prepared: Path, stages: Path) -> Path:
    """A run whose config.yaml names the folders of `stages`."""
    run = stages.parent.parent / "stranger"
    shutil.copytree(prepared / "run", run)
    config = (run / "config.yaml").read_text().replace(str(prepared / "data"), str(stages.parent))
    (run / "config.yaml").write_text(config)
    return run


def test_evaluate_writes_only_into_its_own_folder(
    command: Command, prepared: Path, stages: Path, tmp_path: Path
) -> None:
    """Also where predictions are damaged or gone: it makes its own."""
    run, out = stranger(prepared, stages), tmp_path / "out"
    damage(next(stages.glob("predictions-rgb-*/0.safetensors")), lambda content: content[:-6])
    shutil.rmtree(next(stages.glob("predictions-flow-*")))
    before = snapshot(stages.parent, run)
    result = command("evaluate", f"run={run}", f"hydra.run.dir={out}")
    assert result.code == 0, result.err
    assert results(out) == results(prepared / "run")
    assert snapshot(stages.parent, run) == before
    assert len(list((out / "stages").glob("predictions-*"))) == 2


@pytest.mark.parametrize("lost", ["stages/tsrnet-rgb-*", "features/demo_0_64", "stages/tsrnet-*/weights.pt"])
def test_evaluate_computes_nothing_that_the_run_does_not_hold(
    command: Command, prepared: Path, stages: Path, tmp_path: Path, lost: str
) -> None:
    run = stranger(prepared, stages)
    for path in stages.parent.glob(lost):
        shutil.rmtree(path) if path.is_dir() else damage(path, lambda content: content[:-1])
    shutil.rmtree(stages.parent / "demo")
    before = snapshot(stages.parent, run)
    result = command("evaluate", f"run={run}", folder=tmp_path)
    assert str(stages.parent) in result.mistake
    assert snapshot(stages.parent, run) == before
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9) if i else 'x'}]\n" for i in range(9)),
            "alias",
        ),
        ("secret: ${oc.env:HOME}\n", r"${"),
        ("a: [" * 20_000, "config.yaml"),
    ],
)
def test_a_configuration_that_computes_is_refused(
    command: Command, prepared: Path, tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "run").mkdir()
    config = (prepared / "run" / "config.yaml").read_text()
    (tmp_path / "run" / "config.yaml").write_text(text + config)
    mistake = command("evaluate", "run=run", folder=tmp_path).mistake
    assert said in mistake
    assert "config.yaml" in mistake


@pytest.mark.parametrize("name", ["rgb.safetensors", "backbone_flow.safetensors"])
def test_a_damaged_model_is_not_used(prepared: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(prepared / "run" / "model", tmp_path / "model")
    damage(tmp_path / "model" / name, lambda c: c[:-2000] + bytes([c[-2000] ^ 1]) + c[-1999:])
    with pytest.raises(
        UserError, match=rf"{name}: is damaged \(its checksum differs\); copy the folder again"
    ):
        load(tmp_path)


def test_the_tests_that_the_page_names_are_there() -> None:
    tests = Path(__file__).parent
    page = (tests.parent / "docs" / "promises.md").read_text()
    named = re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", page)
    assert len(named) > 15
    for file, test in named:
        assert f"def {test or 'test_'}" in (tests / file).read_text(), (file, test)
