"""From the configuration to the typed, validated settings of the rooms."""

from __future__ import annotations

from typing import Any, TypeVar

from omegaconf import OmegaConf
from pydantic import TypeAdapter, ValidationError

from tsrnet.core.errors import UserError

T = TypeVar("T")


def settings_of(kind: type[T], node: Any, *, where: str) -> T:
    """The dataclass `kind` filled from a part of the configuration, types and values checked.

    Keys that `kind` lacks are left to others. Raises UserError that names the key.
    """
    values = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        cause = first.get("ctx", {}).get("error")
        if isinstance(cause, ValueError):  # raised by the dataclass, which names the key itself
            raise UserError(str(cause)) from error
        key = ".".join([where, *map(str, first["loc"])])
        raise UserError(f"{key}: got {first['input']!r}, {first['msg'].lower()}") from error
