"""What a result depends on follows from the settings themselves."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from pydantic import ValidationError
from pydantic.dataclasses import dataclass

from tsrnet.core.identity import identity_of, no_effect
from tsrnet.core.settings import KNOWN_KEYS, Count, Positive
from tsrnet.training.fit import TrainerSettings


@dataclass(frozen=True, config=KNOWN_KEYS)
class Part:
    size: Count = 1


@dataclass(frozen=True, config=KNOWN_KEYS)
class Whole:
    rate: Positive
    part: Part
    names: tuple[str, ...] = ("a",)
    workers: Count = no_effect(2)


def test_all_fields_count_but_those_that_say_otherwise() -> None:
    assert identity_of(Whole(0.5, Part(3))) == {"rate": 0.5, "part": {"size": 3}, "names": ("a",)}


def test_a_field_without_effect_is_a_setting_as_any_other() -> None:
    """It has its default and is checked."""
    assert Whole(0.5, Part()).workers == 2
    assert Whole(0.5, Part(), workers=5).workers == 5
    assert identity_of(Whole(0.5, Part(), workers=5)) == identity_of(Whole(0.5, Part()))
    with pytest.raises(ValidationError):
        Whole(0.5, Part(), workers=0)


def test_a_trainer_s_machine_has_no_effect_and_its_training_has() -> None:
    others = {
        "accelerator": "cpu",
        "devices": 2,
        "precision": "bf16-mixed",
        "max_steps": 7,
        "checkpoint_every": 7,
        "strategy": "ddp",
        "num_nodes": 2,
        "gradient_clip": 1.0,
        "accumulate": 2,
    }
    assert set(others) == {field.name for field in fields(TrainerSettings)}
    base = TrainerSettings()
    changed = {
        name
        for name, value in others.items()
        if identity_of(replace(base, **{name: value})) != identity_of(base)
    }
    assert changed == {"precision", "max_steps", "gradient_clip", "accumulate"}
