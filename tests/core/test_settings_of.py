"""Every kind of mistake in settings becomes one line in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Literal

import pytest
from omegaconf import OmegaConf
from pydantic import model_validator
from pydantic.dataclasses import dataclass

from tsrnet.core.errors import UserError
from tsrnet.core.settings import KNOWN_KEYS, Count, NonNegative, Positive, settings_of


@dataclass(frozen=True, config=KNOWN_KEYS)
class Part:
    size: Count = 1
    limit: int = 9

    @model_validator(mode="after")
    def _check(self) -> Part:
        if self.size > self.limit:
            raise ValueError(f"size: got {self.size}, need at most limit={self.limit}")
        return self


@dataclass(frozen=True, config=KNOWN_KEYS)
class Outer:
    rate: Positive
    part: Part | None = None
    parts: Mapping[str, Part] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    streams: tuple[Literal["rgb", "flow"], ...] = ()
    devices: Count | Literal["auto"] = "auto"
    weights: dict[str, NonNegative] = field(default_factory=dict)
    kind: Literal["only"] = "only"
    group: str | None = None

    @model_validator(mode="after")
    def _check(self) -> Outer:
        if self.group == "wrong":
            raise ValueError("other.group: got wrong, need right")
        return self


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (None, "key: got null, need a mapping"),
        (3, "key: got 3, need a mapping"),
        ({}, "key.rate: got nothing, need a number > 0"),
        ({"rate": 0, "part": {"size": 0}}, "key.rate: got 0, need a number > 0"),
        ({"part": 3}, "key.part: got 3, need a mapping or null"),
        ({"part": {"size": 0}}, "key.part.size: got 0, need a whole number >= 1"),
        ({"part": {"size": 10}}, "key.part.size: got 10, need at most limit=9"),
        ({"parts": {"a": {"size": 0}}}, "key.parts.a.size: got 0, need a whole number >= 1"),
        ({"parts": {"a": {"size": 10}}}, "key.parts.a.size: got 10, need at most limit=9"),
        ({"names": "a"}, "key.names: got 'a', need a list of strings"),
        ({"names": ["a", 1]}, "key.names.1: got 1, need a string"),
        ({"streams": "rgb"}, "key.streams: got 'rgb', need a list of rgb, flow"),
        ({"streams": ["depth"]}, "key.streams.0: got 'depth', need one of rgb, flow"),
        ({"devices": 0}, "key.devices: got 0, need a whole number >= 1 or auto"),
        ({"weights": {"a": -1}}, "key.weights.a: got -1, need a number >= 0"),
        ({"weights": [1]}, "key.weights: got [1], need a mapping"),
        ({"kind": "other"}, "key.kind: got 'other', need only"),
        ({"group": 1}, "key.group: got 1, need a string or null"),
        ({"group": "wrong"}, "other.group: got wrong, need right"),
    ],
)
def test_every_kind_of_mistake_is_worded(node: Any, expected: str) -> None:
    """Of several mistakes the first is reported; a check that names a dotted key is quoted as it is."""
    values = {"rate": 1.0} | node if isinstance(node, dict) and node else node
    with pytest.raises(UserError) as raised:
        settings_of(Outer, values, where="key")
    assert str(raised.value) == expected


def test_interpolations_of_the_configuration_are_resolved() -> None:
    config = OmegaConf.create({"size": 3, "part": {"size": "${size}", "limit": "${size}"}})
    assert settings_of(Part, config.part, where="part") == Part(size=3, limit=3)
