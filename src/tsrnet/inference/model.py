"""A trained model as a folder, with all that it takes to use it on any video and machine."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from tsrnet.core.errors import UserError
from tsrnet.core.files import atomic_path, make_folder, part_of
from tsrnet.core.settings import settings_of
from tsrnet.datasets.batch import Sample, VideoBatch
from tsrnet.evaluation.localize_videos import localize_videos
from tsrnet.evaluation.predictions import ActivationStore, activations_of
from tsrnet.features.backbone import Backbone, load_backbone
from tsrnet.features.extractor import Extraction, extract
from tsrnet.features.store import FeatureStore
from tsrnet.inference.detections import VideoDetections
from tsrnet.models.registry import build_network
from tsrnet.models.video_model import VideoModel
from tsrnet.pipeline.config import Plan
from tsrnet.pipeline.features import FeaturePlan, made_here, own_weights
from tsrnet.pipeline.train_stages import Trained
from tsrnet.synthetic.simulated import SimulationSettings
from tsrnet.training.end_to_end import EndToEnd
from tsrnet.video.snippets import count_snippets
from tsrnet.video.time_grid import TimeGrid
from tsrnet.video.video_file import VideoFile

_FOLDER, _DESCRIPTION, _FORMAT = "model", "model.json", 1


@dataclass(frozen=True)
class _Description:
    """model.json: what is to be known beside the weights; `features` as in features.json."""

    format: int
    classes: tuple[str, ...]
    num_features: dict[str, int]  # by stream
    features: dict[str, Any]
    config: dict[str, Any]


def save_model(
    folder: Path,
    plan: Plan,
    config: DictConfig,
    features: Mapping[str, Any],
    trained: Mapping[str, Trained],
) -> None:
    """Write `<folder>/model`: networks, their configuration and classes, and backbones that are our own.

    Weights are links to those of the stages where the disk allows it: a sweep does not fill it. Nothing is
    written for simulated `features`, which no video has.
    """
    if isinstance(plan.features, SimulationSettings):
        return
    target = make_folder(folder / _FOLDER)
    for stream, result in trained.items():
        _link(plan.stages_root / result.stages[-1] / "weights.pt", target / f"{stream}.pt")
        if not plan.finetune and (weights := own_weights(plan.features, stream)):
            _link(weights, target / f"backbone_{stream}.pt")
    described = {
        "format": _FORMAT,
        "classes": next(iter(trained.values())).classes,
        "num_features": {stream: result.num_features for stream, result in trained.items()},
        "features": dict(features),
        "config": OmegaConf.to_container(config, resolve=True),
    }
    with atomic_path(target / _DESCRIPTION) as part:
        part.write_text(json.dumps(described, indent=1))


class Detector:
    """Networks of a run, for videos of one's own. Made by `tsrnet.load`."""

    def __init__(self, folder: Path, description: _Description, plan: Plan) -> None:
        self._folder, self._description, self._plan = folder, description, plan
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        parts = {stream: self._load(stream) for stream in plan.streams}
        self._networks = {stream: network for stream, (network, _) in parts.items()}
        self._backbones = {stream: backbone for stream, (_, backbone) in parts.items()}

    @property
    def classes(self) -> tuple[str, ...]:
        """What it can recognise."""
        return self._description.classes

    @property
    def streams(self) -> tuple[str, ...]:
        return self._plan.streams

    def detect(self, video: str | Path) -> VideoDetections:
        """What happens in a video, and when.

        Raises UserError for a file that cannot be read, or is shorter than two snippets.
        """
        found, failures = self.detect_all([Path(video)])
        if failures:
            raise UserError(next(iter(failures.values())))
        return found[0]

    def detect_all(
        self, videos: Sequence[Path], *, features: Path | None = None
    ) -> tuple[list[VideoDetections], dict[Path, str]]:
        """As `detect` for many videos; what was found, and of the others why nothing was.

        `features`: where their features are kept, so that the same videos go fast the second time and
        what was cut off goes on; None: nowhere.
        """
        with tempfile.TemporaryDirectory() as temporary:
            store = FeatureStore((features or Path(temporary)) / self._feature_key)
            files = {video: VideoFile(_key(video), video) for video in videos}
            start = time.monotonic()
            plan = self._feature_plan
            extraction = Extraction(plan.snippets, plan.reading, plan.settings.workers)
            failed = extract(list(files.values()), store, self._usable_backbones(), extraction, what="videos")
            failures = {video: failed[file.id] for video, file in files.items() if file.id in failed}
            print(f"features: {time.monotonic() - start:.1f} s", flush=True)
            start = time.monotonic()
            there = {file.id: video for video, file in files.items() if file.id not in failed}
            found = list(self._localize(there, store, Path(temporary))) if there else []
            print(f"networks and localisation: {time.monotonic() - start:.1f} s", flush=True)
        return found, failures

    def _localize(
        self, videos: Mapping[str, Path], store: FeatureStore, temporary: Path
    ) -> Iterator[VideoDetections]:
        """Of each video, by its id in the store."""
        stores = {}
        for stream, network in self._networks.items():
            stores[stream] = ActivationStore(temporary / f"activations-{stream}")
            batches = (self._batch(store, stream, video_id) for video_id in videos)
            stores[stream].write(activations_of(network, batches, device=self._device), {})
        grid = TimeGrid()
        results = localize_videos(stores, self._plan.localization, rate_hz=lambda _, __: grid.rate_hz)
        for result in results:
            video = videos[result.id]
            duration_s = count_snippets(video, backend=self._feature_plan.reading.backend)[1]
            thresholds = self._plan.localization.thresholds
            yield VideoDetections.of(
                result,
                video=video,
                duration_s=duration_s,
                grid=grid,
                classes=self.classes,
                thresholds=thresholds,
            )

    def _batch(self, store: FeatureStore, stream: str, video_id: str) -> VideoBatch:
        features = torch.from_numpy(store.read(stream, video_id))
        return VideoBatch.collate([Sample(video_id, features, torch.zeros(len(self.classes)))])

    @property
    def _feature_plan(self) -> FeaturePlan:
        assert isinstance(self._plan.features, FeaturePlan)
        return self._plan.features

    @property
    def _feature_key(self) -> str:
        """The same for models that see the same features."""
        text = json.dumps(self._description.features, sort_keys=True)
        tuned = str(self._folder) if self._plan.finetune else ""
        return hashlib.sha256((text + tuned).encode()).hexdigest()[:16]

    def _usable_backbones(self) -> dict[str, Backbone]:
        found = {stream: backbone for stream, backbone in self._backbones.items() if backbone}
        if len(found) < len(self.streams):
            raise UserError(
                f"{self._folder}: was trained on features that others extracted;"
                " videos cannot be turned into the same"
            )
        return found

    def _load(self, stream: str) -> tuple[VideoModel, Backbone | None]:
        plan, described = self._plan, self._description
        head = build_network(
            plan.network, num_features=described.num_features[stream], num_classes=len(self.classes)
        )
        name = self._feature_plan.settings.backbone
        path = self._folder / f"{stream}.pt"
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            if plan.finetune:
                both = EndToEnd(Backbone(name, stream=stream), head, plan.finetune)
                both.load_state_dict(state)
                return head.eval(), both.backbone.eval().requires_grad_(False).to(self._device)
            head.load_state_dict(state)
        except (OSError, RuntimeError, UnpicklingError, AttributeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"{path}: holds no weights of this network ({reason}); train again") from error
        if not made_here(described.features):
            return head.eval(), None
        own = self._folder / f"backbone_{stream}.pt"
        weights = str(own) if own.is_file() else str(described.features["weights"])
        return head.eval(), load_backbone(name, stream=stream, weights=weights).to(self._device)


def load(run: str | Path, **localization: Any) -> Detector:
    """The networks of a run folder, or of its folder `model` alone on another machine.

    Args:
        run: what `python -m tsrnet.train` wrote.
        localization: constants of the localisation in place of the run's, as threshold=0.3.

    Raises UserError for a folder without a model, or with one that cannot be read.
    """
    folder = Path(run)
    folder = folder if (folder / _DESCRIPTION).is_file() else folder / _FOLDER
    path = folder / _DESCRIPTION
    try:
        described = settings_of(_Description, json.loads(path.read_text()), where=str(path))
    except FileNotFoundError as error:
        raise UserError(
            f"run: got {run}, there is no {_FOLDER}/{_DESCRIPTION}; need the folder of a run of tsrnet.train"
            " with features of videos (its command again writes it, what is trained stays)"
        ) from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from error
    if described.format != _FORMAT:
        raise UserError(f"{path}: got format {described.format}, this version reads {_FORMAT}; update tsrnet")
    config = DictConfig(OmegaConf.create(described.config))
    config.localization.update(localization)
    plan = replace(Plan.from_config(config), dashboard=None)
    return Detector(folder, described, plan)


def _key(video: Path) -> str:
    """An id for what a file holds now."""
    try:
        state = video.stat()
    except OSError:
        return "missing"
    text = f"{video.resolve()} {state.st_size} {state.st_mtime_ns}"
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _link(source: Path, target: Path) -> None:
    part = part_of(target)
    part.unlink(missing_ok=True)
    try:
        os.link(source, part)
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, part)
    part.replace(target)
