"""The wheel holds all that runs, and runs from another folder."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.process
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--wheel-dir", str(folder))
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(ROOT)], check=True, timeout=300)
    (path,) = folder.glob("tsrnet-*.whl")
    return path


def tracked(folder: str) -> set[str]:
    """Files below a folder of the checkout, but for what Python leaves there."""
    found = (
        path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts
    )
    return {str(path.relative_to(ROOT / folder)) for path in found}


def test_every_file_of_the_package_and_its_configuration_is_in_it(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        (entry_points,) = (name for name in archive.namelist() if name.endswith("/entry_points.txt"))
        assert "tsrnet = tsrnet.__main__:main" in archive.read(entry_points).decode().splitlines()
    package = {f"tsrnet/{name}" for name in tracked("src/tsrnet")}
    assert names == package | {f"tsrnet/conf/{name}" for name in tracked("conf")}
    assert {"tsrnet/py.typed", "tsrnet/reporting/web/page.html", "tsrnet/synthetic/data/statistics.json"} <= names


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-m", "tsrnet.train", "--cfg", "job", "dataset=thumos14"), "thumos14-${dataset.test_list}"),
        (("-m", "tsrnet.reproduce", "--cfg", "job"), "output: runs/reproduce"),
        (("-c", "import tsrnet; print(tsrnet.__file__)"), "site/tsrnet/__init__.py"),
    ],
    ids=lambda value: " ".join(value[1:]) if isinstance(value, tuple) else "",
)
def test_it_runs_from_another_folder(
    wheel: Path, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    (tmp_path / "elsewhere").mkdir()
    result = subprocess.run(
        [sys.executable, *arguments],
        cwd=tmp_path / "elsewhere",
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    assert said in result.stdout
    assert not list((tmp_path / "elsewhere").iterdir())
