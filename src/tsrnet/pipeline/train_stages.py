"""The networks of a plan: a teacher and a network a stream, trained or found, and what they say."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from tsrnet.core.errors import UserError
from tsrnet.core.progress import track
from tsrnet.datasets.datamodule import VideoDataModule
from tsrnet.datasets.records import VideoDataset
from tsrnet.datasets.sampler import FeatureDataset
from tsrnet.datasets.snippet_sampler import SnippetSampler
from tsrnet.evaluation.predictions import ActivationStore, activations_of
from tsrnet.features.store import FeatureSource, FeatureStore
from tsrnet.losses.objective import LossSettings, TransferSettings
from tsrnet.models.registry import build_network, model_name, tsrnet_part
from tsrnet.models.video_model import VideoModel
from tsrnet.pipeline.config import Plan
from tsrnet.pipeline.data import Data
from tsrnet.pipeline.features import FeaturePlan, backbone_of
from tsrnet.pipeline.stages import Stage, held
from tsrnet.training.end_to_end import EndToEnd, FinetunedFeatures
from tsrnet.training.fit import is_first_process, train_stage
from tsrnet.training.module import TSRNetModule
from tsrnet.video.snippet_images import SnippetImages


@dataclass(frozen=True)
class Trained:
    """A network, the keys of the stages that made it, its classes in the order of its rows, and d."""

    network: VideoModel
    stages: tuple[str, ...]
    classes: tuple[str, ...]
    num_features: int


def train_network(plan: Plan, data: Data, stream: str) -> Trained:
    """The network of a stream; before it its teacher and the overlap stage, where the plan has them.

    Where the backbone learns, too, teacher and network are trained on its features first.
    """
    before = plan.before_finetuning()
    teacher = _train_teacher(before, data, stream) if plan.transfer.active else None
    start = None
    if plan.overlap_steps:
        assert data.companion
        shared = replace(data, untrimmed=data.untrimmed.of_classes(tuple(data.companion.class_map)))
        start = _train_student(before, shared, stream, "overlap", plan.overlap_steps, teacher, None)
    trained = _train_student(before, data, stream, "tsrnet", plan.trainer.max_steps, teacher, start)
    if not plan.finetune:
        return trained
    tuned = plan.finetuning()
    if teacher:
        teacher = _train_teacher(tuned, data, stream, teacher)
    return _train_student(tuned, data, stream, "finetuned", tuned.trainer.max_steps, teacher, trained)


def _train_student(
    plan: Plan,
    data: Data,
    stream: str,
    name: str,
    max_steps: int,
    teacher: Trained | None,
    start: Trained | None,
) -> Trained:
    """A network of untrimmed videos, from random weights or from those of another stage (D13)."""
    losses = plan.losses if tsrnet_part(plan.network) else None  # the rivals have their own
    pairs: dict[str, Any] = {}
    if teacher and data.companion:
        pairs = {"trimmed": _trimmed(plan, data, stream), "class_map": data.companion.class_map}
    module = datamodule(plan, data.untrimmed, data.store, stream, max_steps, **pairs)
    stage = Stage(
        plan.stages_root,
        f"{name}-{stream}",
        {
            **_identity(plan, module, data.store, stream),
            "losses": asdict(losses) if losses else None,
            "max_steps": max_steps,
            "transfer": asdict(plan.transfer) if teacher else None,
            "teacher": teacher.stages[-1] if teacher else None,
            "trimmed": _videos(pairs["trimmed"]) if pairs else None,
            "class_map": dict(pairs["class_map"]) if pairs else None,
            "start": start.stages[-1] if start else None,
        },
        module.dataset.classes,
    )
    network = _fit(
        plan,
        stage,
        module,
        losses=losses,
        transfer=plan.transfer,
        teacher=teacher.network if teacher else None,
        max_steps=max_steps,
        start=start,
    )
    before = [*(teacher.stages if teacher else ()), *(start.stages if start else ()), stage.key]
    return _trained(network, tuple(dict.fromkeys(before)), module)


def _train_teacher(plan: Plan, data: Data, stream: str, start: Trained | None = None) -> Trained:
    """The trimmed network: L_class only, "smoothness and sparsity are no longer necessary"."""
    own = tsrnet_part(plan.network)
    assert own
    assert data.companion
    plan = replace(plan, network=own)
    module = _trimmed(plan, data, stream)
    losses = LossSettings(0.0, 0.0, plan.losses.classification)
    identity = {
        **_identity(plan, module, data.companion.store, stream),
        "classification": losses.classification,
        "max_steps": plan.teacher_steps,
        "start": start.stages[-1] if start else None,
    }
    name = "finetuned_teacher" if start else "teacher"
    stage = Stage(plan.stages_root, f"{name}-{stream}", identity, module.dataset.classes)
    network = _fit(
        plan,
        stage,
        module,
        losses=losses,
        transfer=TransferSettings(0.0, 0.0),
        teacher=None,
        max_steps=plan.teacher_steps,
        start=start,
    )
    return _trained(network, (*(start.stages if start else ()), stage.key), module)


def _trimmed(plan: Plan, data: Data, stream: str) -> VideoDataModule:
    assert data.companion
    return datamodule(plan, data.companion.trimmed, data.companion.store, stream, plan.teacher_steps)


def _trained(network: VideoModel, stages: tuple[str, ...], data: VideoDataModule) -> Trained:
    return Trained(network, stages, data.dataset.classes, data.training_set.num_features)


def _fit(
    plan: Plan,
    stage: Stage,
    data: VideoDataModule,
    *,
    losses: LossSettings | None,
    transfer: TransferSettings,
    teacher: VideoModel | None,
    max_steps: int,
    start: Trained | None = None,
) -> VideoModel:
    torch.manual_seed(plan.seed)
    training_set = data.training_set
    network = build(plan, training_set, data.stream)
    if start is not None:
        carry_over(_head(start.network), start.classes, _head(network), training_set.classes)
    # Processes that train together do not wait for each other's stage.
    with stage.work() if is_first_process() else nullcontext(not stage.finished) as needed:
        if needed and not plan.trains:
            raise UserError(
                f"{stage.folder}: the network of this run is not there, or not finished; give the run's"
                " train command again, or the paths.stages that it had"
            )
        if needed:
            module = TSRNetModule(
                network,
                losses=losses,
                transfer=transfer,
                optimizer=plan.optimizer[data.stream],
                teacher=teacher,
                seed=plan.seed,
            )
            train_stage(stage, module, data, plan.trainer, max_steps=max_steps)
    network.load_state_dict(stage.load())
    return network.eval()


def build(plan: Plan, training_set: FeatureDataset, stream: str) -> VideoModel:
    """A fresh network; with its backbone where that learns, too."""
    network = build_network(
        plan.network, num_features=training_set.num_features, num_classes=len(training_set.classes)
    )
    if plan.finetune and isinstance(plan.features, FeaturePlan):
        return EndToEnd(backbone_of(plan.features, stream), network, plan.finetune)
    return network


def _head(network: VideoModel) -> VideoModel:
    """The part that stands on features."""
    return network.head if isinstance(network, EndToEnd) else network


def carry_over(source: VideoModel, known: Sequence[str], target: VideoModel, classes: Sequence[str]) -> None:
    """Give `target` all weights of `source`, FC2's rows to the classes of the same name (D13).

    `known` and `classes` are the classes of the two, in the order of their rows; the rows of new
    classes stay as they are.
    """
    state = target.state_dict()
    for name, value in source.state_dict().items():
        if name in source.class_rows:
            for row, label in enumerate(known):
                state[name][classes.index(label)] = value[row]
            state[name][len(classes) :] = value[len(known) :]  # of background
        else:
            state[name] = value
    target.load_state_dict(state)


def datamodule(
    plan: Plan, dataset: VideoDataset, store: FeatureSource, stream: str, num_steps: int, **companion: Any
) -> VideoDataModule:
    sampler = None
    if plan.finetune and isinstance(store, FeatureStore):
        sampler = SnippetSampler(SnippetImages(store.folder, stream), stream, plan.finetune.sampling)
    return VideoDataModule(
        dataset,
        store,
        sampler=sampler,
        stream=stream,
        batch_size=plan.batch_size,
        num_steps=num_steps,
        seed=plan.seed,
        **companion,
    )


def _identity(plan: Plan, data: VideoDataModule, store: FeatureSource, stream: str) -> dict[str, Any]:
    """What every training depends on; `Stage` hashes it."""
    features = {key: value for key, value in store.identity.items() if key != "versions"}
    return {
        "stream": stream,
        "seed": plan.seed,
        "model": model_name(plan.network),
        "network": asdict(plan.network),
        "optimizer": asdict(plan.optimizer[stream]),
        "batch_size": plan.batch_size,
        "precision": plan.trainer.precision,
        "gradient_clip": plan.trainer.gradient_clip,
        "accumulate": plan.trainer.accumulate,
        "features": features,
        "finetune": asdict(plan.finetune) if plan.finetune else None,
        "videos": _videos(data),
    }


def _videos(data: VideoDataModule) -> str:
    """A hash of the dataset's name, classes, training ids and video-level labels."""
    training_set = data.training_set
    text = json.dumps(
        [data.dataset.name, training_set.classes, [(v.id, v.labels) for v in training_set.videos]]
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def test_activations(plan: Plan, data: Data, trained: Mapping[str, Trained]) -> dict[str, ActivationStore]:
    """Stream -> what its network says of the test videos, computed once."""
    stores = {}
    cuda = plan.trainer.accelerator != "cpu" and torch.cuda.is_available()
    device = torch.device("cuda" if cuda else "cpu")
    for stream, result in trained.items():
        network = result.network.to(device)
        source = data.store
        if isinstance(network, EndToEnd) and plan.finetune and isinstance(source, FeatureStore):
            source = FinetunedFeatures(network, source, plan.finetune.chunk)
            network = network.head
        module = datamodule(plan, data.untrimmed, source, stream, 1)
        tested = json.dumps([data.untrimmed.name, [record.id for record in data.untrimmed.test]])
        identity = {
            "network": result.stages[-1],
            "features": {k: v for k, v in data.store.identity.items() if k != "versions"},
            "videos": hashlib.sha256(tested.encode()).hexdigest()[:16],
        }
        stage = Stage(plan.stages_root, f"activations-{stream}", identity)
        stores[stream] = ActivationStore(stage.folder)
        with held(plan.stages_root, stage.key):
            if stores[stream].finished:
                continue
            videos = activations_of(network, module.test_dataloader(), device=device)
            what = f"testing ({stream})"
            stores[stream].write(track(videos, total=len(data.untrimmed.test), what=what), identity)
    return stores
