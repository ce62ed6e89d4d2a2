"""How messages name and count things."""

from __future__ import annotations

from collections.abc import Sequence

from tsrnet.core.settings import shown


def listed(names: Sequence[str], most: int = 5) -> str:
    """As "'a', 'b' and 7 more"."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(shown, names[:most])) + more


def counted(count: int, what: str) -> str:
    """As "1 video" or "1,200 videos"."""
    return f"{count:,} {what}{'s' * (count != 1)}"
