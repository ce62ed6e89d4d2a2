"""A run's configuration as typed settings, all validated before anything is computed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from tsrnet.core.errors import UserError
from tsrnet.core.settings import Count, Natural, ShareBelowOne, settings_of
from tsrnet.datasets.snippet_sampler import SamplingSettings
from tsrnet.localization.settings import LocalizationSettings
from tsrnet.losses.objective import LossSettings, TransferSettings
from tsrnet.metrics.protocols import PROTOCOLS
from tsrnet.models.registry import ModelSettings, model_name, model_settings, tsrnet_part
from tsrnet.pipeline.features import ExtractionConfig, FeatureSettings
from tsrnet.pipeline.sources import READERS, DrawnSettings, FilesSettings
from tsrnet.reporting.wandb import WandbSettings
from tsrnet.synthetic.simulated import SimulationSettings
from tsrnet.training.end_to_end import FinetuneSettings
from tsrnet.training.fit import TrainerSettings
from tsrnet.training.module import OptimizerSettings
from tsrnet.video.snippets import SnippetSettings
from tsrnet.video.video_file import ReadingSettings

SIMULATED = "simulated"
"""`features.name` of a rehearsal."""


@dataclass(frozen=True)
class FinetuneConfig:
    """Of the training through the backbone; `optimizer` by stream."""

    settings: FinetuneSettings
    optimizer: dict[str, OptimizerSettings]
    batch_size: int


@dataclass(frozen=True)
class RunConfig:
    """What `tsrnet.train` is to do. Only the pipeline knows all of it; rooms below get their own part."""

    seed: int
    streams: tuple[str, ...]
    dataset: DrawnSettings | FilesSettings
    protocol: str
    features: ExtractionConfig | SimulationSettings
    model: ModelSettings
    losses: LossSettings
    transfer: TransferSettings
    optimizer: dict[str, OptimizerSettings]  # by stream
    trainer: TrainerSettings
    teacher_steps: int
    overlap_steps: int  # 0: no overlap pretraining
    batch_size: int
    finetune: FinetuneConfig | None  # None: features stay as they are
    holdout: float  # share of the training videos that is tested on instead of the test set
    localization: LocalizationSettings
    num_timelines: int
    features_root: Path
    stages_root: Path
    wandb: WandbSettings | None = None
    trains: bool = True  # False: a network that is not there is a mistake

    def __post_init__(self) -> None:
        if not tsrnet_part(self.model) and (self.transfer.active or self.overlap_steps):
            raise UserError(
                f"model={model_name(self.model)}: got transfer or overlap pretraining, which are TSRNet's;"
                " give transfer=none and pretrain=imagenet"
            )

    @classmethod
    def from_config(cls, config: DictConfig) -> RunConfig:
        """Raises UserError that names the key, what was got and what is needed."""
        streams = streams_of(config)
        return cls(
            seed=_checked(Natural, config.seed, "seed"),
            streams=streams,
            dataset=dataset_of(config),
            protocol=_protocol(config.dataset),
            features=features_of(config),
            model=model_settings(_plain(config.model)),
            losses=settings_of(LossSettings, config.loss, where="loss"),
            transfer=settings_of(TransferSettings, config.transfer, where="transfer"),
            optimizer={stream: _optimizer(config.optimizer, stream) for stream in streams},
            trainer=settings_of(TrainerSettings, config.trainer, where="trainer"),
            teacher_steps=_checked(Count, config.teacher.max_steps, "teacher.max_steps"),
            overlap_steps=_checked(Count, config.pretrain.max_steps, "pretrain.max_steps")
            if config.pretrain.overlap
            else 0,
            batch_size=_checked(Count, config.optimizer.batch_size, "optimizer.batch_size"),
            finetune=_finetune(config),
            holdout=_checked(ShareBelowOne, config.holdout, "holdout"),
            localization=settings_of(LocalizationSettings, config.localization, where="localization"),
            num_timelines=_checked(Natural, config.report.timelines, "report.timelines"),
            features_root=Path(config.paths.features),
            stages_root=Path(config.paths.stages),
            wandb=_wandb(config.logger),
        )

    @property
    def simulated(self) -> bool:
        return isinstance(self.features, SimulationSettings)

    @property
    def extraction(self) -> ExtractionConfig:
        """How features are made of videos; not for a rehearsal."""
        assert isinstance(self.features, ExtractionConfig)
        return self.features

    def with_streams(self, streams: tuple[str, ...]) -> RunConfig:
        """The same for these streams, as of two runs of one stream each."""
        features = self.features
        if isinstance(features, ExtractionConfig):
            features = replace(features, streams=streams)
        return replace(self, streams=streams, features=features)


def streams_of(config: DictConfig) -> tuple[str, ...]:
    """The streams of a run."""
    streams = tuple(config.stream.names)
    if not streams or not set(streams) <= {"rgb", "flow"}:
        raise UserError(f"stream.names: got {list(streams)}, need one or both of rgb and flow")
    return streams


def dataset_of(config: DictConfig, *, trimmed: bool | None = None) -> DrawnSettings | FilesSettings:
    """Where the dataset is, and its trimmed companion.

    Args:
        config: with `dataset` and `trimmed`.
        trimmed: whether the companion is needed; None: where something is transferred, or in a rehearsal,
            where what is drawn of one depends on the other.
    """
    if config.dataset.name not in READERS:
        values = {**_plain(config.dataset), **_plain(config.trimmed)}
        return settings_of(DrawnSettings, values, where="dataset")
    if trimmed is None:
        transferred = config.transfer.fc1 or config.transfer.fc2 or config.pretrain.overlap
        trimmed = bool(transferred or config.features.name == SIMULATED or not config.dataset.get("overlap"))
    values = {**_plain(config.dataset), "trimmed": _plain(config.trimmed) if trimmed else None}
    return settings_of(FilesSettings, values, where="dataset")


def features_of(config: DictConfig) -> ExtractionConfig | SimulationSettings:
    """How features are made, or drawn."""
    node = config.features
    if node.name == SIMULATED:
        return settings_of(SimulationSettings, node, where="features")
    finetune = bool(OmegaConf.select(config, "backbone.finetune"))
    stored = streams_of(config) if finetune else ("flow",) if node.flow.store else ()
    return ExtractionConfig(
        settings_of(FeatureSettings, {**_plain(node), "stored": stored}, where="features"),
        settings_of(SnippetSettings, node, where="features"),
        settings_of(ReadingSettings, config.video, where="video"),
        streams_of(config),
        Path(config.paths.features),
        Path(config.paths.stages),
    )


def _wandb(node: DictConfig) -> WandbSettings | None:
    if node.name not in ("csv", "wandb"):
        raise UserError(f"logger.name: got {node.name}, need csv or wandb")
    return settings_of(WandbSettings, node, where="logger") if node.name == "wandb" else None


def _protocol(dataset: DictConfig) -> str:
    if dataset.protocol is None:
        raise UserError(
            f"dataset={dataset.name}: its clips are trimmed, there is nothing to localise; give"
            " dataset=thumos14 or activitynet, which learn from them"
        )
    if dataset.protocol not in PROTOCOLS:
        raise UserError(f"dataset.protocol: got {dataset.protocol}, need one of {', '.join(PROTOCOLS)}")
    return str(dataset.protocol)


def _finetune(config: DictConfig) -> FinetuneConfig | None:
    node = config.backbone
    if not node.finetune:
        return None
    if config.features.name == SIMULATED:
        raise UserError("backbone.finetune: got true with features=simulated, need videos; leave it out")
    sampling = settings_of(SamplingSettings, node, where="backbone")
    return FinetuneConfig(
        settings_of(
            FinetuneSettings,
            {**_plain(node), "sampling": settings_of(SamplingSettings, node, where="backbone")},
            where="backbone",
        ),
        {stream: _optimizer(node.optimizer, stream) for stream in streams_of(config)},
        _checked(Count, node.optimizer.batch_size, "backbone.optimizer.batch_size"),
    )


def _optimizer(node: DictConfig, stream: str) -> OptimizerSettings:
    rate = node.learning_rate[stream] if OmegaConf.is_dict(node.learning_rate) else node.learning_rate
    return settings_of(OptimizerSettings, {**_plain(node), "learning_rate": rate}, where="optimizer")


def _checked(kind: Any, value: Any, key: str) -> Any:
    """A single value of the configuration, checked."""
    return settings_of(kind, value, where=key)


def _plain(node: Any) -> Any:
    return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
