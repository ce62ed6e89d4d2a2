"""What a result depends on, derived from the settings that made it."""

from __future__ import annotations

from dataclasses import asdict, field, fields
from typing import Any

_KEY = "has_effect"


def no_effect(default: Any) -> Any:
    """A field of a settings dataclass that changes how a result is computed, not the result."""
    return field(default=default, metadata={_KEY: False})


def identity_of(settings: Any) -> dict[str, Any]:
    """All fields of a settings dataclass that the result depends on, as plain data."""
    values = asdict(settings)
    return {one.name: values[one.name] for one in fields(settings) if one.metadata.get(_KEY, True)}
