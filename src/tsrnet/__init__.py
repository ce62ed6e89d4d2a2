"""TSRNet: action recognition and localisation in untrimmed videos from video-level labels.

from tsrnet import load
detector = load("runs/RUN")
found = detector.detect("clip.mp4")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tsrnet.datasets.benchmark_datamodules import ActivityNetDataModule as ActivityNetDataModule
    from tsrnet.datasets.benchmark_datamodules import THUMOS14DataModule as THUMOS14DataModule
    from tsrnet.datasets.benchmark_datamodules import UCF101DataModule as UCF101DataModule
    from tsrnet.datasets.datamodule import VideoDataModule as VideoDataModule
    from tsrnet.evaluation.video_detections import VideoDetections as VideoDetections
    from tsrnet.inference.model import Detector as Detector
    from tsrnet.inference.model import load as load
    from tsrnet.reporting.timeline import Detection as Detection
    from tsrnet.training.module import TSRNetModule as TSRNetModule

_HOME = {
    "ActivityNetDataModule": "datasets.benchmark_datamodules",
    "THUMOS14DataModule": "datasets.benchmark_datamodules",
    "UCF101DataModule": "datasets.benchmark_datamodules",
    "VideoDataModule": "datasets.datamodule",
    "VideoDetections": "evaluation.video_detections",
    "Detector": "inference.model",
    "load": "inference.model",
    "Detection": "reporting.timeline",
    "TSRNetModule": "training.module",
}
__all__ = sorted(_HOME)
__version__: str


def __getattr__(name: str) -> Any:
    """Import on first use: torch takes seconds to import, and --help does not need it."""
    if name == "__version__":
        return _version()
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"tsrnet.{_HOME[name]}"), name)


def _version() -> str:
    """The version of the installed package, which is the tag that it was built from."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("tsrnet")
    except PackageNotFoundError:  # the source on PYTHONPATH
        return "0.0.0"
