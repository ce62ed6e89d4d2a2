"""Makes sure that the features of a dataset are there: backbone, then extraction."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import torch

from tsrnet.datasets.availability import MANIFEST, Inventory, take_inventory
from tsrnet.datasets.records import VideoDataset
from tsrnet.features.backbone import Backbone, imagenet_weights, load_backbone
from tsrnet.features.extractor import Extraction, extract, is_missing
from tsrnet.features.store import FeatureStore
from tsrnet.pipeline.stages import Stage, held
from tsrnet.synthetic.stand_in import StandInSettings, train_stand_in
from tsrnet.video.snippet_images import SnippetImages
from tsrnet.video.snippets import SnippetSettings
from tsrnet.video.time_grid import TimeGrid
from tsrnet.video.video_file import ReadingSettings, VideoFile


@dataclass(frozen=True)
class FeatureSettings:
    """The feature configuration: store's name, backbone, its weights, worker processes.

    `weights`: "imagenet", one of torchvision's names, a file, or "stand_in" for networks trained by
    `stand_in`. `stored`: streams whose pixels are kept as 8-bit images as well.
    """

    name: str
    backbone: str
    weights: str
    workers: int
    stored: tuple[str, ...] = ()
    stand_in: StandInSettings | None = None

    def __post_init__(self) -> None:
        if self.weights == "stand_in" and self.stand_in is None:
            raise ValueError("features.stand_in: got null, need its settings with features.weights=stand_in")
        if self.workers < 0:
            raise ValueError(f"features.workers: got {self.workers}, need 0 (one a core) or more")


@dataclass(frozen=True)
class FeaturePlan:
    """How the features of a run are made, and below which folders they and the backbones lie."""

    settings: FeatureSettings
    snippets: SnippetSettings
    reading: ReadingSettings
    streams: tuple[str, ...]
    features_root: Path
    stages_root: Path


def prepare_features(
    datasets: Sequence[VideoDataset], plan: FeaturePlan
) -> list[tuple[FeatureStore, Inventory]]:
    """The store of each dataset, with every feature in it that can be made, and what is not.

    A manifest beside the features lists the videos that have none, with the reason.
    """
    prepared: list[tuple[FeatureStore, Inventory]] = []
    for dataset in datasets:
        with held(plan.features_root, f"{dataset.name}-{plan.settings.name}"):
            store, failures = extract_features(dataset.name, video_files(dataset), plan)
        inventory = take_inventory(dataset, store, plan.streams, failures)
        inventory.write(store.folder / MANIFEST)
        prepared.append((store, inventory))
    return prepared


def video_files(dataset: VideoDataset) -> list[VideoFile]:
    """All videos of a dataset, there or not."""
    return [
        VideoFile(record.id, dataset.path(record.id), record.duration_s)
        for record in (*dataset.train, *dataset.test)
    ]


def extract_features(
    name: str, videos: Sequence[VideoFile], plan: FeaturePlan
) -> tuple[FeatureStore, dict[str, str]]:
    """The store of the dataset `name` with the features of all videos, and {id: why there are none}."""
    settings = plan.settings
    stand_ins = {stream: _stand_in_stage(stream, plan) for stream in ("rgb", "flow")}
    store = FeatureStore(plan.features_root / name / settings.name)
    images = {
        stream: SnippetImages(store.folder, stream) for stream in plan.streams if stream in settings.stored
    }
    extraction = Extraction(plan.snippets, plan.reading, settings.workers, images)
    missing = [video for video in videos if is_missing(video, store, plan.streams, extraction)]
    found = [video for video in missing if video.path.is_file()]
    failures = {
        video.id: f"{video.path}: there is neither the video nor its features"
        for video in missing
        if not video.path.is_file()
    }
    if found or made_here(store.identity):
        store.claim(_identity(plan, stand_ins))
    if not found:
        return store, failures
    device = "cuda" if torch.cuda.is_available() else "cpu"
    backbones = {stream: backbone_of(plan, stream).to(device) for stream in plan.streams}
    print(f"{name}: {settings.backbone} with weights {_weights(plan, stand_ins)}")
    return store, failures | extract(found, store, backbones, extraction, what=name)


def backbone_of(plan: FeaturePlan, stream: str) -> Backbone:
    """The frozen backbone of a stream; a stand-in is trained where it is not there yet."""
    source = plan.settings.weights
    if source == "stand_in":
        stage = _stand_in_stage(stream, plan)
        _train_stand_in(stage, stream, plan)
        source = str(stage.weights)
    return load_backbone(plan.settings.backbone, stream=stream, weights=source)


def made_here(identity: Mapping[str, object]) -> bool:
    """Whether features.json is ours; that of others may say what it likes."""
    return {"snippets", "weights"} <= identity.keys()


def own_weights(plan: FeaturePlan, stream: str) -> Path | None:
    """The file with the weights of a stream's backbone; None where they are torchvision's."""
    stand_in = plan.settings.weights == "stand_in"
    path = _stand_in_stage(stream, plan).weights if stand_in else Path(plan.settings.weights)
    return path if path.is_file() else None


def _identity(plan: FeaturePlan, stand_ins: Mapping[str, Stage]) -> dict[str, object]:
    """What features.json says."""
    libraries = ("torch", "torchvision", "opencv-contrib-python-headless")
    return {
        "backbone": plan.settings.backbone,
        "weights": _weights(plan, stand_ins),
        "rate_hz": TimeGrid().rate_hz,
        "snippets": asdict(plan.snippets),
        "versions": {name: version(name) for name in libraries},
    }


def _weights(plan: FeaturePlan, stand_ins: Mapping[str, Stage]) -> str:
    """Which weights these are, whatever they are called: torchvision's name, or a hash."""
    settings = plan.settings
    if settings.weights == "stand_in":
        return " ".join(stage.key for stage in stand_ins.values())
    if Path(settings.weights).is_file():
        return f"sha256 {hashlib.sha256(Path(settings.weights).read_bytes()).hexdigest()}"
    return imagenet_weights(settings.backbone, settings.weights) or settings.weights


def _stand_in_stage(stream: str, plan: FeaturePlan) -> Stage:
    settings, snippets = plan.settings, asdict(plan.snippets)
    stand_in = asdict(settings.stand_in) if settings.stand_in else None
    return Stage(
        plan.stages_root,
        f"backbone-{stream}",
        {"backbone": settings.backbone, "stream": stream, "stand_in": stand_in, "snippets": snippets},
    )


def _train_stand_in(stage: Stage, stream: str, plan: FeaturePlan) -> None:
    settings = plan.settings
    if settings.stand_in is None:
        return
    with stage.work() as needed:
        if needed:
            stage.begin()
            stage.finish(
                train_stand_in(
                    settings.backbone,
                    stream=stream,
                    settings=settings.stand_in,
                    snippets=plan.snippets,
                    workers=settings.workers,
                )
            )
