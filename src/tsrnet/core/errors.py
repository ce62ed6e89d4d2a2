"""Exceptions that end a command with one line, and failures that do not end it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

MAX_LINE = 300
"""Characters of a message."""
_SHORTEST = 60


class UserError(Exception):
    """One line that a command prints before it exits: what was got, what is needed, what to do."""

    exit_code = 2


class FailedError(UserError):
    """The command did what it could, and too much of it failed."""

    exit_code = 1


@contextmanager
def optional(what: str) -> Iterator[None]:
    """Print a line for an exception inside. Only a UserError, such as for a full disk, is passed on."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        print(one_line(f"{what}: could not be made ({reason})"), file=sys.stderr, flush=True)


def one_line(text: str, limit: int = MAX_LINE) -> str:
    """The text in one line of at most `limit` characters; the longest words are cut in the middle."""
    line = "".join(char if char.isprintable() else "?" for char in " ".join(text.split()))
    while len(line) > limit:
        longest = max(line.split(" "), key=len)
        if len(longest) <= _SHORTEST:
            return _cut(line, limit)
        line = line.replace(longest, _cut(longest, max(_SHORTEST, len(longest) - len(line) + limit)), 1)
    return line


def _cut(text: str, length: int) -> str:
    """The beginning and the end of a text, together of this length."""
    tail = (length - 3) // 2
    return f"{text[: length - 3 - tail]}...{text[-tail:]}"
