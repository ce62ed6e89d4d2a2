"""Makes sure that the features of a dataset are there: backbone, then extraction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from pydantic import model_validator
from pydantic.dataclasses import dataclass as pydantic_dataclass

from tsrnet.core.errors import UserError
from tsrnet.core.settings import KNOWN_KEYS, Natural
from tsrnet.datasets.availability import MANIFEST, Availability, find_features, video_files
from tsrnet.datasets.records import VideoDataset
from tsrnet.features.backbone import Backbone, load_backbone, weights_file, weights_identity
from tsrnet.features.extractor import Extraction, extract, is_missing
from tsrnet.features.store import JOINT, STREAMS, FeatureStore
from tsrnet.pipeline.stages import Stage, held
from tsrnet.synthetic.stand_in import StandInSettings, train_stand_in
from tsrnet.video.snippet_images import SnippetImages
from tsrnet.video.snippets import SnippetSettings
from tsrnet.video.time_grid import TimeGrid
from tsrnet.video.video_file import ReadingSettings, VideoFile


@pydantic_dataclass(frozen=True, config=KNOWN_KEYS)
class FeatureSettings:
    """The feature configuration: store's name, backbone, its weights, worker processes.

    `weights`: "imagenet", one of torchvision's names, a file, or "stand_in" for networks trained by
    `stand_in`. `stored`: streams whose pixels are also kept as 8-bit images.
    """

    name: str
    backbone: str
    weights: str
    workers: Natural  # 0: one per core
    stored: tuple[str, ...] = ()
    stand_in: StandInSettings | None = None

    @model_validator(mode="after")
    def _has_stand_in(self) -> FeatureSettings:
        if self.weights == "stand_in" and self.stand_in is None:
            raise ValueError("stand_in: got null, need its settings with features.weights=stand_in")
        return self


@dataclass(frozen=True)
class PathSettings:
    """The folders of the features, and of stages and backbones."""

    features: Path
    stages: Path


@dataclass(frozen=True)
class ExtractionConfig:
    """How the features of a run are made, and where they and the backbones lie."""

    settings: FeatureSettings
    snippets: SnippetSettings
    reading: ReadingSettings
    streams: tuple[str, ...]
    paths: PathSettings

    @property
    def extracted(self) -> tuple[str, ...]:
        """The streams that have features of their own: "joint" is both side by side."""
        return STREAMS if self.streams == (JOINT,) else self.streams


@dataclass(frozen=True)
class ImportedFeatures:
    """Existing features: `<root>/<dataset>/<name>`; `trimmed`: the name of the features of the clips."""

    name: str
    streams: tuple[str, ...]
    root: Path
    trimmed: str


def find_stores(
    datasets: Sequence[VideoDataset], config: ExtractionConfig | ImportedFeatures, *, manifest: bool
) -> list[tuple[FeatureStore, Availability]]:
    """The stores of an untrimmed dataset and of its trimmed clips, and the videos that they lack.

    Writes nothing but, with `manifest`, a manifest beside the features. Raises UserError for a missing
    folder.
    """
    if imported := isinstance(config, ImportedFeatures):
        root, names = config.root, (config.name, config.trimmed)
    else:
        root, names = config.paths.features, (config.settings.name,) * 2
    found: list[tuple[FeatureStore, Availability]] = []
    for dataset, name in zip(datasets, names, strict=False):
        store = FeatureStore(root / dataset.name / name)
        if not store.folder.is_dir():
            get = "import them with python -m tsrnet.import_features" if imported else "train the run again"
            raise UserError(
                f"{store.folder}: contains no features; {get} or give another features.name or paths.features"
                + " (for the clips: trimmed.features; transfer=none needs no clips)" * bool(found)
            )
        if imported:
            _check_streams(store, config.streams)
        available = find_features(dataset, store, config.streams)
        if manifest:
            available.write(store.folder / MANIFEST)
        found.append((store, available))
    return found


def _check_streams(store: FeatureStore, streams: tuple[str, ...]) -> None:
    """Raise UserError that names the streams of a store, if it lacks one that is needed."""
    there = sorted(path.name for path in store.folder.iterdir() if path.is_dir())
    needed = STREAMS if streams == (JOINT,) and JOINT not in there else streams
    if there and (absent := [name for name in needed if name not in there]):
        have = "two_stream" if set(there) >= set(STREAMS) else there[0]
        raise UserError(
            f"{store.folder}: got features of {', '.join(there)}, need {', '.join(absent)};"
            f" give stream={have}, or import the others"
        )


def prepare_features(
    datasets: Sequence[VideoDataset], config: ExtractionConfig
) -> list[tuple[FeatureStore, Availability]]:
    """Extract the missing features of each dataset; return its store and the videos that have none.

    A manifest beside the features lists the videos that have none, with the reason.
    """
    prepared: list[tuple[FeatureStore, Availability]] = []
    for dataset in datasets:
        with held(config.paths.features, f"{dataset.name}-{config.settings.name}"):
            store, failures = extract_features(dataset.name, video_files(dataset), config)
        available = find_features(dataset, store, config.streams, failures)
        available.write(store.folder / MANIFEST)
        prepared.append((store, available))
    return prepared


def extract_features(
    name: str, videos: Sequence[VideoFile], config: ExtractionConfig, *, folder: Path | None = None
) -> tuple[FeatureStore, dict[str, str]]:
    """Extract the missing features of the dataset `name`; return its store and {id: why there are none}.

    `folder`: where the videos are, if they are not of a dataset. Another folder of the same name is refused,
    because its videos may have the same names.
    """
    settings = config.settings
    stand_ins = {stream: _stand_in_stage(stream, config) for stream in ("rgb", "flow")}
    store = FeatureStore(config.paths.features / name / settings.name)
    images = {
        stream: SnippetImages(store.folder, stream)
        for stream in config.extracted
        if stream in settings.stored
    }
    extraction = Extraction(config.snippets, config.reading, settings.workers, images)
    missing = [video for video in videos if is_missing(video, store, config.extracted, extraction)]
    found = [video for video in missing if video.path.is_file()]
    failures = {
        video.id: f"{video.path}: neither the video nor its features exist"
        for video in missing
        if not video.path.is_file()
    }
    if found or made_here(store.identity):
        source = {"videos": str(folder.resolve())} if folder else {}
        store.claim({**_identity(config, stand_ins), **source})
    if not found:
        return store, failures
    device = "cuda" if torch.cuda.is_available() else "cpu"
    backbones = {stream: backbone_of(config, stream).to(device) for stream in config.extracted}
    print(f"{name}: {settings.backbone} with weights {_weights(config, stand_ins)}")
    return store, failures | extract(found, store, backbones, extraction, what=name)


def backbone_of(config: ExtractionConfig, stream: str) -> Backbone:
    """The frozen backbone of a stream; a missing stand-in is trained first."""
    source = config.settings.weights
    if source == "stand_in":
        source = str(_train_stand_in(stream, config))
    return load_backbone(config.settings.backbone, stream=stream, weights=source)


def made_here(identity: Mapping[str, object]) -> bool:
    """Return whether features.json was written here; that of another tool may have any content."""
    return {"snippets", "weights"} <= identity.keys()


def own_weights(config: ExtractionConfig, stream: str) -> Path | None:
    """The file with the weights of a stream's backbone; None for published weights."""
    if config.settings.weights == "stand_in":
        return _train_stand_in(stream, config)
    return weights_file(config.settings.backbone, config.settings.weights, stream=stream)


def _identity(config: ExtractionConfig, stand_ins: Mapping[str, Stage]) -> dict[str, object]:
    """The content of features.json."""
    libraries = ("torch", "torchvision", "opencv-contrib-python-headless")
    return {
        "backbone": config.settings.backbone,
        "weights": _weights(config, stand_ins),
        "rate_hz": TimeGrid().rate_hz,
        "snippets": config.snippets.identity,
        "versions": {name: version(name) for name in libraries},
    }


def _weights(config: ExtractionConfig, stand_ins: Mapping[str, Stage]) -> str:
    """The identity of the weights, whatever their name is."""
    if config.settings.weights == "stand_in":
        return " ".join(stage.key for stage in stand_ins.values())
    return weights_identity(config.settings.backbone, config.settings.weights)


def _stand_in_stage(stream: str, config: ExtractionConfig) -> Stage:
    settings, snippets = config.settings, config.snippets.identity
    stand_in = asdict(settings.stand_in) if settings.stand_in else None
    return Stage(
        config.paths.stages,
        f"backbone-{stream}",
        {"backbone": settings.backbone, "stream": stream, "stand_in": stand_in, "snippets": snippets},
    )


def _train_stand_in(stream: str, config: ExtractionConfig) -> Path:
    """The weights of a stand-in, which is trained if it is missing or damaged."""
    stage, settings = _stand_in_stage(stream, config), config.settings
    assert settings.stand_in
    with stage.work() as needed:
        if needed:
            stage.begin()
            stage.finish(
                train_stand_in(
                    settings.backbone,
                    stream=stream,
                    settings=settings.stand_in,
                    snippets=config.snippets,
                    workers=settings.workers,
                )
            )
    return stage.weights
