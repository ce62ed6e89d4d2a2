"""The outline of a run's configuration: sections, and what must be known of one to choose its settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class _Stream:
    names: tuple[str, ...]


@dataclass(frozen=True)
class _Dataset:
    name: str
    protocol: str | None


@dataclass(frozen=True)
class _Features:
    name: str
    backbone: str | None = None


@dataclass(frozen=True)
class _Optimizer:
    batch_size: Any
    learning_rate: Any


@dataclass(frozen=True)
class _Pretrain:
    overlap: bool
    max_steps: Any


@dataclass(frozen=True)
class _Backbone:
    finetune: bool


@dataclass(frozen=True)
class _Report:
    timelines: Any
    pages: Any


@dataclass(frozen=True)
class _Paths:
    features: str
    stages: str


@dataclass(frozen=True)
class _Named:
    name: str


@dataclass(frozen=True)
class Sections:
    """What `RunConfig.from_config` looks at before it knows what kind of settings a section has."""

    seed: Any
    holdout: Any
    stream: _Stream
    dataset: _Dataset
    trimmed: dict[str, Any]
    features: _Features
    video: dict[str, Any]
    model: dict[str, Any]
    loss: dict[str, Any]
    transfer: dict[str, Any]
    optimizer: _Optimizer
    trainer: dict[str, Any]
    teacher: dict[str, Any]
    pretrain: _Pretrain
    backbone: _Backbone
    localization: dict[str, Any]
    report: _Report
    paths: _Paths
    logger: _Named
    batches: dict[str, Any]
    stage2: _Named
