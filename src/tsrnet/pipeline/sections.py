"""The sections of a run's configuration, each read into the settings of its part."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

from omegaconf import DictConfig, OmegaConf

from tsrnet.core.errors import UserError
from tsrnet.core.settings import Count, settings_of, shown
from tsrnet.datasets.snippet_sampler import SamplingSettings
from tsrnet.localization.settings import LocalizationSettings
from tsrnet.metrics.protocols import PROTOCOLS
from tsrnet.models.registry import ModelSettings, model_settings
from tsrnet.pipeline.features import ExtractionConfig, FeatureSettings, ImportedFeatures, PathSettings
from tsrnet.pipeline.sources import (
    COMPOSED,
    LABELS,
    READERS,
    ComposedSettings,
    DatasetSettings,
    DrawnSettings,
    FilesSettings,
    LabelsSettings,
)
from tsrnet.reporting.wandb import WandbSettings
from tsrnet.synthetic.simulated import SimulationSettings
from tsrnet.training.end_to_end import FinetuneSettings
from tsrnet.training.optimizer import OptimizerSettings
from tsrnet.training.student import StudentSettings
from tsrnet.video.snippets import SnippetSettings
from tsrnet.video.video_file import ReadingSettings

SIMULATED = "simulated"
"""`features.name` of a rehearsal."""


FeatureConfig: TypeAlias = ExtractionConfig | ImportedFeatures | SimulationSettings
_STREAMS = (("rgb",), ("flow",), ("rgb", "flow"), ("joint",), ("features",))


@dataclass(frozen=True)
class FinetuneConfig:
    """Settings of the training through the backbone; `optimizer` by stream."""

    settings: FinetuneSettings
    optimizer: dict[str, OptimizerSettings]
    batch_size: int


@dataclass(frozen=True)
class Stage2Config:
    """Settings of the second stage; `optimizer` by stream; `localization`: rule for the training videos."""

    max_steps: Count
    model: ModelSettings
    optimizer: dict[str, OptimizerSettings]
    batch_size: Count
    localization: LocalizationSettings
    student: StudentSettings


TRANSFER_WEIGHTS = ("fc1", "fc2", "distill")
"""The keys of `transfer` that turn it on."""
_OUTLINE = {
    "stream": ("names",),
    "dataset": ("name", "protocol"),
    "trimmed": (),
    "features": (),
    "video": (),
    "model": (),
    "loss": ("beta",),
    "transfer": TRANSFER_WEIGHTS,
    "optimizer": ("batch_size", "learning_rate"),
    "pretrain": ("overlap",),
    "backbone": ("finetune",),
    "localization": (),
    "paths": ("features", "stages"),
    "logger": ("name",),
    "stage2": ("name",),
}
"""The sections, and the keys that decide the kind of settings in a section."""


def check_sections(config: DictConfig) -> None:
    for section, keys in _OUTLINE.items():
        node = config.get(section)
        if not OmegaConf.is_dict(node):
            raise UserError(f"{section}: got {shown(node)}, need a mapping")
        if missing := [key for key in keys if key not in node]:
            raise UserError(f"{section}.{missing[0]}: got nothing, need a value")


def streams_of(config: DictConfig) -> tuple[str, ...]:
    """The streams of a run: one network each."""
    streams = tuple(config.stream.names)
    if streams not in _STREAMS:
        raise UserError(
            f"stream.names: got {list(streams)}, need [rgb], [flow], [rgb, flow], [joint] or [features]"
        )
    return streams


def has_teacher(config: DictConfig) -> bool:
    return any(config.transfer[key] for key in TRANSFER_WEIGHTS)


def needs_clips(config: DictConfig) -> bool:
    return has_teacher(config) or bool(config.pretrain.overlap)


def dataset_of(config: DictConfig, *, trimmed: bool | None = None) -> DatasetSettings:
    """Where the dataset is, and its trimmed companion if that is needed.

    `trimmed`: whether the companion is needed. None: if knowledge is transferred, or in a rehearsal, where
    what is drawn for one depends on the other.
    """
    dataset, name = plain(config.dataset), config.dataset.name
    kinds: dict[str, type[DatasetSettings]] = {LABELS: LabelsSettings, COMPOSED: ComposedSettings}
    kind = kinds.get(name, FilesSettings if name in READERS else DrawnSettings)
    if kind is DrawnSettings:
        return settings_of(kind, {**dataset, **plain(config.trimmed)}, where="dataset")
    needed = needs_clips(config) if trimmed is None else trimmed
    if name in kinds:
        needed = needed and config.trimmed.videos is not None
    elif trimmed is None:
        needed = needed or config.features.name == SIMULATED or not config.dataset.get("overlap")
    values = {**dataset, "trimmed": plain(config.trimmed) if needed else None}
    return settings_of(kind, values, where="dataset")


def features_of(config: DictConfig) -> FeatureConfig:
    """How features are made, found or drawn."""
    node = config.features
    if OmegaConf.is_missing(node, "name"):
        raise UserError("features.name: got nothing, need the name of the imported features")
    if node.name == SIMULATED:
        return settings_of(SimulationSettings, node, where="features")
    if node.backbone is None:
        trimmed = config.trimmed.get("features") or node.name
        return ImportedFeatures(node.name, streams_of(config), Path(config.paths.features), trimmed)
    if streams_of(config) == ("features",):
        raise UserError(
            "stream=features: needs features=imported; give stream=rgb, flow, two_stream or joint"
        )
    finetune = bool(OmegaConf.select(config, "backbone.finetune"))
    stored = streams_of(config) if finetune else ("flow",) if node.flow.store else ()
    return ExtractionConfig(
        settings_of(FeatureSettings, {**plain(node), "stored": stored}, where="features"),
        settings_of(SnippetSettings, node, where="features"),
        settings_of(ReadingSettings, config.video, where="video"),
        streams_of(config),
        settings_of(PathSettings, config.paths, where="paths"),
    )


def wandb_of(node: DictConfig) -> WandbSettings | None:
    if node.name not in ("csv", "wandb", "tensorboard"):
        raise UserError(f"logger.name: got {node.name}, need csv, wandb or tensorboard")
    if node.name == "tensorboard" and find_spec("tensorboard") is None:
        raise UserError("logger=tensorboard: is not installed; pip install 'tsrnet[tensorboard]'")
    return settings_of(WandbSettings, node, where="logger") if node.name == "wandb" else None


def protocol_of(dataset: DictConfig) -> str:
    if dataset.protocol is None:
        raise UserError(
            f"dataset={dataset.name}: has only trimmed clips, so there is nothing to localise; give"
            " dataset=thumos14 or activitynet, which learn from these clips"
        )
    if dataset.protocol not in PROTOCOLS:
        raise UserError(f"dataset.protocol: got {dataset.protocol}, need one of {', '.join(PROTOCOLS)}")
    protocol, tested = PROTOCOLS[dataset.protocol], str(dataset.get("test_list"))
    if protocol.num_videos is not None:
        raise UserError(
            f"dataset.protocol: got {protocol.name}, which needs a list of {protocol.num_videos:,} videos;"
            " give dataset.protocol=activitynet, and the list to tsrnet.score: predictions=detections.json"
            f" protocol={protocol.name} videos=FILE"
        )
    if protocol.test_list is not None and tested != protocol.test_list:
        raise UserError(
            f"dataset.protocol: got {protocol.name}, which tests on the list {protocol.test_list}, and"
            f" dataset.test_list={tested}; give dataset.test_list={protocol.test_list}"
        )
    return protocol.name


def finetune_of(config: DictConfig) -> FinetuneConfig | None:
    node = config.backbone
    if not node.finetune:
        return None
    if config.features.name == SIMULATED or config.features.backbone is None or "joint" in streams_of(config):
        raise UserError(
            "backbone.finetune: got true, need features that are extracted from videos, and stream=rgb, flow"
            " or two_stream; leave it out"
        )
    sampling = settings_of(SamplingSettings, node, where="backbone")
    return FinetuneConfig(
        settings_of(FinetuneSettings, {**plain(node), "sampling": sampling}, where="backbone"),
        optimizers_of(config, "backbone.optimizer"),
        settings_of(Count, node.optimizer.batch_size, where="backbone.optimizer.batch_size"),
    )


def stage2_of(config: DictConfig) -> Stage2Config | None:
    node = config.stage2
    if node.name == "none":
        return None
    if node.name != "pseudo":
        raise UserError(f"stage2.name: got {node.name}, need none or pseudo")
    if config.backbone.finetune:
        raise UserError("stage2=pseudo: learns on features; leave out backbone.finetune=true")
    derived = {
        "model": model_settings(plain(node.model)),
        "optimizer": optimizers_of(config, "stage2.optimizer"),
        "batch_size": node.optimizer.batch_size,
    }
    return settings_of(Stage2Config, {**plain(node), **derived}, where="stage2")


def localization_of(config: DictConfig) -> LocalizationSettings:
    """Settings of the test. The attention of a second stage has its own form."""
    values = plain(config.localization)
    if config.stage2.name != "none":  # the activation of its background is 0, so no constant is left open
        values = {**values, "attention": config.stage2.attention, "activation": "raw"}
    return settings_of(LocalizationSettings, values, where="localization")


def optimizers_of(config: DictConfig, key: str) -> dict[str, OptimizerSettings]:
    """Stream -> settings; the learning rate is one number, or one per stream."""
    node = plain(OmegaConf.select(config, key))
    rate = node["learning_rate"]
    return {
        stream: settings_of(
            OptimizerSettings,
            {**node, "learning_rate": rate.get(stream) if isinstance(rate, dict) else rate},
            where=key,
        )
        for stream in streams_of(config)
    }


def plain(node: Any) -> Any:
    return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
