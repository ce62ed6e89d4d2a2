"""The stages of training a stream: teacher, overlap pretraining, TSRNet, and both through the backbone."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.loggers import Logger, TensorBoardLogger

from tsrnet.core.errors import UserError
from tsrnet.core.identity import identity_of
from tsrnet.core.weights import load_weights
from tsrnet.datasets.datamodule import VideoDataModule
from tsrnet.features.backbone import Backbone
from tsrnet.losses.objective import LossSettings, TransferSettings
from tsrnet.models.registry import ModelSettings, build_model, describe_model, tsrnet_part
from tsrnet.models.video_model import VideoModel, carry_over
from tsrnet.pipeline.config import RunConfig, TeacherSettings
from tsrnet.pipeline.data import RunData
from tsrnet.pipeline.features import backbone_of
from tsrnet.pipeline.sections import Stage2Config
from tsrnet.pipeline.stages import Stage
from tsrnet.reporting.wandb import WandbRun
from tsrnet.training.end_to_end import EndToEnd, FinetuneSettings
from tsrnet.training.fit import TrainerSettings, fit, is_first_process, wait_for_all
from tsrnet.training.module import TSRNetModule
from tsrnet.training.optimizer import OptimizerSettings
from tsrnet.training.pseudo_labels import pseudo_labels
from tsrnet.training.student import StudentModule


@dataclass(frozen=True)
class TrainingSettings:
    """The settings of a TSRNetModule that its weights depend on."""

    model: ModelSettings
    losses: LossSettings
    transfer: TransferSettings
    optimizer: OptimizerSettings
    seed: int


@dataclass(frozen=True)
class StageSpec:
    """A training and all that its weights depend on.

    `teacher`: the training that knowledge is transferred from. `start`: the training whose weights this one
    starts from (D13); None: random weights. `finetune`: training through the backbone. `pseudo`: a second
    stage, which learns from the detections of the stages `first` of all streams.
    """

    name: str
    data: VideoDataModule
    training: TrainingSettings
    trainer: TrainerSettings
    teacher: StageSpec | None = None
    start: StageSpec | None = None
    finetune: FinetuneSettings | None = None
    pseudo: Stage2Config | None = None
    first: tuple[StageSpec, ...] = ()

    @property
    def identity(self) -> dict[str, Any]:
        """The content of the hash of the stage: every setting that it uses, data and earlier stages."""
        training = {**asdict(self.training), "model": describe_model(self.training.model)}
        if not self.teacher:
            del training["transfer"]
        if not tsrnet_part(self.training.model):  # a rival has losses of its own
            del training["losses"]
        if self.pseudo:
            training["pseudo"] = {
                "first": [one.key for one in self.first],
                "localization": asdict(self.pseudo.localization),
                "student": asdict(self.pseudo.student),
            }
        return {
            **training,
            "data": self.data.identity,
            "trainer": identity_of(self.trainer),
            "teacher": self.teacher.key if self.teacher else None,
            "start": self.start.key if self.start else None,
            "finetune": identity_of(self.finetune) if self.finetune else None,
        }

    @property
    def key(self) -> str:
        return self.stage(Path()).key

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of the stages that this one builds on, in order, and its own."""
        before = [key for one in (self.teacher, self.start, *self.first) if one for key in one.keys]
        return tuple(dict.fromkeys((*before, self.key)))

    def stage(self, root: Path) -> Stage:
        return Stage(root, f"{self.name}-{self.data.stream}", self.identity, self.data.classes)


def stages_of(config: RunConfig, data: RunData, stream: str) -> StageSpec:
    """The last stage of a stream, with those before it."""
    if config.stage2 is None:
        return _first_stages(config, data, stream)
    stage2 = config.stage2
    training = TrainingSettings(
        stage2.model, config.loss, config.transfer, stage2.optimizer[stream], config.seed
    )
    first = tuple(_first_stages(config, data, one) for one in config.streams)
    return StageSpec(
        "student",
        data.module(stream, batch_size=stage2.batch_size, seed=config.seed),
        training,
        replace(config.trainer, max_steps=stage2.max_steps),
        pseudo=stage2,
        first=first,
    )


def _first_stages(config: RunConfig, data: RunData, stream: str) -> StageSpec:
    """The stages that learn from the labels of videos."""
    training = TrainingSettings(
        config.model, config.loss, config.transfer, config.optimizer[stream], config.seed
    )
    batches: dict[str, Any] = {
        "seed": config.seed,
        "paired": config.transfer.active,
        "batches": config.batches,
    }
    untrimmed = data.module(stream, batch_size=config.batch_size, **batches)
    teacher = start = None
    if config.transfer.active:
        _check_widths(untrimmed)
        teacher_trainer = replace(config.trainer, max_steps=config.teacher.max_steps)
        teacher = _teacher(training, untrimmed, teacher_trainer, config.teacher)
    if config.pretrain.overlap:
        shared = data.module(stream, batch_size=config.batch_size, shared_classes=True, **batches)
        trainer = replace(config.trainer, max_steps=config.pretrain.max_steps)
        start = StageSpec("overlap", shared, training, trainer, teacher)
    last = StageSpec("tsrnet", untrimmed, training, config.trainer, teacher, start)
    if config.finetune is None:
        return last
    tuned = config.finetune
    training = replace(
        training,
        losses=replace(config.loss, alpha=tuned.settings.alpha),
        optimizer=tuned.optimizer[stream],
    )
    sampling = tuned.settings.sampling
    pixels = data.module(stream, batch_size=tuned.batch_size, sampling=sampling, **batches)
    trainer = replace(config.trainer, max_steps=tuned.settings.max_steps)
    if teacher:
        teacher_trainer = replace(trainer, max_steps=tuned.settings.teacher_steps)
        teacher = replace(
            _teacher(training, pixels, teacher_trainer, config.teacher),
            name="finetuned_teacher",
            start=teacher,
            finetune=tuned.settings,
        )
    return StageSpec("finetuned", pixels, training, trainer, teacher, last, tuned.settings)


def _check_widths(data: VideoDataModule) -> None:
    """Raise UserError unless clips and videos have features of the same width, because MMD compares them."""
    assert data.trimmed
    ours, theirs = data.num_features, data.trimmed.num_features
    if ours != theirs:
        raise UserError(
            f"trimmed.features: the clips have {theirs} dimensions, the videos {ours}; transfer needs"
            " features of the same network: extract those of the clips with it, or give transfer=none"
        )


def _teacher(
    training: TrainingSettings, data: VideoDataModule, trainer: TrainerSettings, settings: TeacherSettings
) -> StageSpec:
    """The network of trimmed clips: L_class only, "smoothness and sparsity are no longer necessary"."""
    model = tsrnet_part(training.model)
    assert model
    assert data.trimmed
    model = replace(model, attention=settings.attention or model.attention)
    own = replace(training, model=model, losses=LossSettings(0.0, 0.0, training.losses.classification))
    return StageSpec("teacher", data.trimmed, own, trainer)


def run_stage(config: RunConfig, spec: StageSpec, wandb: WandbRun | None = None) -> TSRNetModule:
    """The trained module of a stage: loaded, or trained after the stages that it builds on."""
    stage = spec.stage(config.paths.stages)
    with first_process_works(stage) as needed:
        if not needed:
            return load_stage(config, spec)
        teacher = run_stage(config, spec.teacher, wandb) if spec.teacher else None
        start = run_stage(config, spec.start, wandb) if spec.start else None
        backbone = backbone_of(config.extraction, spec.data.stream) if spec.finetune else None
        if spec.pseudo:
            module: TSRNetModule = _student(config, spec, spec.pseudo, wandb)
        else:
            module = build_module(config, spec, teacher, backbone)
        if start:
            carry_over(_head(start.model), start.classes, _head(module.model), module.classes)
        if is_first_process():
            stage.begin()
        loggers: list[Logger] = [wandb.logger(f"{spec.name}-{spec.data.stream}")] if wandb else []
        if config.tensorboard:
            loggers.append(TensorBoardLogger(stage.folder, name="", version="logs", default_hp_metric=False))
        fit(module, spec.data, spec.trainer, folder=stage.folder, loggers=loggers)
        if isinstance(module, StudentModule):
            module.take_average()
        if is_first_process():
            stage.finish({name: value.cpu() for name, value in module.model.state_dict().items()})
        wait_for_all()  # the next stage asks whether this one is there
    return module.eval()


def _student(
    config: RunConfig, spec: StageSpec, pseudo: Stage2Config, wandb: WandbRun | None
) -> StudentModule:
    """A fresh module for a second stage, with the detections of the first one in the training videos."""
    first = {one.data.stream: run_stage(config, one, wandb) for one in spec.first}
    data = {one.data.stream: one.data for one in spec.first}
    labels = pseudo_labels(first, data, pseudo.localization)
    torch.manual_seed(spec.training.seed)
    return StudentModule(
        labels=labels,
        student=pseudo.student,
        data=spec.data,
        localization=config.localization,
        **vars(spec.training),
    )


def load_stage(config: RunConfig, spec: StageSpec) -> TSRNetModule:
    """The trained module of a stage; UserError if it is not finished or damaged. Nothing is written."""
    stage = spec.stage(config.paths.stages)
    if problem := stage.problem():
        raise UserError(f"{problem}; run the train command again, or give the paths.stages that it had")
    module = build_module(config, spec)
    load_weights(module.model, stage.weights, need="this stage")
    return module.eval()


def first_process_works(stage: Stage) -> AbstractContextManager[bool]:
    """Yield whether a stage must be computed. Processes that train together do not wait for each other."""
    return stage.work() if is_first_process() else nullcontext(stage.problem() is not None)


def build_module(
    config: RunConfig,
    spec: StageSpec,
    teacher: TSRNetModule | None = None,
    backbone: Backbone | None = None,
) -> TSRNetModule:
    """A fresh module. With `finetune`, it contains `backbone`, or one whose weights are loaded later."""
    torch.manual_seed(spec.training.seed)
    network: VideoModel | None = None
    if spec.finetune:
        head = build_model(
            spec.training.model, num_features=spec.data.num_features, num_classes=len(spec.data.classes)
        )
        name, stream = config.extraction.settings.backbone, spec.data.stream
        network = EndToEnd(backbone or Backbone(name, stream=stream), head, spec.finetune)
    return TSRNetModule(
        data=spec.data,
        teacher=teacher,
        localization=config.localization,
        network=network,
        **vars(spec.training),
    )


def _head(network: VideoModel) -> VideoModel:
    """The part of a network that takes features."""
    return network.head if isinstance(network, EndToEnd) else network
