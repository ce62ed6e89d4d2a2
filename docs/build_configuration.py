"""Writes docs/configuration.md from the files of conf/: run it after a change there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from tsrnet.__main__ import VERBS

CONF = Path(__file__).parents[1] / "conf"
PAGE = Path(__file__).with_name("configuration.md")
HEAD = """\
# Commands and configuration

This page lists every command, key and choice. `python docs/build_configuration.py` makes it from the files
in `conf/`.

- `key=value` sets a key. `group=option` makes a choice.
- `${...}` is the value of another key. `null` means nothing.
- `--help` prints the keys that people change most. `--cfg job` prints the whole configuration of a command.
- `hydra.run.dir=DIR` gives the run folder another name.
- `--config-dir DIR` adds [files of your own](howto/own_dataset.md#options-of-your-own).
"""


@dataclass(frozen=True)
class Key:
    """A key with its dotted path, its default as it is written, and the comment behind it."""

    path: str
    default: str
    comment: str


@dataclass(frozen=True)
class File:
    """A file of conf/: the command in its first comment, the text of the other comments, and what it sets."""

    command: str
    about: str
    package: str | None  # "_global_"; None: that of its folder
    bases: tuple[str, ...]  # files that it starts from
    chosen: tuple[tuple[str, str], ...]  # group, option
    keys: tuple[Key, ...]

    @classmethod
    def read(cls, path: Path) -> File:
        text = path.read_text()
        lines = [line.removeprefix("# ") for line in text.splitlines() if line.startswith("# ")]
        package = lines.pop(0).split()[1] if lines[0].startswith("@package") else None
        defaults = yaml.safe_load(text).get("defaults", [])
        bases = tuple(entry for entry in defaults if isinstance(entry, str) and entry != "_self_")
        pairs = [pair for entry in defaults if isinstance(entry, dict) for pair in entry.items()]
        chosen = tuple((name, option) for name, option in pairs if "hydra/job_logging" not in name)
        keys = tuple(_keys(yaml.compose(text), text.splitlines()))
        return cls(lines[0], " ".join(lines[1:]), package, bases, chosen, keys)


def _keys(node: yaml.Node, lines: list[str], path: tuple[str, ...] = ()) -> Iterator[Key]:
    assert isinstance(node, yaml.MappingNode)
    for name, value in node.value:
        if name.value == "defaults" and not path:
            continue
        here = (*path, name.value)
        comment = lines[name.end_mark.line].partition(" # ")[2].strip()
        if isinstance(value, yaml.MappingNode) and not value.flow_style:
            if comment:
                yield Key(".".join(here), "", comment)
            yield from _keys(value, lines, here)
        else:
            first = lines[value.start_mark.line][value.start_mark.column :]
            yield Key(".".join(here), first.partition(" # ")[0].strip(), comment)


def page() -> str:
    """The whole page as Markdown."""
    first = [_group(name) for name, _ in File.read(CONF / "train.yaml").chosen]
    folders = sorted(
        {str(path.parent.relative_to(CONF)) for path in CONF.rglob("*/*.yaml")} - {*VERBS, "wandb"}
    )
    groups = sorted(folders, key=lambda name: (first + folders).index(name))
    parts = [HEAD, "## Commands\n", *map(_command, VERBS)]
    parts += ["## Groups\n", _contents(groups), *map(_options, groups)]
    return "\n".join(parts)


def _command(verb: str) -> str:
    path = CONF / verb / f"{verb}.yaml"  # a command with a folder of its own
    file = File.read(path if path.is_file() else CONF / f"{verb}.yaml")
    parts = [f"### {verb}\n", f"    {file.command}\n", _text(file.about) + "\n"]
    if file.bases:
        parts.append(f"It also takes all keys and groups of [{file.bases[0]}](#{file.bases[0]}).\n")
    if file.chosen:
        rows = [
            f"| {_link(_group(name))}{_place(name)} | {_option(option)} |" for name, option in file.chosen
        ]
        parts.append("\n".join(["| group | default |", "|---|---|", *rows]) + "\n")
    parts += _table([key for key in file.keys if not key.path.startswith("hydra.")])
    return "\n".join(parts)


def _contents(groups: list[str]) -> str:
    rows = []
    for group in groups:
        options = ", ".join(f"`{path.stem}`" for path in sorted((CONF / group).glob("*.yaml")))
        rows.append(f"| {_link(group)} | {options} |")
    return "\n".join(["| group | options |", "|---|---|", *rows]) + "\n"


def _options(group: str) -> str:
    parts = [f"### {group}\n"]
    for path in sorted((CONF / group).glob("*.yaml")):
        file = File.read(path)
        about = [_text(file.about)] if file.about else []
        about += [f"It starts from `{group}={base}`." for base in file.bases]
        if file.chosen:
            options = ", ".join(f"`{_group(name)}={option}`" for name, option in file.chosen)
            about.append(f"It also chooses {options}.")
        words = file.command.split()
        choice = next((w for w in words if w.lstrip("+") == f"{group}={path.stem}"), words[-1])
        parts += [f"#### `{choice}`\n", f"    {file.command}\n"]
        parts += [" ".join(about) + "\n"] if about else []
        whole = file.package == "_global_" or group == "reproduce/tables"  # no keys of a command
        parts += _table(file.keys, prefix="" if whole else f"{_key(group)}.")
    return "\n".join(parts)


def _group(name: str) -> str:
    """The group of an entry of a defaults list: `transfer` of `override /transfer@_global_.transfer`."""
    return name.removeprefix("override ").removeprefix("optional ").removeprefix("/").partition("@")[0]


def _key(group: str) -> str:
    """The key that holds the settings of a group: "video" of `reading@video`."""
    names = [name for name, _ in File.read(CONF / "train.yaml").chosen if _group(name) == group]
    return group if not names or group in names else names[0].partition("@")[2]


def _link(group: str) -> str:
    return f"[{group}](#{group.replace('/', '')})"


def _place(name: str) -> str:
    """The key that an entry like `optimizer@backbone.optimizer` fills, where it is not that of the group."""
    place = name.partition("@")[2]
    return f" at `{place}`" if place else ""


def _option(option: str) -> str:
    return "that of the dataset, if there is one" if "${" in option else f"`{option}`"


def _table(keys: Sequence[Key], *, prefix: str = "") -> list[str]:
    rows = [f"| `{prefix}{key.path}` | {_code(key.default)} | {_text(key.comment)} |" for key in keys]
    return ["\n".join(["| key | default | meaning |", "|---|---|---|", *rows]) + "\n"] if rows else []


def _code(text: str) -> str:
    return f"`{text}`".replace("|", r"\|") if text else ""


def _text(text: str) -> str:
    return text.replace("|", r"\|").replace("<", "&lt;").replace("*", r"\*")


if __name__ == "__main__":
    PAGE.write_text(page())
    print(f"written: {PAGE}")
