"""Every file of conf/ composes to valid settings, by the command in its first comment."""

from __future__ import annotations

import re
from pathlib import Path

import hydra
import pytest

import tsrnet
from tsrnet.core.cli import conf_folder
from tsrnet.pipeline.config import RunConfig, dataset_of

FILES = sorted(path.relative_to(conf_folder()) for path in conf_folder().rglob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=str)
def test_the_command_of_the_first_comment_composes(file: Path) -> None:
    lines = (conf_folder() / file).read_text().splitlines()
    first = next(line for line in lines if not line.startswith("# @"))
    match = re.fullmatch(r"# python -m tsrnet\.(\w+)((?: \+?[\w.]+=\S+)*)", first)
    assert match, f"{file}: it begins with {first!r}, need a command"
    overrides = match.group(2).split()
    root = conf_folder()
    if file.parts[:2] == ("reproduce", "tables"):  # tests/test_reproduce.py composes their rows
        assert overrides == [f"table={file.stem.removeprefix('table')}"]
        return
    if match.group(1) == file.parts[0]:  # a command with a folder of its own
        root = root / file.parts[0]
    elif len(file.parts) == 2:  # a choice of a group: the command makes it
        assert f"{file.parts[0]}={file.stem}" in [override.lstrip("+") for override in overrides]
    with hydra.initialize_config_dir(str(root), version_base="1.3"):
        config = hydra.compose(match.group(1), overrides)
    if match.group(1) == "train":
        assert RunConfig.from_config(config).streams
    elif match.group(1) in ("check", "extract"):
        assert dataset_of(config).name
    else:  # it has no dataset; its own tests run it
        assert (Path(tsrnet.__file__).parent / f"{match.group(1)}.py").is_file()
