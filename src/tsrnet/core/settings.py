"""From the configuration to typed, validated settings.

Settings are pydantic dataclasses, so that they are checked however they are made:

    @dataclass(frozen=True, config=KNOWN_KEYS)
    class LossSettings:
        alpha: NonNegative
        sparsity: Literal["l1", "entropy"] = "entropy"
"""

from __future__ import annotations

import functools
import re
import reprlib
from pathlib import Path
from typing import Annotated, Any, TypeAlias, TypeVar

from omegaconf import OmegaConf
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from tsrnet.core.errors import UserError

T = TypeVar("T")
_Schema: TypeAlias = dict[str, Any]

KNOWN_KEYS = ConfigDict(extra="forbid")
"""A misspelt keyword of a constructor is an error; `settings_of` ignores the keys that a class lacks."""


def _refuse_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("true and false are not numbers")
    return value


NotBool = BeforeValidator(_refuse_bool)
"""Must be the last part of an annotated number: pydantic alone takes true for 1."""

_BREAKS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Not allowed in names: control characters, line breaks, halves of surrogate pairs."""


def is_name(text: str) -> bool:
    """Return whether a text can name a video or a class: one printable line that is not blank."""
    return bool(text.strip()) and not _BREAKS.search(text)


def _check_name(text: str) -> str:
    if not is_name(text):
        raise ValueError("not a name")
    return text


def as_number(text: str) -> float:
    """Parse a number; ValueError for anything else. float() alone takes "1_0" for 10."""
    if "_" in text:
        raise ValueError(f"could not convert {text}")
    return float(text)


def _path(value: Any) -> Any:
    return str(value) if type(value) is int else value  # Hydra takes the folder 2024 for a number


def _number(value: Any) -> Any:
    return as_number(value) if isinstance(value, str) else _refuse_bool(value)


Name = Annotated[str, AfterValidator(_check_name), Field(description="a name in one line")]
"""The name of a video, a class or a subset."""
Number = Annotated[float, BeforeValidator(_number)]
"""A number of an annotation file: it may be written as text, and may be NaN or infinite."""
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False), NotBool]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False), NotBool]
Share = Annotated[float, Field(ge=0, le=1), NotBool]
ShareBelowOne = Annotated[float, Field(ge=0, lt=1), NotBool]
Natural = Annotated[int, Field(ge=0), NotBool]
Count = Annotated[int, Field(ge=1), NotBool]
AnyPath = Annotated[Path, BeforeValidator(_path), Field(description="a file or folder")]


def settings_of(kind: type[T], node: Any, *, where: str) -> T:
    """The dataclass `kind` filled from a part of the configuration, types and values checked.

    Keys that `kind` lacks are ignored. Raises UserError for the first mistake, such as "loss.alpha: got -1,
    need a number >= 0". `where` is the key of `node`. The message of a `model_validator` begins with a
    complete dotted key, or with its field (`nms: got null, need ...`), which is then completed.
    """
    values = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
    adapter: TypeAdapter[T] = _adapter(kind)  # type: ignore[arg-type]  # all kinds are hashable
    try:
        return adapter.validate_python(values, extra="ignore")
    except ValidationError as error:
        first, schema = error.errors(include_url=False)[0], _schema(kind)  # type: ignore[arg-type]
        raise UserError(_sentence(first, schema, where)) from error


@functools.lru_cache(maxsize=256)
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


@functools.lru_cache(maxsize=256)
def _schema(kind: Any) -> _Schema:
    return _adapter(kind).json_schema()


def shown(value: Any, most: int = 80) -> str:
    """repr() in at most `most` characters, whatever the size of the value."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = short.maxlong = most
    short.maxlevel = 3
    text = repr(value) if isinstance(value, str) and len(value) <= most else short.repr(value)
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _sentence(error: Any, schema: _Schema, key: str) -> str:
    """Pydantic's error in our words; the bounds and choices come from the JSON schema of the settings."""
    definitions, node = schema.get("$defs", {}), schema
    for step in error["loc"]:
        _, kinds = _kinds(node)
        if step in kinds:  # the kind of settings, which one of their keys names
            node = kinds[str(step)]
            continue
        part = _part(node, step, definitions)
        if part is None:  # the name of a union's member: the error is about the whole union
            break
        key, node = f"{key}.{step}".lstrip("."), part
    is_dataclass = any("properties" in option for option in _options(node, definitions))
    if error["type"] == "value_error" and is_dataclass:  # of a model_validator
        message = str(error["ctx"]["error"])
        return message if "." in message.partition(":")[0] else f"{key}.{message}".lstrip(".")
    value = error["input"]
    name, kinds = _kinds(node)
    if kinds:
        value = value.get(name) if isinstance(value, dict) else value
        return f"{key}.{name}: got {value or 'nothing'}, need one of {', '.join(kinds)}"
    got = "nothing" if error["type"] == "missing" else "null" if value is None else shown(value)
    return f"{key}: " * bool(key) + f"got {got}, need {_needed(node)}"


def _kinds(node: _Schema) -> tuple[str, dict[str, _Schema]]:
    """For settings of several kinds: the key that names the kind, and its value -> schema."""
    for option in node.get("anyOf", [node]):
        if found := option.get("discriminator"):
            return found["propertyName"], {name: {"$ref": place} for name, place in found["mapping"].items()}
    return "", {}


def _options(node: _Schema, definitions: _Schema) -> list[_Schema]:
    """The members of a union, or the one type; references resolved."""
    options = node.get("anyOf", [node])
    return [definitions.get(option.get("$ref", "").removeprefix("#/$defs/"), option) for option in options]


def _part(node: _Schema, step: str | int, definitions: _Schema) -> _Schema | None:
    """The schema of a field, a value of a mapping or an item of a list; None where there is no such part."""
    for option in _options(node, definitions):
        inside = option.get("items" if isinstance(step, int) else "additionalProperties")
        if isinstance(step, int) and step < len(pair := option.get("prefixItems", ())):  # of a tuple
            inside = pair[step]
        found = option.get("properties", {}).get(step, inside)
        if isinstance(found, dict):
            return found
    return None


_NOUNS = {"integer": "whole number", "number": "number", "string": "string", "object": "mapping"}
_BOUNDS = {"exclusiveMinimum": ">", "minimum": ">=", "exclusiveMaximum": "<", "maximum": "<="}


def _needed(node: _Schema, *, many: bool = False) -> str:
    """A JSON schema in words, as "a number > 0 and < 1"; the description of a field takes precedence."""
    kind = "object" if "$ref" in node else node.get("type")
    if "description" in node and kind != "object":  # an object's is the docstring of its class
        return str(node["description"])
    if "anyOf" in node:
        return " or ".join(_needed(option, many=many) for option in node["anyOf"])
    if "const" in node:
        return str(node["const"])
    if "enum" in node:
        return ("" if many else "one of ") + ", ".join(map(str, node["enum"]))
    if pair := node.get("prefixItems"):  # of a tuple
        return f"a list of {len(pair)} {_needed(pair[0], many=True)}"
    if kind == "array":
        items = f" of {_needed(node['items'], many=True)}" if node.get("items") else ""
        return ("lists" if many else "a list") + items
    if kind in ("boolean", "null"):
        return "null" if kind == "null" else "true or false"
    noun = _NOUNS.get(str(kind), "value")
    bounds = " and ".join(f"{sign} {node[bound]}" for bound, sign in _BOUNDS.items() if bound in node)
    words = f"{noun}s" if many else f"a {noun}"
    return f"{words} {bounds}" if bounds else words
