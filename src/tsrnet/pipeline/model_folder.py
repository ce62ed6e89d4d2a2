"""The folder `model` of a run: all that is needed to use its networks on any video and machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from omegaconf import DictConfig, OmegaConf
from pydantic import Field
from safetensors.torch import save

from tsrnet.core.errors import UserError
from tsrnet.core.files import atomic_path, fingerprint, make_folder
from tsrnet.core.reading import read_json_as, reading
from tsrnet.core.seal import damage_of
from tsrnet.core.settings import Name, NotBool
from tsrnet.core.weights import read_state
from tsrnet.pipeline.config import RunConfig, stored_config
from tsrnet.pipeline.features import ExtractionConfig, own_weights
from tsrnet.pipeline.sections import streams_of
from tsrnet.pipeline.train_stages import StageSpec
from tsrnet.reporting.model_card import model_card
from tsrnet.training.module import TSRNetModule

FOLDER, _DESCRIPTION, _FORMAT, _WEIGHTS = "model", "model.json", 3, "*.safetensors"
_MOST_FEATURES = 100_000


@dataclass(frozen=True)
class ModelDescription:
    """model.json: all that is needed besides the weights; `features` as in features.json.

    `files`: size and checksum of each file with weights.
    """

    format: int
    classes: Annotated[tuple[Name, ...], Field(min_length=1)]
    num_features: dict[str, Annotated[int, Field(ge=1, le=_MOST_FEATURES), NotBool]]  # by stream
    features: dict[str, Any]
    config: dict[str, Any]
    files: dict[str, dict[str, int | str]] = field(default_factory=dict)


def save_model(
    folder: Path,
    config: RunConfig,
    given: DictConfig,
    features: Mapping[str, Any],
    stages: Mapping[str, StageSpec],
    modules: Mapping[str, TSRNetModule],
) -> None:
    """Write `model` of a run folder, but nothing if its features are not extracted from videos.

    `features`: the content of features.json.
    """
    if not isinstance(config.features, ExtractionConfig):
        return
    target = make_folder(folder / FOLDER)
    for path in target.glob(_WEIGHTS):  # left from other settings
        path.unlink()
    for stream, stage in stages.items():
        _copy(stage.stage(config.paths.stages).weights, target / f"{stream}.safetensors")
    for stream in () if config.finetune else config.extraction.extracted:
        if weights := own_weights(config.extraction, stream):
            _copy(weights, target / f"backbone_{stream}.safetensors")
    described = {
        "format": _FORMAT,
        "classes": next(iter(modules.values())).classes,
        "num_features": {stream: module.hparams["num_features"] for stream, module in modules.items()},
        "features": dict(features),
        "config": OmegaConf.to_container(given, resolve=True),
        "files": {path.name: fingerprint(path) for path in sorted(target.glob(_WEIGHTS))},
    }
    with atomic_path(target / _DESCRIPTION) as part:
        part.write_text(json.dumps(described, indent=1))


def save_card(folder: Path, metrics: Mapping[str, Any], **shared: str | None) -> None:
    """Write README.md beside the weights of a run folder, if it has any: what the networks are.

    `shared`: `repo` and `licence` of `model_card`.
    """
    path = folder / FOLDER / _DESCRIPTION
    if path.is_file():
        with atomic_path(path.with_name("README.md")) as part:
            part.write_text(model_card(json.loads(path.read_text()), metrics, **shared), encoding="utf-8")


def read_model(run: str | Path) -> tuple[Path, ModelDescription]:
    """The folder with the weights and its description, for a run folder or its folder `model` alone.

    Raises UserError for a folder without a model, or with one that cannot be read.
    """
    folder = Path(run)
    folder = folder if (folder / _DESCRIPTION).is_file() else folder / FOLDER
    path = folder / _DESCRIPTION
    if not path.is_file():
        raise UserError(
            f"run: got {run}, which has no {FOLDER}/{_DESCRIPTION}; need the folder of a run of tsrnet.train"
            " with features extracted from videos (run its command again to write it)"
        )
    described = read_json_as(ModelDescription, path)
    if described.format != _FORMAT:
        raise UserError(f"{path}: got format {described.format}, this version reads {_FORMAT}; train again")
    streams = streams_of(stored_config(described.config, path))
    if lacking := [stream for stream in streams if stream not in described.num_features]:
        raise UserError(f"{path}: num_features: got no {', '.join(lacking)}, need one of each stream")
    for name, was in described.files.items():
        if problem := damage_of(folder / Path(name).name, was):
            raise UserError(f"{problem}; copy the folder again, or run the command of its run again")
    return folder, described


def _copy(source: Path, target: Path) -> None:
    """Write a state dict as .safetensors, which holds nothing but tensors and loads anywhere."""
    with reading(source, "a file with weights", do="run the command again"):
        state = read_state(source)
    tensors = {name: value.contiguous().clone() for name, value in state.items()}
    with atomic_path(target) as part:
        part.write_bytes(save(tensors, metadata={"format": "pt"}))  # save_file lets only its owner read it
