"""Reads tables of video-level labels from any spreadsheet, with or without a header."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tsrnet.core.errors import UserError
from tsrnet.core.reading import read_rows, read_text
from tsrnet.core.wording import listed
from tsrnet.datasets.records import VideoRecord
from tsrnet.datasets.subsets import SUBSETS

_NEED = "need video,label or video,label,subset"
_DELIMITERS = ("\t", ",", ";")
_HEADERS = (
    ["video", "videos", "video_id", "id", "file", "filename", "file_name", "path", "clip"],
    ["label", "labels", "class", "classes", "action", "category"],
    ["subset", "split", "set"],
)


@dataclass(frozen=True)
class LabelTable:
    """One record per row, with the row's name for the video as id, and remarks on what is odd.

    `has_header`: the first line names the columns. `has_subsets`: there is a column for subsets; without
    it all records are of the subset "training".
    """

    records: tuple[VideoRecord, ...]
    has_header: bool
    has_subsets: bool
    remarks: tuple[str, ...]


def read_label_table(path: Path) -> LabelTable:
    """The rows of a table with the columns video, label (or `a|b`) and, if wanted, subset.

    Columns are separated by commas, semicolons or tabs. A header may give them in another order, with
    other columns. Raises UserError that names the line for a row that is not like this.
    """
    rows = _split(path, read_text(path))
    header = rows[0][1]
    columns, remarks = _columns(path, header)
    if columns is None:
        width, body = len(_HEADERS), rows
        columns = tuple(range(max(len(cells) for _, cells in rows)))[:width]
    else:
        width, body = len(header), rows[1:]
    if not body:
        raise UserError(f"{path}: got no rows below the header {listed(header)}; {_NEED}")
    for line, cells in body:
        if len(cells) > width:
            raise UserError(f"{path}, line {line}: got {listed(cells)}; {_NEED}; quote names with commas")
    records = []
    for line, cells in body:
        where = f"{path}, line {line}"
        video, label, *subset = ((cells[i] if i < len(cells) else "") for i in columns)
        if not video:
            raise UserError(f"{where}: got no video in {listed(cells)}; {_NEED}")
        labels = [part.strip() for part in label.split("|")] if label else []
        if not all(labels):
            raise UserError(f"{where}: got label {label!r}, need labels separated by |")
        if subset and subset[0].lower() not in SUBSETS:
            raise UserError(f"{where}: got subset {subset[0]!r}, need one of {', '.join(SUBSETS)}")
        part = subset[0] if subset else "training"
        records.append(VideoRecord(video, part, None, tuple(sorted(set(labels))), ()))
    return LabelTable(tuple(records), body is not rows, len(columns) > 2, remarks)


def _split(path: Path, text: str) -> list[tuple[int, list[str]]]:
    """(line, cells) of the rows that are not empty, by the delimiter that gives most rows two cells."""
    best: list[tuple[int, list[str]]] = []
    most, problem = 0, f"{path}: got no row with two columns; {_NEED}"
    for delimiter in _DELIMITERS:
        rows = []
        try:
            for line, row in read_rows(path, text, delimiter=delimiter, skip_spaces=True):
                cells = [cell.strip() for cell in row]
                while cells and not cells[-1]:
                    cells.pop()
                if cells:
                    rows.append((line, cells))
        except UserError as error:  # if the delimiter is right, the quotes are wrong
            problem = f"{error}, {_NEED}"
            continue
        if (count := sum(len(cells) > 1 for _, cells in rows)) > most:
            best, most = rows, count
    if not best:
        raise UserError(problem)
    return best


def _columns(path: Path, cells: Sequence[str]) -> tuple[tuple[int, ...] | None, tuple[str, ...]]:
    """The columns of video, label and subset by the header; None if the first row is not a header."""
    plain = [cell.lower().replace(" ", "_") for cell in cells]
    video, label, subset = (
        next((i for i, name in enumerate(plain) if name in names), None) for names in _HEADERS
    )
    if video is None and label is None:
        return None, ()
    if video is None or label is None:
        raise UserError(f"{path}, line 1: got the header {listed(cells)}; {_NEED}")
    columns = (video, label) if subset is None else (video, label, subset)
    others = [cell for i, cell in enumerate(cells) if i not in columns]
    return columns, (f"columns that are not read: {listed(others)}.",) if others else ()
