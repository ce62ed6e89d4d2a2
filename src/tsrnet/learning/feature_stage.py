"""Makes sure that the features of a dataset are there: backbone, then extraction."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from tsrnet.datasets.inventory import MANIFEST, Inventory, take_inventory
from tsrnet.datasets.records import Collection
from tsrnet.features.backbone import load_backbone
from tsrnet.features.extractor import ReadingSettings, VideoFile, extract
from tsrnet.features.store import FeatureStore
from tsrnet.learning.stages import Stage
from tsrnet.learning.stand_in import StandInSettings, train_stand_in
from tsrnet.video.snippets import SnippetSettings
from tsrnet.video.time_grid import TimeGrid


@dataclass(frozen=True)
class FeatureSettings:
    """The feature configuration: store's name, backbone, its weights, worker processes.

    `weights`: "imagenet", a file, or "stand_in" for networks trained by `stand_in`.
    """

    name: str
    backbone: str
    weights: str
    workers: int
    resize: int
    crop: int
    stand_in: StandInSettings | None = None

    def __post_init__(self) -> None:
        if self.weights == "stand_in" and self.stand_in is None:
            raise ValueError("features.stand_in: got null, need its settings with features.weights=stand_in")
        if self.workers < 0:
            raise ValueError(f"features.workers: got {self.workers}, need 0 (one a core) or more")


def prepare_features(
    collections: Sequence[Collection],
    settings: FeatureSettings,
    snippets: SnippetSettings,
    reading: ReadingSettings,
    *,
    streams: tuple[str, ...],
    features_root: Path,
    stages_root: Path,
) -> list[tuple[FeatureStore, Inventory]]:
    """The store of each collection, with every feature in it that can be made, and what is not.

    A manifest beside the features lists the videos that have none, with the reason.
    """
    prepared: list[tuple[FeatureStore, Inventory]] = []
    for collection in collections:
        videos = [
            VideoFile(record.id, collection.path(record.id), record.duration_s)
            for record in (*collection.train, *collection.test)
        ]
        store, failures = extract_features(
            collection.name,
            videos,
            settings,
            snippets,
            reading,
            streams=streams,
            features_root=features_root,
            stages_root=stages_root,
        )
        inventory = take_inventory(collection, store, streams, failures)
        inventory.write(store.folder / MANIFEST)
        prepared.append((store, inventory))
    return prepared


def extract_features(
    name: str,
    videos: Sequence[VideoFile],
    settings: FeatureSettings,
    snippets: SnippetSettings,
    reading: ReadingSettings,
    *,
    streams: tuple[str, ...],
    features_root: Path,
    stages_root: Path,
) -> tuple[FeatureStore, dict[str, str]]:
    """The store of the dataset `name` with the features of all videos, and {id: why there are none}."""
    stand_ins = {
        stream: _stand_in_stage(stream, settings, snippets, stages_root) for stream in ("rgb", "flow")
    }
    store = FeatureStore(features_root / name / settings.name)
    missing = [v for v in videos if not all(store.path(stream, v.id).exists() for stream in streams)]
    found = [video for video in missing if video.path.is_file()]
    failures = {
        video.id: f"{video.path}: there is neither the video nor its features"
        for video in missing
        if not video.path.is_file()
    }
    if found or store.identity:
        store.claim(_identity(settings, snippets, stand_ins))
    if not found:
        return store, failures
    backbones = {}
    for stream in streams:
        source = settings.weights
        if settings.weights == "stand_in":
            _train_stand_in(stand_ins[stream], stream, settings, snippets)
            source = str(stand_ins[stream].weights)
        backbones[stream] = load_backbone(settings.backbone, stream=stream, weights=source)
    failures |= extract(
        found, store, backbones, snippets, workers=settings.workers, what=name, reading=reading
    )
    return store, failures


def _identity(
    settings: FeatureSettings, snippets: SnippetSettings, stand_ins: Mapping[str, Stage]
) -> dict[str, object]:
    """What features.json says."""
    if settings.weights == "stand_in":
        weights = {stream: stage.key for stream, stage in stand_ins.items()}
    elif Path(settings.weights).is_file():
        weights = {"all": f"sha256 {hashlib.sha256(Path(settings.weights).read_bytes()).hexdigest()}"}
    else:
        weights = {"all": settings.weights}
    libraries = ("torch", "torchvision", "opencv-contrib-python-headless")
    return {
        "backbone": settings.backbone,
        "weights": weights,
        "rate_hz": TimeGrid().rate_hz,
        "snippets": asdict(snippets),
        "versions": {name: version(name) for name in libraries},
    }


def _stand_in_stage(stream: str, settings: FeatureSettings, snippets: SnippetSettings, root: Path) -> Stage:
    stand_in = asdict(settings.stand_in) if settings.stand_in else None
    return Stage(
        root,
        f"backbone-{stream}",
        {"backbone": settings.backbone, "stream": stream, "stand_in": stand_in, "snippets": asdict(snippets)},
    )


def _train_stand_in(stage: Stage, stream: str, settings: FeatureSettings, snippets: SnippetSettings) -> None:
    if stage.finished or settings.stand_in is None:
        return
    stage.begin()
    stage.finish(
        train_stand_in(
            settings.backbone,
            stream=stream,
            settings=settings.stand_in,
            snippets=snippets,
            workers=settings.workers,
        )
    )
