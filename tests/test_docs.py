"""What the pages say is so: commands compose, links lead somewhere, help names every key."""

from __future__ import annotations

import functools
import itertools
import json
import re
import runpy
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hydra
import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser

from tsrnet.__main__ import VERBS
from tsrnet.core.cli import conf_folder
from tsrnet.pipeline.config import RunConfig
from tsrnet.pipeline.sections import dataset_of

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").glob("*.md")])
NOT_COMPOSED = {
    "tsrnet VERB": "a form of words",
    "tsrnet --help": "tests/test_main.py runs it",
    "tsrnet VERB --help": "tests/test_main.py runs it",
    "python -m tsrnet.VERB": "a form of words",
    "python -m tsrnet.reproduce table=<name>": "a table that the reader makes",
}
"""Commands of the pages that are not composed here, and why."""
PLUGINS = {"+sweep=optuna": "optuna", "submitit": "submitit", "joblib": "joblib"}
"""Hydra's, which a command needs that has this text."""
_COMMAND = re.compile(r"(?:python -m tsrnet|tsrnet |make )")
_INLINE = re.compile(r"`((?:python -m tsrnet|tsrnet |tsrnet\.\w+ )[^`]*)`")


def commands() -> Iterator[tuple[Path, str]]:
    """Every command in an indented or fenced block, or between backticks."""
    for page in PAGES:
        fenced = False
        for line in page.read_text().splitlines():
            fenced ^= line.startswith("```")
            text = line.strip().removeprefix("$ ").removeprefix(".venv/bin/")
            if (fenced or line.startswith("    ")) and _COMMAND.match(text):
                yield page, text
            else:
                yield from ((page, inline) for inline in _INLINE.findall(line))


COMMANDS = sorted({(text, page) for page, text in commands()})


def config_of(verb: str, overrides: list[str], more: str = "") -> Any:
    """The configuration of a command; `more` is a folder that is laid on top."""
    return compose(verb, tuple(overrides), more)


@functools.cache  # pages repeat commands
def compose(verb: str, overrides: tuple[str, ...], more: str) -> Any:
    folder = conf_folder() / verb
    root = folder if folder.is_dir() else conf_folder()
    path = [f"hydra.searchpath=[file://{more}]"] if more else []
    with hydra.initialize_config_dir(str(root), version_base="1.3"):
        return hydra.compose(verb, [*path, *overrides])


def one_of_each_sweep(overrides: list[str]) -> Iterator[list[str]]:
    """Overrides of the jobs that a multirun has."""
    parsed = OverridesParser.create().parse_overrides(overrides)
    choices = [
        [f"{one.get_key_element()}={value}" for value in one.sweep_string_iterator()]
        if one.is_sweep_override()
        else [one.input_line]
        for one in parsed
    ]
    yield from map(list, itertools.product(*choices))


def shown_folder(page: Path, folder: Path) -> str:
    """The files that a page shows below `my_conf/<group>/<option>.yaml:`, written into `folder`."""
    for name, block in re.findall(r"^    my_conf/(\S+):\n((?: {8}.*\n)+)", page.read_text(), re.MULTILINE):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(re.sub("^ {8}", "", block, flags=re.MULTILINE))
    return str(folder)


@pytest.mark.parametrize(("text", "page"), COMMANDS, ids=[text for text, _ in COMMANDS])
def test_a_command_composes(text: str, page: Path, tmp_path: Path) -> None:
    if text in NOT_COMPOSED:
        return
    for marker, plugin in PLUGINS.items():
        if marker in text:
            pytest.importorskip(
                f"hydra_plugins.hydra_{plugin}_{'sweeper' if plugin == 'optuna' else 'launcher'}"
            )
    words = shlex.split(text, comments=True)
    if words[0] == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert set(words[1:]) <= set(targets)
        return
    words = words[words.index("-m") + 1 :] if words[0] == "python" else words
    verb, *rest = words[1:] if words[0] == "tsrnet" else [words[0].removeprefix("tsrnet."), *words[1:]]
    assert verb in VERBS, f"{page}: {text}"
    own = ""
    if "--config-dir" in rest:
        place = rest.index("--config-dir")
        assert rest[place + 1] == "my_conf"
        own = shown_folder(page, tmp_path)
        del rest[place : place + 2]
    flags = ("-m", "--multirun", "--help", "--cfg", "job")
    for overrides in one_of_each_sweep([word for word in rest if word not in flags]):
        config = config_of(verb, overrides, own)
        if verb == "train":
            assert RunConfig.from_config(config).streams
        elif verb in ("check", "extract"):
            assert dataset_of(config, trimmed=True)
        elif verb == "reproduce":
            tables = conf_folder() / "reproduce" / "tables"
            names = (f"{config.table}.yaml", f"table{config.table}.yaml")
            assert any((tables / name).is_file() for name in names)
            ours = ("dataset=", "features=", "+train.")
            passed_on = [text.removeprefix("+train.") for text in overrides if text.startswith(ours)]
            assert RunConfig.from_config(config_of("train", passed_on)).streams


def test_what_is_not_composed_is_there() -> None:
    assert set(NOT_COMPOSED) <= {text for text, _ in COMMANDS}


def slugs(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    found = set()
    for heading in re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE):
        found.add(re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-"))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"^(    .*|```.*?^```)$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", prose)):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), f"{page.name}: {link}"
        if anchor:
            assert anchor in slugs(target), f"{page.name}: {link}"


def test_links_of_notebooks_lead_somewhere() -> None:
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        cells = json.loads(notebook.read_text())["cells"]
        prose = "".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
        for link in re.findall(r"\]\(([^)\s]+)\)", prose):
            assert (notebook.parent / link).exists(), f"{notebook.name}: {link}"


def test_files_that_pages_name_are_there() -> None:
    folders = ("src", "tests", "benchmarks", "docs")
    known = [f"/{path.relative_to(ROOT)}" for folder in folders for path in (ROOT / folder).rglob("*.py")]
    for page in PAGES:
        for name in re.findall(r"`([\w./]+\.py)`", page.read_text()):
            assert any(path.endswith(f"/{name}") for path in known), f"{page.name}: {name}"


def test_every_page_is_listed() -> None:
    listed = (ROOT / "docs" / "index.md").read_text()
    for page in (ROOT / "docs").rglob("*.md"):
        path = page.relative_to(ROOT / "docs").as_posix()
        assert path == "index.md" or f"({path})" in listed


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 200


def test_extras_that_pages_name_are_there() -> None:
    try:
        import tomllib
    except ImportError:  # Python 3.10
        tomllib = pytest.importorskip("tomli")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for page in PAGES:
        for name in re.findall(r"tsrnet\[(\w+)\]", page.read_text()):
            assert name in extras, f"{page.name}: {name}"
    table = (ROOT / "docs" / "install.md").read_text()
    assert [name for name in extras if f"| `tsrnet[{name}]`" not in table] == []
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["title"] == project["name"]


def test_the_page_of_the_configuration_is_that_of_conf() -> None:
    build = runpy.run_path(str(ROOT / "docs" / "build_configuration.py"))
    committed = (ROOT / "docs" / "configuration.md").read_text()
    assert committed == build["page"](), "python docs/build_configuration.py writes it anew"


def own_file(verb: str) -> dict[str, Any]:
    folder = conf_folder() / verb
    path = (folder if folder.is_dir() else conf_folder()) / f"{verb}.yaml"
    return dict(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize("verb", VERBS)
def test_help_names_every_key(verb: str) -> None:
    content = own_file(verb)
    said = content["hydra"]["help"]["template"]
    groups = {name for entry in content.get("defaults", ()) if isinstance(entry, dict) for name in entry}
    for key in content.keys() - groups - {"defaults", "hydra", "paths"}:
        assert re.search(rf"(?<![\w.]){key}\b[.\w]*=", said), f"{verb}: {key}"


@pytest.mark.parametrize("verb", VERBS)
def test_what_help_offers_composes(verb: str) -> None:
    said = own_file(verb)["hydra"]["help"]["template"]
    offered = []
    for line in said.splitlines():
        if line.startswith("  "):
            offered += itertools.takewhile(lambda word: "=" in word, line.split())
    assert offered or verb == "report"
    for text in offered:
        if text.startswith("+train."):
            config_of("train", [text.removeprefix("+train.")])
    own = [text for text in offered if not text.startswith("+train.")]
    choices = [text for text in own if (conf_folder() / text.lstrip("+").partition("=")[0]).is_dir()]
    for overrides in (*([choice] for choice in choices), [text for text in own if text not in choices]):
        config_of(verb, overrides)
