"""A run's configuration as typed settings, all validated before anything is computed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from omegaconf import DictConfig
from pydantic.dataclasses import dataclass as pydantic_dataclass

from tsrnet.core.errors import UserError
from tsrnet.core.reading import as_config, within
from tsrnet.core.settings import KNOWN_KEYS, Count, Natural, ShareBelowOne, settings_of
from tsrnet.datasets.snippet_sampler import BatchSettings
from tsrnet.localization.settings import LocalizationSettings
from tsrnet.losses.objective import LossSettings, TransferSettings
from tsrnet.models.registry import ModelSettings, model_name, model_settings, tsrnet_part
from tsrnet.pipeline.features import ExtractionConfig, PathSettings
from tsrnet.pipeline.sections import (
    TRANSFER_WEIGHTS,
    FeatureConfig,
    FinetuneConfig,
    Stage2Config,
    check_sections,
    dataset_of,
    features_of,
    finetune_of,
    has_teacher,
    localization_of,
    needs_clips,
    optimizers_of,
    plain,
    protocol_of,
    stage2_of,
    streams_of,
    wandb_of,
)
from tsrnet.pipeline.sources import (
    LABELS,
    ComposedSettings,
    DatasetSettings,
)
from tsrnet.reporting.wandb import WandbSettings
from tsrnet.synthetic.simulated import SimulationSettings
from tsrnet.training.fit import TrainerSettings
from tsrnet.training.optimizer import OptimizerSettings


@pydantic_dataclass(frozen=True, config=KNOWN_KEYS)
class TeacherSettings:
    """Settings of the trimmed network. `attention`: how it pools (D17); None: like the network of the run."""

    max_steps: Count
    attention: Literal["self", "mean"] | None = None


@dataclass(frozen=True)
class PretrainSettings:
    """Settings of the training on the classes that the trimmed clips show, too (D13)."""

    overlap: bool
    max_steps: Count


@dataclass(frozen=True)
class ReportSettings:
    """Numbers of test videos with a picture and with a page."""

    timelines: Natural
    pages: Natural


def stored_config(content: Any, path: Path) -> DictConfig:
    """The configuration that a run wrote to a file; UserError that names the file for any other file."""
    config = as_config(content, path)
    with within(path):
        RunConfig.from_config(config)
    return config


@dataclass(frozen=True)
class RunConfig:
    """The settings of `tsrnet.train`. Only the pipeline knows all of them; other parts get their own."""

    seed: Natural
    streams: tuple[str, ...]
    dataset: DatasetSettings
    protocol: str
    features: FeatureConfig
    model: ModelSettings
    loss: LossSettings
    transfer: TransferSettings
    optimizer: dict[str, OptimizerSettings]  # by stream
    trainer: TrainerSettings
    teacher: TeacherSettings
    pretrain: PretrainSettings
    batch_size: Count
    batches: BatchSettings
    finetune: FinetuneConfig | None  # None: features stay as they are
    stage2: Stage2Config | None  # None: the first stage is tested
    holdout: ShareBelowOne  # share of the training videos that is tested on instead of the test set
    localization: LocalizationSettings
    report: ReportSettings
    paths: PathSettings
    wandb: WandbSettings | None = None
    tensorboard: bool = False

    def __post_init__(self) -> None:
        if not tsrnet_part(self.model) and (self.transfer.active or self.pretrain.overlap):
            raise UserError(
                f"model={model_name(self.model)}: got transfer or overlap pretraining, which only TSRNet has;"
                " give transfer=none and pretrain=imagenet"
            )
        if model_name(self.model) == "co2net" and self.streams != ("joint",):
            raise UserError(
                f"model=co2net: got stream.names {list(self.streams)}, need both streams side by side; give"
                " stream=joint"
            )

    @classmethod
    def from_config(cls, config: DictConfig) -> RunConfig:
        """Raise UserError that names the key, what was got and what is needed."""
        check_sections(config)
        derived = {
            "streams": streams_of(config),
            "dataset": dataset_of(config),
            "protocol": protocol_of(config.dataset),
            "features": features_of(config),
            "model": model_settings(plain(config.model)),
            "loss": {**plain(config.loss), "beta": _beta(config)},
            "optimizer": optimizers_of(config, "optimizer"),
            "batch_size": settings_of(Count, config.optimizer.batch_size, where="optimizer.batch_size"),
            "finetune": finetune_of(config),
            "stage2": stage2_of(config),
            "localization": localization_of(config),
            "wandb": wandb_of(config.logger),
            "tensorboard": config.logger.name == "tensorboard",
        }
        return settings_of(cls, {**plain(config), **derived}, where="")

    @property
    def tested_model(self) -> ModelSettings:
        """The model of the last stage."""
        return self.stage2.model if self.stage2 else self.model

    @property
    def simulated(self) -> bool:
        return isinstance(self.features, SimulationSettings)

    @property
    def label(self) -> str:
        """The label in tables for where the numbers come from; empty for a dataset as it is published."""
        if self.simulated:
            return "SIMULATED features"
        return "REAL CLIPS, COMPOSED" if isinstance(self.dataset, ComposedSettings) else ""

    @property
    def extraction(self) -> ExtractionConfig:
        """How features are extracted from videos. Not for a rehearsal and not for imported features."""
        assert isinstance(self.features, ExtractionConfig)
        return self.features

    def with_streams(self, streams: tuple[str, ...]) -> RunConfig:
        """The same configuration with these streams, to join two runs of one stream each."""
        features = self.features
        if not isinstance(features, SimulationSettings):
            features = replace(features, streams=streams)
        return replace(self, streams=streams, features=features)


def settle_transfer(config: DictConfig) -> None:
    """Turn knowledge transfer off, and print a line, if there are no trimmed clips to learn from.

    Replaces a loss.beta of null, so that loggers show the number.
    """
    check_sections(config)
    if config.dataset.name == LABELS and config.trimmed.videos is None and needs_clips(config):
        print(
            "transfer: off, there are no trimmed clips (trimmed.videos=FOLDER with a folder for each class)"
        )
        config.transfer.update(dict.fromkeys(TRANSFER_WEIGHTS, 0.0))
        config.pretrain.overlap = False
    config.loss.beta = _beta(config)


def _beta(config: DictConfig) -> Any:
    """Weight of R_sparsity. Without a teacher, sparse attention may choose the background."""
    if config.loss.beta is None:
        return 0.1 if has_teacher(config) else 0.0
    return config.loss.beta
