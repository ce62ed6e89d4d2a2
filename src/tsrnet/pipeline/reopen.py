"""Finished runs: their configuration, networks and predictions for the test videos."""

from __future__ import annotations

import atexit
import functools
import gc
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from tsrnet.core.errors import UserError
from tsrnet.core.reading import read_json_as, read_yaml
from tsrnet.core.weights import load_weights
from tsrnet.evaluation.predictions import PredictionStore
from tsrnet.models.registry import model_name
from tsrnet.pipeline.config import RunConfig, stored_config
from tsrnet.pipeline.data import RunData, prepare_data
from tsrnet.pipeline.predict_stages import predict_stage, predictions_of
from tsrnet.pipeline.sources import DatasetSettings, DrawnSettings
from tsrnet.pipeline.train_stages import (
    StageSpec,
    build_module,
    load_stage,
    stages_of,
)
from tsrnet.training.module import TSRNetModule

_MAY_CHANGE = ("localization", "report", "paths.", "dataset.protocol")
"""Keys that `tsrnet.evaluate run=` takes: the others belong to the run."""


@dataclass(frozen=True)
class Tested:
    """The data of a run, stream -> predictions for the test videos, and the keys of the stages."""

    data: RunData
    predictions: Mapping[str, PredictionStore]
    stages: tuple[str, ...]


def finished_runs(config: DictConfig, overrides: Sequence[str], folder: Path) -> tuple[DictConfig, Tested]:
    """The configuration of `config.run`, changed by `overrides`, and the predictions of its networks.

    Writes only predictions that the run has not kept, below `folder`. One process reads a run only once, even
    if the localisation changes.
    """
    if config.run is None:
        raise UserError("run: got nothing, need the folder of a run, or of two as [A,B]")
    folders = list(config.run) if isinstance(config.run, ListConfig) else [config.run]
    runs = [_changed(_config_of(Path(str(folder))), config, overrides) for folder in folders]
    checkpoint = None if config.checkpoint is None else str(config.checkpoint)
    tested = _tested(tuple(map(_without_localization, runs)), checkpoint, folder / "stages")
    merged = runs[0].copy()
    merged.stream.names = list(tested.predictions)
    return merged, tested


def _config_of(folder: Path) -> DictConfig:
    """Read config.yaml of a run folder as data: nothing that it names is called."""
    path = folder / "config.yaml"
    if not path.is_file():
        raise UserError(f"run: got {folder}, which has no config.yaml; need the folder of a run")
    return stored_config(read_yaml(path), path)


def _changed(base: DictConfig, config: DictConfig, overrides: Sequence[str]) -> DictConfig:
    base.report.update(config.report)
    for override in overrides:
        key = override.split("=")[0].lstrip("+~")
        if key in ("run", "checkpoint", "diagnose"):
            continue
        if not key.startswith(_MAY_CHANGE):
            raise UserError(
                f"{key}: belongs to the run and cannot change; tsrnet.evaluate takes keys of localization,"
                " paths and report, and dataset.protocol; give other keys to tsrnet.train"
            )
        if key == "localization":  # a preset; the forms of attention and activation are the run's
            chosen = {k: v for k, v in config.localization.items() if k not in ("attention", "activation")}
            base.localization.update(chosen)
        else:
            OmegaConf.update(base, key, OmegaConf.select(config, key))
    return base


def _without_localization(config: DictConfig) -> str:
    """The settings that the networks depend on, as text: the key of the cache below."""
    kept = [str(key) for key in config if key not in ("localization", "report")]
    return OmegaConf.to_yaml(OmegaConf.masked_copy(config, kept), resolve=True)


@functools.lru_cache(maxsize=1)
def _tested(texts: tuple[str, ...], checkpoint: str | None, own: Path) -> Tested:
    configs = []
    for text in texts:
        given = DictConfig(OmegaConf.create(text))
        given.update({"localization": {}, "report": {"timelines": 0, "pages": 0}})
        configs.append(replace(RunConfig.from_config(given), wandb=None))
    owner = {stream: config for config in configs for stream in config.streams}
    if sum(len(config.streams) for config in configs) > len(owner):
        raise UserError(
            "run: got two runs with the same stream; need one of stream=rgb and one of stream=flow"
        )
    first = configs[0]
    for config in configs[1:]:
        if (_untrimmed(config), config.protocol) != (_untrimmed(first), first.protocol):
            raise UserError("run: got runs of different datasets or protocols, need the same of both")
    streams = tuple(sorted(owner, reverse=True))  # rgb, flow
    with_trimmed = next((config.dataset for config in configs if config.transfer.active), first.dataset)
    data = prepare_data(replace(first.with_streams(streams), dataset=with_trimmed), make=False)
    specs = {stream: stages_of(owner[stream], data, stream) for stream in streams}
    if checkpoint is None:
        modules = {stream: load_stage(owner[stream], specs[stream]) for stream in streams}
        keys = {stream: spec.keys for stream, spec in specs.items()}
    elif len(streams) == 1:
        (stream,) = streams
        module, digest = load_checkpoint(first, specs[stream], Path(checkpoint))
        modules, keys = {stream: module}, {stream: (f"sha256 {digest}",)}
    else:
        raise UserError("checkpoint: has one stream, but the run has two; need a run of stream=rgb or flow")
    predictions = {
        stream: _predictions(owner[stream], data, stream, module, keys[stream][-1], own)
        for stream, module in modules.items()
    }
    tested = Tested(data, predictions, tuple(key for some in keys.values() for key in some))
    gc.freeze()  # all this stays, so the garbage collections of a sweep can skip it
    atexit.register(gc.unfreeze)  # or libraries complain at exit about unreleased objects
    return tested


def _predictions(
    config: RunConfig, data: RunData, stream: str, module: TSRNetModule, network_key: str, own: Path
) -> PredictionStore:
    """The predictions that the run has kept, or else new ones in the folder `own`."""
    kept = predictions_of(config, data, stream, network_key)
    if kept.problem() is None:
        return PredictionStore(kept.folder)
    here = replace(config.trainer, accelerator="auto", strategy="auto", devices=1, num_nodes=1)
    config = replace(config, paths=replace(config.paths, stages=own), trainer=here)
    return predict_stage(config, data, stream, module, network_key)


def _untrimmed(config: RunConfig) -> DatasetSettings:
    """The dataset without its companion, which a run without transfer lacks."""
    dataset = config.dataset
    return dataset if isinstance(dataset, DrawnSettings) else replace(dataset, trimmed=None)


def load_checkpoint(config: RunConfig, spec: StageSpec, path: Path) -> tuple[TSRNetModule, str]:
    """The module with the weights of a file, and the file's hash: weights.pt of a stage, or a checkpoint."""
    _check_origin(path, spec.data.stream, spec.data.classes)
    module = build_module(config, spec)
    need = (
        f"this network ({spec.data.num_features} features, {len(spec.data.classes)} classes,"
        f" model={model_name(spec.training.model)})"
    )
    load_weights(
        module.model,
        path,
        need=need,
        change=lambda state: {name.removeprefix("model."): value for name, value in state.items()},
    )
    return module.eval(), hashlib.sha256(path.read_bytes()).hexdigest()


@dataclass(frozen=True)
class _Origin:
    """The part of identity.json that is checked."""

    data: dict[str, Any] = field(default_factory=dict)
    classes: tuple[str, ...] = ()


def _check_origin(path: Path, stream: str, classes: tuple[str, ...]) -> None:
    """Raise UserError if a file is from a stage with another stream or other classes than the run."""
    try:
        said = read_json_as(_Origin, path.parent / "identity.json")
    except UserError:  # a file alone shows nothing but its sizes
        return
    if (own := said.data.get("stream", stream)) != stream:
        raise UserError(f"checkpoint: {path}: is of stream={own}, the run has stream={stream}")
    known = said.classes or classes
    if list(known) != list(classes):
        differing = sorted(set(known) ^ set(classes)) or ["their order"]
        raise UserError(f"checkpoint: {path}: has other classes than the run ({', '.join(differing[:5])})")
