"""TSRNet: action recognition and localisation in untrimmed videos from video-level labels.

from tsrnet import load
network = load("runs/RUN")
found = network.detect("clip.mp4")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tsrnet.inference.detections import VideoDetections as VideoDetections
    from tsrnet.inference.model import Detector as Detector
    from tsrnet.inference.model import load as load
    from tsrnet.reporting.timeline import Detection as Detection

__all__ = ["Detection", "Detector", "VideoDetections", "load"]


def __getattr__(name: str) -> Any:
    """torch takes seconds to import, and the commands answer --help without it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tsrnet.inference.detections import VideoDetections
    from tsrnet.inference.model import Detector, load
    from tsrnet.reporting.timeline import Detection

    public = {
        "Detection": Detection,
        "Detector": Detector,
        "VideoDetections": VideoDetections,
        "load": load,
    }
    return public[name]
