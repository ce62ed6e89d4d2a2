"""Reads annotation files as text, JSON or a table; an unreadable file is an error in one line."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tsrnet.core.errors import UserError


def read_text(path: Path) -> str:
    """The text of an annotation file; UserError when it is missing or no text."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise UserError(
            f"{path}: there is no such file; put it there or correct the path in the settings"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path}: is not readable text ({error}); need UTF-8 (in a spreadsheet, save it as CSV UTF-8)"
        ) from error


def read_json(path: Path) -> Any:
    """What a JSON file holds; UserError when it is no JSON or a key (a video) occurs twice."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        entries: dict[str, Any] = {}
        for key, value in pairs:
            if key in entries:
                raise UserError(f"{path}: {key!r} is listed twice, need each key once; remove one of the two")
            entries[key] = value
        return entries

    text = read_text(path)
    try:
        return json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: is not a JSON file ({error}); get it again") from error


def read_table(path: Path, columns: Iterable[str]) -> list[dict[str, str]]:
    """The rows of a CSV file with a header; UserError when one of `columns` or a value lacks."""
    rows = csv.DictReader(io.StringIO(read_text(path)))
    if lacking := [name for name in columns if name not in (rows.fieldnames or ())]:
        raise UserError(f"{path}: got columns {rows.fieldnames}, need {lacking}; add them to the first line")
    table = []
    for row in rows:
        if not all(row[name] for name in columns):
            raise UserError(f"{path}, line {rows.line_num}: a value is missing; need {list(columns)}")
        table.append(row)
    return table
