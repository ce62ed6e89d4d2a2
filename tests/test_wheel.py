"""The wheel holds all that runs, and runs from another folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

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
    assert {
        "tsrnet/py.typed",
        "tsrnet/reporting/web/page.html",
        "tsrnet/synthetic/data/statistics.json",
    } <= names


def test_it_is_small(wheel: Path) -> None:
    assert wheel.stat().st_size < 2e6


def build(folder: Path, what: str) -> str:
    """The version of a wheel or sdist that is built in a folder."""
    code = f"from hatchling import build; print(build.build_{what}('dist'))"
    options: dict[str, Any] = {"cwd": folder, "capture_output": True, "text": True, "timeout": 120}
    result = subprocess.run([sys.executable, "-c", code], check=True, **options)
    return re.split("-py3|.tar", result.stdout.split()[-1].removeprefix("tsrnet-"))[0]


def unpack(archive: Path) -> Path:
    """The one folder that an archive holds."""
    shutil.unpack_archive(archive, archive.parent / "unpacked", filter="data")
    return next((archive.parent / "unpacked").iterdir())


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_the_version_is_that_of_the_tag(tmp_path: Path) -> None:
    """In a repository, in archives made of it, and in a copy without git."""
    pytest.importorskip("hatch_vcs")
    here = tmp_path / "clone"
    for name in ("src", "conf"):
        shutil.copytree(ROOT / name, here / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (
        "README.md",
        "LICENSE",
        "pyproject.toml",
        ".gitignore",
        ".gitattributes",
        ".git_archival.txt",
    ):
        shutil.copy(ROOT / name, here / name)
    assert build(here, "wheel") == "0.0.0"

    def git(*arguments: str) -> None:
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *arguments]
        subprocess.run(command, cwd=here, check=True, capture_output=True, timeout=60)

    git("init")
    git("add", ".")
    git("commit", "--message", "a")
    assert build(here, "wheel").startswith("0.0.1.dev1+g")  # a clone without tags
    git("tag", "v1.2.3")
    assert build(here, "wheel") == "1.2.3"
    assert build(here, "sdist") == "1.2.3"
    (tmp_path / "git").mkdir()
    git("archive", "--prefix=download/", "--output=../git/a.tar.gz", "HEAD")
    for archive in (here / "dist" / "tsrnet-1.2.3.tar.gz", tmp_path / "git" / "a.tar.gz"):
        assert build(unpack(archive), "wheel") == "1.2.3"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-m", "tsrnet.train", "--cfg", "job", "dataset=thumos14"), "thumos14-${dataset.test_list}"),
        (("-m", "tsrnet.reproduce", "--cfg", "job"), "output: runs/reproduce"),
        (("-c", "import tsrnet; print(tsrnet.__file__)"), "site/tsrnet/__init__.py"),
        (("-c", "import tsrnet; print('version', tsrnet.__version__)"), "version "),
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
