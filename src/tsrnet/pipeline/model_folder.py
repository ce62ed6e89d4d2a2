"""The folder `model` of a run: all that it takes to use its networks on any video and machine."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from tsrnet.core.errors import UserError
from tsrnet.core.files import atomic_path, fingerprint, make_folder, part_of
from tsrnet.core.seal import damage_of
from tsrnet.core.settings import settings_of
from tsrnet.pipeline.config import RunConfig
from tsrnet.pipeline.features import ExtractionConfig, own_weights
from tsrnet.pipeline.train_stages import StageSpec
from tsrnet.training.module import TSRNetModule

_FOLDER, _DESCRIPTION, _FORMAT = "model", "model.json", 2


@dataclass(frozen=True)
class ModelDescription:
    """model.json: what must be known beside the weights; `features` as in features.json.

    `files`: size and checksum of each file with weights.
    """

    format: int
    classes: tuple[str, ...]
    num_features: dict[str, int]  # by stream
    features: dict[str, Any]
    config: dict[str, Any]
    files: dict[str, Any] = field(default_factory=dict)


def save_model(
    folder: Path,
    config: RunConfig,
    given: DictConfig,
    features: Mapping[str, Any],
    stages: Mapping[str, StageSpec],
    modules: Mapping[str, TSRNetModule],
) -> None:
    """Write `model` of a run folder; nothing where features are not made of videos.

    `features`: what features.json says. The weights are links to those of the stages where the disk
    allows it.
    """
    if not isinstance(config.features, ExtractionConfig):
        return
    target = make_folder(folder / _FOLDER)
    for path in target.glob("*.pt"):  # of other settings
        path.unlink()
    for stream, stage in stages.items():
        _link(stage.stage(config.stages_root).weights, target / f"{stream}.pt")
    for stream in () if config.finetune else config.extraction.extracted:
        if weights := own_weights(config.extraction, stream):
            _link(weights, target / f"backbone_{stream}.pt")
    described = {
        "format": _FORMAT,
        "classes": next(iter(modules.values())).classes,
        "num_features": {stream: module.hparams["num_features"] for stream, module in modules.items()},
        "features": dict(features),
        "config": OmegaConf.to_container(given, resolve=True),
        "files": {path.name: fingerprint(path) for path in sorted(target.glob("*.pt"))},
    }
    with atomic_path(target / _DESCRIPTION) as part:
        part.write_text(json.dumps(described, indent=1))


def read_model(run: str | Path) -> tuple[Path, ModelDescription]:
    """The folder with the weights, and its description, of a run folder or of its folder `model` alone.

    Raises UserError for a folder without a model, or with one that cannot be read.
    """
    folder = Path(run)
    folder = folder if (folder / _DESCRIPTION).is_file() else folder / _FOLDER
    path = folder / _DESCRIPTION
    try:
        described = settings_of(ModelDescription, json.loads(path.read_text()), where=str(path))
    except FileNotFoundError as error:
        raise UserError(
            f"run: got {run}, which has no {_FOLDER}/{_DESCRIPTION}; need the folder of a run of tsrnet.train"
            " with features extracted from videos (run its command again to write it)"
        ) from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from error
    if described.format != _FORMAT:
        raise UserError(f"{path}: got format {described.format}, this version reads {_FORMAT}; train again")
    for name, was in described.files.items():
        if problem := damage_of(folder / Path(name).name, was):
            raise UserError(f"{problem}; copy the folder again, or run the command of its run again")
    return folder, described


def _link(source: Path, target: Path) -> None:
    part = part_of(target)
    try:
        os.link(source, part)
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, part)
    part.replace(target)
