"""A run's configuration as typed settings, all validated before anything is computed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from tsrnet.core.errors import UserError
from tsrnet.core.settings import settings_of
from tsrnet.localization.settings import LocalizationSettings
from tsrnet.losses.objective import LossSettings, TransferSettings
from tsrnet.metrics.protocols import PROTOCOLS, Protocol
from tsrnet.models.registry import ModelSettings, model_name, model_settings, tsrnet_part
from tsrnet.pipeline.features import FeaturePlan, FeatureSettings
from tsrnet.pipeline.sources import READERS, DrawnSettings, FilesSettings
from tsrnet.reporting.wandb import DashboardSettings
from tsrnet.synthetic.simulated import SimulationSettings
from tsrnet.training.end_to_end import FinetuneSettings
from tsrnet.training.fit import TrainerSettings
from tsrnet.training.module import OptimizerSettings
from tsrnet.video.snippets import SnippetSettings
from tsrnet.video.video_file import ReadingSettings

SIMULATED = "simulated"
"""`features.name` of a rehearsal."""


@dataclass(frozen=True)
class Plan:
    """What `tsrnet.train` is to do."""

    seed: int
    streams: tuple[str, ...]
    dataset: DrawnSettings | FilesSettings
    protocol: Protocol
    features: FeaturePlan | SimulationSettings
    network: ModelSettings
    losses: LossSettings
    transfer: TransferSettings
    optimizer: dict[str, OptimizerSettings]  # by stream
    trainer: TrainerSettings
    teacher_steps: int
    overlap_steps: int  # 0: no overlap pretraining
    batch_size: int
    finetune: FinetuneSettings | None  # None: features stay as they are
    finetune_optimizer: dict[str, OptimizerSettings]
    finetune_batch_size: int
    holdout: float  # share of the training videos that is tested on instead of the test set; 0: none
    localization: LocalizationSettings
    num_timelines: int
    features_root: Path
    stages_root: Path
    dashboard: DashboardSettings | None = None  # None: no W&B
    trains: bool = True  # False: a network that is not there is a mistake

    def __post_init__(self) -> None:
        if not tsrnet_part(self.network) and (self.transfer.active or self.overlap_steps):
            raise UserError(
                f"model={model_name(self.network)}: got transfer or overlap pretraining, which are TSRNet's;"
                " give transfer=none and pretrain=imagenet"
            )

    @classmethod
    def from_config(cls, config: DictConfig) -> Plan:
        """Raises UserError that names the key, what was got and what is needed."""
        streams = streams_of(config)
        tuned = OmegaConf.select(config, "backbone.optimizer") or config.optimizer  # a run that had none
        seed, batch_size = _at_least("seed", config.seed, 0), config.optimizer.batch_size
        return cls(
            seed=seed,
            streams=streams,
            dataset=dataset_of(config),
            protocol=_protocol(config.dataset),
            features=features_of(config),
            network=model_settings(config.model),
            losses=settings_of(LossSettings, config.loss, where="loss"),
            transfer=settings_of(TransferSettings, config.transfer, where="transfer"),
            optimizer={stream: _optimizer(config.optimizer, stream) for stream in streams},
            trainer=settings_of(TrainerSettings, config.trainer, where="trainer"),
            teacher_steps=_at_least("teacher.max_steps", config.teacher.max_steps, 1),
            overlap_steps=_at_least("pretrain.max_steps", config.pretrain.max_steps, 1)
            if config.pretrain.overlap
            else 0,
            batch_size=_at_least("optimizer.batch_size", batch_size, 1),
            finetune=_finetune(config),
            finetune_optimizer={stream: _optimizer(tuned, stream) for stream in streams},
            finetune_batch_size=_at_least("backbone.optimizer.batch_size", tuned.batch_size, 1),
            holdout=_holdout(config.get("holdout", 0.0)),
            localization=settings_of(LocalizationSettings, config.localization, where="localization"),
            num_timelines=_at_least("report.timelines", config.report.timelines, 0),
            features_root=Path(config.paths.features),
            stages_root=Path(config.paths.stages),
            dashboard=_dashboard(config.get("logger")),
        )

    def before_finetuning(self) -> Plan:
        """The same on the features of the backbone as it came."""
        return replace(self, finetune=None)

    def finetuning(self) -> Plan:
        """With the optimiser, steps and α of the training through the backbone."""
        assert self.finetune
        return replace(
            self,
            optimizer=self.finetune_optimizer,
            batch_size=self.finetune_batch_size,
            losses=replace(self.losses, alpha=self.finetune.alpha),
            trainer=replace(self.trainer, max_steps=self.finetune.max_steps),
            teacher_steps=self.finetune.teacher_steps,
        )

    def with_streams(self, streams: tuple[str, ...]) -> Plan:
        """The same for these streams, as the plan of two runs of one stream each."""
        features = self.features
        if isinstance(features, FeaturePlan):
            features = replace(features, streams=streams)
        return replace(self, streams=streams, features=features)


def streams_of(config: DictConfig) -> tuple[str, ...]:
    """The streams of a run."""
    streams = tuple(config.stream.names)
    if not streams or not set(streams) <= {"rgb", "flow"}:
        raise UserError(f"stream.names: got {list(streams)}, need one or both of rgb and flow")
    return streams


def dataset_of(config: DictConfig) -> DrawnSettings | FilesSettings:
    """Where the dataset is, and its trimmed companion where something is transferred.

    A rehearsal has both: what is drawn of one depends on the other.
    """
    values = {**_plain(config.dataset), **_plain(config.trimmed)}
    if config.dataset.name in READERS:
        alone = config.dataset.get("overlap") and not (
            config.transfer.fc1
            or config.transfer.fc2
            or config.pretrain.overlap
            or config.features.name == SIMULATED
        )
        values = {**_plain(config.dataset), "trimmed": None if alone else _plain(config.trimmed)}
        return settings_of(FilesSettings, values, where="dataset")
    return settings_of(DrawnSettings, values, where="dataset")


def features_of(config: DictConfig) -> FeaturePlan | SimulationSettings:
    """How features are made, or drawn."""
    node = config.features
    if node.name == SIMULATED:
        return settings_of(SimulationSettings, node, where="features")
    finetune = bool(OmegaConf.select(config, "backbone.finetune"))
    stored = streams_of(config) if finetune else ("flow",) if node.flow.store else ()
    return FeaturePlan(
        settings_of(FeatureSettings, {**_plain(node), "stored": stored}, where="features"),
        settings_of(SnippetSettings, node, where="features"),
        settings_of(ReadingSettings, config.video, where="video"),
        streams_of(config),
        Path(config.paths.features),
        Path(config.paths.stages),
    )


def _dashboard(node: DictConfig | None) -> DashboardSettings | None:
    if node is None:  # the configuration of a run that had no such choice
        return None
    if node.name not in ("csv", "wandb"):
        raise UserError(f"logger.name: got {node.name}, need csv or wandb")
    return settings_of(DashboardSettings, node, where="logger") if node.name == "wandb" else None


def _protocol(dataset: DictConfig) -> Protocol:
    if dataset.protocol is None:
        raise UserError(
            f"dataset={dataset.name}: its clips are trimmed, there is nothing to localise; give"
            " dataset=thumos14 or activitynet, which learn from them"
        )
    if dataset.protocol not in PROTOCOLS:
        raise UserError(f"dataset.protocol: got {dataset.protocol}, need one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[dataset.protocol]


def _plain(node: Any) -> Any:
    return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node


def _finetune(config: DictConfig) -> FinetuneSettings | None:
    node = config.get("backbone")
    if node is None or not node.finetune:
        return None
    if config.features.name == SIMULATED:
        raise UserError("backbone.finetune: got true with features=simulated, need videos; leave it out")
    return settings_of(FinetuneSettings, {**_plain(node), "sampling": _plain(node)}, where="backbone")


def _holdout(value: Any) -> float:
    if not isinstance(value, int | float) or not 0 <= value < 1:
        raise UserError(f"holdout: got {value}, need a share of the training videos, 0 or in (0, 1)")
    return float(value)


def _at_least(key: str, value: Any, least: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise UserError(f"{key}: got {value}, need a whole number >= {least}")
    return value


def _optimizer(node: DictConfig, stream: str) -> OptimizerSettings:
    rate = node.learning_rate[stream] if OmegaConf.is_dict(node.learning_rate) else node.learning_rate
    return settings_of(OptimizerSettings, {**_plain(node), "learning_rate": rate}, where="optimizer")
