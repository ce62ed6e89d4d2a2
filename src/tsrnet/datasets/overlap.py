"""Which classes of an untrimmed and of a trimmed dataset show the same action."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tsrnet.core.errors import UserError
from tsrnet.core.reading import read_table, read_text
from tsrnet.datasets.records import check_label

_COLUMNS = ("untrimmed", "trimmed")
_OTHER_COLUMNS = ("activitynet_label", "ucf101_label")


def shipped_overlap(name: str) -> Path | None:
    """The list with UCF101 that comes with the package ("activitynet", "thumos14"), or None."""
    path = Path(__file__).parent / "data" / f"overlap_{name}_ucf101.csv"
    return path if name in ("activitynet", "thumos14") else None


def read_overlap(path: Path, *, classes: Sequence[str], trimmed_classes: Sequence[str]) -> dict[str, str]:
    """Untrimmed label -> trimmed label of a CSV file with the columns `untrimmed,trimmed`.

    `activitynet_label,ucf101_label` are accepted, too; other columns are ignored. Raises UserError for a
    file without pairs, a label that is not in `classes` or `trimmed_classes`, an untrimmed label twice.
    """
    header = read_text(path).partition("\n")[0]
    columns = _OTHER_COLUMNS if _OTHER_COLUMNS[0] in header else _COLUMNS
    pairs: dict[str, str] = {}
    for row in read_table(path, columns):
        untrimmed, trimmed = (row[name] for name in columns)
        where = f"{path}, pair {untrimmed!r}, {trimmed!r}"
        check_label(untrimmed, classes, where=where)
        check_label(trimmed, trimmed_classes, where=where)
        if untrimmed in pairs:
            raise UserError(f"{where}: {untrimmed!r} is listed twice, need each once; remove one of the two")
        pairs[untrimmed] = trimmed
    if not pairs:
        raise UserError(f"{path}: contains no pairs; need lines with {','.join(columns)}")
    return pairs
