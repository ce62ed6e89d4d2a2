"""From the configuration to the typed, validated settings of the rooms."""

from __future__ import annotations

from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tsrnet.errors import UserError

T = TypeVar("T")


def settings_of(kind: type[T], node: DictConfig | dict[str, Any], *, where: str) -> T:
    """The dataclass `kind` filled from a part of the configuration, types and values checked.

    Keys that `kind` lacks are left to others. Raises UserError that names the key.
    """
    schema = OmegaConf.structured(kind)
    OmegaConf.set_readonly(schema, False)
    values = OmegaConf.create(dict(node))
    known = {key: values[key] for key in values if key in schema}
    try:
        settings: T = OmegaConf.to_object(OmegaConf.merge(schema, known))  # type: ignore[assignment]
    except OmegaConfBaseException as error:
        raise UserError(f"{where}.{getattr(error, 'full_key', '')}: {str(error).splitlines()[0]}") from error
    except ValueError as error:
        raise UserError(str(error)) from error
    return settings
