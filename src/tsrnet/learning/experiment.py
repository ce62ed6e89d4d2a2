"""The stages of a plan: data and features, a teacher and a network a stream, the test."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch

from tsrnet.datasets.datamodule import VideoDataModule
from tsrnet.datasets.demo import draw_dataset
from tsrnet.datasets.records import Collection
from tsrnet.features.store import FeatureStore
from tsrnet.learning.feature_stage import prepare_features
from tsrnet.learning.module import TSRModule
from tsrnet.learning.plan import Plan
from tsrnet.learning.stages import Stage
from tsrnet.learning.training import train_stage
from tsrnet.losses.objective import LossSettings, TransferSettings
from tsrnet.network.network import Network


@dataclass(frozen=True)
class Data:
    """The dataset and its trimmed companion, with the store of each."""

    untrimmed: Collection
    trimmed: Collection
    untrimmed_store: FeatureStore
    trimmed_store: FeatureStore


@dataclass(frozen=True)
class Trained:
    """A network and the keys of the stages that made it."""

    network: Network
    stages: tuple[str, ...]


def prepare_data(plan: Plan) -> Data:
    """Videos, annotations and features, made where they are missing."""
    untrimmed, trimmed = draw_dataset(plan.dataset, workers=plan.features.workers)
    untrimmed_store, trimmed_store = prepare_features(
        (untrimmed, trimmed),
        plan.features,
        plan.snippets,
        streams=plan.streams,
        features_root=plan.features_root,
        stages_root=plan.stages_root,
    )
    return Data(untrimmed, trimmed, untrimmed_store, trimmed_store)


def train_network(plan: Plan, data: Data, stream: str) -> Trained:
    """The network of a stream, with its teacher first when the plan transfers knowledge."""
    teacher = _train_teacher(plan, data, stream) if plan.transfer.active else None
    trimmed = _datamodule(plan, data.trimmed, data.trimmed_store, stream, plan.teacher_steps)
    companion = {"trimmed": trimmed, "counterpart": {name: name for name in data.untrimmed.classes}}
    module = _datamodule(
        plan,
        data.untrimmed,
        data.untrimmed_store,
        stream,
        plan.trainer.max_steps,
        **(companion if teacher else {}),
    )
    stage = Stage(
        plan.stages_root,
        f"tsrnet-{stream}",
        {
            **_identity(plan, module, data.untrimmed_store, stream),
            "losses": asdict(plan.losses),
            "max_steps": plan.trainer.max_steps,
            "transfer": asdict(plan.transfer) if teacher else None,
            "teacher": teacher.stages[-1] if teacher else None,
            "trimmed": _videos(trimmed) if teacher else None,
        },
    )
    network = _fit(
        plan,
        stage,
        module,
        losses=plan.losses,
        transfer=plan.transfer,
        teacher=teacher.network if teacher else None,
        max_steps=plan.trainer.max_steps,
    )
    return Trained(network, (*(teacher.stages if teacher else ()), stage.key))


def _train_teacher(plan: Plan, data: Data, stream: str) -> Trained:
    """The trimmed network: L_class only, "smoothness and sparsity are no longer necessary"."""
    module = _datamodule(plan, data.trimmed, data.trimmed_store, stream, plan.teacher_steps)
    losses = LossSettings(0.0, 0.0, plan.losses.classification)
    identity = {
        **_identity(plan, module, data.trimmed_store, stream),
        "classification": losses.classification,
        "max_steps": plan.teacher_steps,
    }
    stage = Stage(plan.stages_root, f"teacher-{stream}", identity)
    transfer = TransferSettings(0.0, 0.0)
    network = _fit(
        plan, stage, module, losses=losses, transfer=transfer, teacher=None, max_steps=plan.teacher_steps
    )
    return Trained(network, (stage.key,))


def _fit(
    plan: Plan,
    stage: Stage,
    data: VideoDataModule,
    *,
    losses: LossSettings,
    transfer: TransferSettings,
    teacher: Network | None,
    max_steps: int,
) -> Network:
    torch.manual_seed(plan.seed)
    training_set = data.training_set
    network = Network(
        plan.network, num_features=training_set.num_features, num_classes=len(training_set.classes)
    )
    if not stage.finished:
        module = TSRModule(
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


def _datamodule(
    plan: Plan, collection: Collection, store: FeatureStore, stream: str, num_steps: int, **companion: Any
) -> VideoDataModule:
    return VideoDataModule(
        collection,
        store,
        stream=stream,
        batch_size=plan.batch_size,
        num_steps=num_steps,
        seed=plan.seed,
        **companion,
    )


def _identity(plan: Plan, data: VideoDataModule, store: FeatureStore, stream: str) -> dict[str, Any]:
    """What every training depends on; `Stage` hashes it."""
    features = {key: value for key, value in store.identity.items() if key != "versions"}
    return {
        "stream": stream,
        "seed": plan.seed,
        "network": asdict(plan.network),
        "optimizer": asdict(plan.optimizer[stream]),
        "batch_size": plan.batch_size,
        "precision": plan.trainer.precision,
        "features": features,
        "videos": _videos(data),
    }


def _videos(data: VideoDataModule) -> str:
    """A hash of the dataset's name, classes, training ids and video-level labels."""
    training_set = data.training_set
    text = json.dumps(
        [data.collection.name, training_set.classes, [(v.id, v.labels) for v in training_set.videos]]
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def test_loaders(plan: Plan, data: Data) -> Mapping[str, Any]:
    """Stream -> test batches, all in the order of the records."""
    return {
        stream: _datamodule(plan, data.untrimmed, data.untrimmed_store, stream, 1).test_dataloader()
        for stream in plan.streams
    }
