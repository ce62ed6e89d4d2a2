"""The one place where the bytes of a file become values. Every failure is a UserError that names the file."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf
from omegaconf._utils import get_yaml_loader

from tsrnet.core.errors import UserError
from tsrnet.core.settings import settings_of

T = TypeVar("T")
_MOST_DIGITS = 300
"""Digits of a whole number: with more it does not fit into a float."""
_LARGEST = 4_000_000_000
"""Bytes of a text; the largest submissions to ActivityNet have 0.5 GB."""
_DEEPEST = 50
"""Levels of lists and mappings in a file."""
_LONGEST_YAML = 100_000
"""Characters; a run's config.yaml has 5,000."""


@contextmanager
def reading(path: str | Path, need: str, *, do: str = "get it again") -> Iterator[None]:
    """Turn any exception inside, except a UserError, into a UserError that names the file.

    Args:
        path: the file.
        need: what it must hold, for example "a JSON file".
        do: what the user can do.
    """
    try:
        yield
    except UserError:
        raise
    except FileNotFoundError as error:
        raise UserError(
            f"{path}: there is no such file; put it there or correct the path in the settings"
        ) from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({brief(error)}); {do}") from error
    except Exception as error:  # parsers have no common base: a damaged file may raise anything
        raise UserError(f"{path}: is not {need} ({brief(error)}); {do}") from error


@contextmanager
def within(path: str | Path) -> Iterator[None]:
    """Turn any exception from the content of a file into a UserError that names the file."""
    with reading(path, "such a file"):
        try:
            yield
        except UserError as error:
            raise error if str(path) in str(error) else UserError(f"{path}: {error}") from error


def brief(error: BaseException) -> str:
    """The message of a library's exception in one line of at most 160 characters."""
    text = " ".join(str(getattr(error, "strerror", None) or error).split())
    text = "".join(char if char.isprintable() else "?" for char in text[:160])
    named = isinstance(error, OSError | ValueError | RuntimeError) and text
    return text if named else f"{type(error).__name__}: {text}".removesuffix(": ")


def read_text(path: Path) -> str:
    """The text of a file; UserError when it is missing, not UTF-8 or larger than memory may be."""
    with reading(path, "readable text", do="need UTF-8 (in a spreadsheet, save it as CSV UTF-8)"):
        if (size := path.stat().st_size) > _LARGEST:
            raise ValueError(f"{size / 1e9:.1f} GB")
        return path.read_text(encoding="utf-8-sig")


def read_json(path: Path, *, entry: Callable[[dict[str, Any]], Any] = lambda values: values) -> Any:
    """The content of a JSON file.

    `entry` changes each object as soon as it is read. Raises UserError for a key that occurs twice, for
    invalid text (half of a surrogate pair), and for whole numbers of more than 300 digits.
    """

    return parse_json(read_text(path), path, entry=entry)


def parse_json(
    text: str, path: Path, *, entry: Callable[[dict[str, Any]], Any] = lambda values: values
) -> Any:
    """Parse the JSON text of a file; see `read_json`."""

    def unique(pairs: list[tuple[str, Any]]) -> Any:
        values = dict(pairs)
        if len(values) < len(pairs):
            ((twice, _),) = Counter(key for key, _ in pairs).most_common(1)
            raise UserError(
                f"{path}: {twice!r:.80} is listed twice, need each key once; remove one of the two"
            )
        return entry(values)

    with reading(path, "a JSON file"):
        content = json.loads(text, object_pairs_hook=unique, parse_int=_whole)
        if re.search(r"\\u[dD][89a-fA-F]", text):
            json.dumps(content, ensure_ascii=False).encode()
        _check_depth(content)
        return content


def _check_depth(content: Any) -> None:
    """Raise ValueError for data that is nested too deeply for recursive functions."""
    level: list[Any] = [[content]]
    for _ in range(_DEEPEST):
        level = [
            one
            for outer in level
            for one in (outer.values() if type(outer) is dict else outer)
            if type(one) in (dict, list)
        ]
    if level:
        raise ValueError(f"data in more than {_DEEPEST} levels")


def _whole(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"a number of {len(digits):,} digits")
    return int(digits)


def read_json_as(kind: type[T], path: Path) -> T:
    """Read a JSON file and check it as `settings_of` does: a dataclass, `dict[str, float]` and so on."""
    content: T = as_kind(kind, read_json(path), path)
    return content


def as_kind(kind: Any, content: Any, path: str | Path) -> Any:
    """The content of a file as a value of the type `kind`; UserError that names the file."""
    with within(path):
        return settings_of(kind, content, where="")


def read_yaml(path: Path) -> Any:
    """Read a YAML file as plain data; UserError for an alias, which may stand for any amount of data."""
    text = read_text(path)
    with reading(path, "a YAML file"):
        if len(text) > _LONGEST_YAML:
            raise ValueError(f"{len(text):,} characters")
        loader = get_yaml_loader()(text)
        loader.compose_node = _without_alias(loader)
        content = loader.get_single_data()
        _check_depth(content)
        return content


def _without_alias(loader: Any) -> Callable[[Any, Any], Any]:
    import yaml

    compose = loader.compose_node

    def compose_node(parent: Any, index: Any) -> Any:
        if loader.check_event(yaml.events.AliasEvent):
            raise ValueError("it has an alias, *name")
        return compose(parent, index)

    return compose_node


def as_config(content: Any, path: str | Path) -> DictConfig:
    """The content of a file as a configuration of fixed values.

    Raises UserError for anything but a mapping, and for ${...}, which would be computed or read from the
    environment on use.
    """
    with reading(path, "the configuration of a run", do="give the folder of a run of tsrnet.train"):
        if not isinstance(content, dict):
            raise ValueError(f"it holds a {type(content).__name__}")
        if any("${" in text or text == "???" for text in _texts(content)):
            raise ValueError("it has ${...} or ??? for a value")
        return OmegaConf.create(content)


def _texts(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict | list | tuple):
        for one in content:
            yield from _texts(one)
        if isinstance(content, dict):
            yield from _texts(list(content.values()))


def read_rows(
    path: str | Path, text: str, *, delimiter: str = ",", skip_spaces: bool = False
) -> list[tuple[int, list[str]]]:
    """(line, cells) of the non-empty rows of a CSV text.

    Raises UserError that names `path` and the line for a quote that is not closed or a cell of several lines,
    which would hide the rows in it.
    """
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, skipinitialspace=skip_spaces, strict=True)
    rows, line = [], 1
    try:
        for cells in reader:
            if any("\n" in cell or "\r" in cell for cell in cells):
                raise csv.Error("a cell of several lines")
            line = reader.line_num + 1
            if any(cells):
                rows.append((reader.line_num, cells))
    except csv.Error as error:
        raise UserError(f"{path}, line {line}: {error}; close the quotes") from error
    return rows


def read_table(path: Path, columns: Iterable[str]) -> list[dict[str, str]]:
    """The rows of a CSV file with a header, each with all of `columns`. UserError where one is missing."""
    return [row for _, row in table_rows(path, read_text(path), columns)]


def table_rows(
    path: str | Path, text: str, columns: Iterable[str], *, empty: bool = False
) -> list[tuple[int, dict[str, str]]]:
    """(line, row) of a CSV text with a header.

    Raises UserError that names `path` and the line for a column of `columns` that is missing or occurs twice,
    for a row with more cells than the header and, without `empty`, for a missing value in one of `columns`.
    """
    needed = list(columns)
    rows = read_rows(path, text)
    header = rows[0][1] if rows else []
    if wrong := [name for name in needed if header.count(name) != 1]:
        raise UserError(
            f"{path}: got columns {header!r:.120}, need each of {', '.join(wrong)} once in the first line"
        )
    table = []
    for line, cells in rows[1:]:
        if len(cells) > len(header):
            raise UserError(
                f"{path}, line {line}: got {len(cells)} cells, need {len(header)}; quote names with commas"
            )
        row = dict(zip(header, [*cells, *[""] * (len(header) - len(cells))], strict=True))
        if lacking := [name for name in needed if not empty and not row[name]]:
            raise UserError(f"{path}, line {line}: a value is missing; need {', '.join(lacking)}")
        table.append((line, row))
    return table
