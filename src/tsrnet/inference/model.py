"""The networks of a run, to find actions in your own videos."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import nn

from tsrnet.core.errors import UserError
from tsrnet.core.weights import check_size, load_weights
from tsrnet.core.workers import num_cores
from tsrnet.datasets.batch import Sample, VideoBatch
from tsrnet.evaluation.localize_videos import localize_batch
from tsrnet.evaluation.predictions import PredictionBatch
from tsrnet.evaluation.video_detections import VideoDetections
from tsrnet.features.backbone import Backbone, load_backbone
from tsrnet.features.extractor import Extraction, extract
from tsrnet.features.store import FeatureStore
from tsrnet.inference.hub import download, is_address
from tsrnet.localization.settings import LocalizationSettings
from tsrnet.pipeline.config import RunConfig
from tsrnet.pipeline.features import made_here
from tsrnet.pipeline.model_folder import ModelDescription, read_model
from tsrnet.training.end_to_end import EndToEnd
from tsrnet.training.module import TSRNetModule
from tsrnet.video.decoders import UnreadableVideoError
from tsrnet.video.snippets import count_snippets
from tsrnet.video.time_grid import TimeGrid
from tsrnet.video.video_file import VideoFile


class Detector:
    """The networks of a run, to find actions in your own videos. `tsrnet.load` makes it."""

    def __init__(self, folder: Path, description: ModelDescription, config: RunConfig) -> None:
        self._folder, self._description, self._config = folder, description, config
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._modules: dict[str, TSRNetModule] = {}
        self._backbones: dict[str, Backbone] = {}
        for stream in config.streams:
            self._load(stream)
        if not config.finetune:
            self._load_backbones()

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that it can recognise."""
        return self._description.classes

    @property
    def streams(self) -> tuple[str, ...]:
        return self._config.streams

    def detect(self, video: str | Path) -> VideoDetections:
        """Find the actions in a video.

        Raises UserError if the file cannot be read or is shorter than two snippets.
        """
        found, failures = self.detect_all([Path(video)])
        if failures:
            raise UserError(next(iter(failures.values())))
        return found[0]

    def detect_all(
        self, videos: Sequence[Path], *, features: Path | None = None
    ) -> tuple[list[VideoDetections], dict[Path, str]]:
        """Like `detect`, for many videos: the detections, and the reason for each video that failed.

        `features`: folder to keep the features in, so that the same videos are faster the second time and a
        stopped call can continue; None: nowhere.
        """
        with tempfile.TemporaryDirectory() as temporary:
            store = FeatureStore((features or Path(temporary)) / self._feature_key)
            failures = {video: f"{video}: there is no such file" for video in videos if not video.is_file()}
            ids = {video: _key(video) for video in videos if video not in failures}
            files = {video_id: VideoFile(video_id, video) for video, video_id in ids.items()}  # no duplicates
            start = time.monotonic()
            made = self._config.extraction
            workers = min(made.settings.workers, num_cores())  # the run may come from elsewhere
            extraction = Extraction(made.snippets, made.reading, workers)
            failed = extract(list(files.values()), store, self._backbones, extraction, what="videos")
            print(f"features: {time.monotonic() - start:.1f} s", flush=True)
            start = time.monotonic()
            found = []
            for video, video_id in ids.items():
                if video_id in failed:
                    failures[video] = failed[video_id]
                    continue
                try:
                    found.append(self._localize(video, video_id, store))
                except (UserError, UnreadableVideoError) as error:
                    failures[video] = f"{video}: {error}"
            print(f"networks and localisation: {time.monotonic() - start:.1f} s", flush=True)
        return found, failures

    def _localize(self, video: Path, video_id: str, store: FeatureStore) -> VideoDetections:
        """The actions in a video, by its id in the store."""
        streams = {
            stream: PredictionBatch.of(module.predict_step(self._batch(store, stream, video_id)))
            for stream, module in self._modules.items()
        }
        (result,) = localize_batch(streams, self._config.localization, grid_of=lambda *_: TimeGrid())
        duration_s = count_snippets(video, backend=self._config.extraction.reading.backend)[1]
        thresholds = self._config.localization.thresholds
        return VideoDetections.of(
            result, video=video, duration_s=duration_s, classes=self.classes, thresholds=thresholds
        )

    def _batch(self, store: FeatureStore, stream: str, video_id: str) -> VideoBatch:
        features = torch.from_numpy(store.read(stream, video_id))
        sample = Sample(video_id, features, torch.zeros(len(self.classes)))
        return VideoBatch.collate([sample]).to(self._device)

    @property
    def _feature_key(self) -> str:
        """Equal for models that see the same features."""
        text = json.dumps(self._description.features, sort_keys=True)
        tuned = str(self._folder) if self._config.finetune else ""
        return hashlib.sha256((text + tuned).encode()).hexdigest()[:16]

    def _load(self, stream: str) -> None:
        """Load the network of a stream, with its backbone if that was trained, too."""
        config, described = self._config, self._description
        weights = self._folder / f"{stream}.safetensors"
        build = partial(
            TSRNetModule,
            model=config.tested_model,
            localization=config.localization,
            num_features=described.num_features[stream],
            classes=described.classes,
        )
        check_size(build, weights)
        module = build()
        network: nn.Module = module.model
        if config.finetune:
            backbone = Backbone(config.extraction.settings.backbone, stream=stream)
            self._backbones[stream] = backbone.to(self._device)
            network = EndToEnd(backbone, module.model, config.finetune.settings)
        load_weights(network, weights, need=f"the run's {stream} network")
        self._modules[stream] = module.to(self._device)
        network.eval().requires_grad_(False)

    def _load_backbones(self) -> None:
        features = self._description.features
        if not made_here(features):
            raise UserError(
                f"{self._folder}: was trained on features that others extracted;"
                " the same features cannot be computed from videos"
            )
        name = self._config.extraction.settings.backbone
        for stream in self._config.extraction.extracted:
            own = self._folder / f"backbone_{stream}.safetensors"
            weights = str(own) if own.is_file() else str(features["weights"])
            self._backbones[stream] = load_backbone(name, stream=stream, weights=weights).to(self._device)


def load(run: str | Path, **localization: Any) -> Detector:
    """Load the networks of a run folder, of a copy of its folder `model`, or of the Hugging Face Hub.

    Args:
        run: a folder that `python -m tsrnet.train` wrote, or the address that `python -m tsrnet.publish`
            printed: `hf://owner/name`, or `hf://owner/name@revision` for a branch, tag or commit.
        localization: constants of the localisation that replace those of the run, for example threshold=0.3.

    Raises UserError if the folder has no model or an unreadable one.
    """
    folder, described = read_model(download(run) if is_address(run) else run)
    known = [field.name for field in fields(LocalizationSettings)]
    if unknown := [key for key in localization if key not in known]:
        raise UserError(f"load: got {unknown[0]}=, need constants of the localisation: {', '.join(known)}")
    given = DictConfig(OmegaConf.create(described.config))
    given.localization.update(localization)
    return Detector(folder, described, RunConfig.from_config(given))


def _key(video: Path) -> str:
    """An id for the present content of a file."""
    state = video.stat()
    text = f"{video.resolve()} {state.st_size} {state.st_mtime_ns}"
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:24]
