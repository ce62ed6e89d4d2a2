"""TSRNet: action recognition and localisation in untrimmed videos from video-level labels.

from tsrnet import load
network = load("runs/RUN")
found = network.detect("clip.mp4")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tsrnet.learning.trained_model import TrainedModel as TrainedModel
    from tsrnet.learning.trained_model import load_model as load
    from tsrnet.learning.video_detections import VideoDetections as VideoDetections
    from tsrnet.reporting.timeline import Detection as Detection

__all__ = ["Detection", "TrainedModel", "VideoDetections", "load"]


def __getattr__(name: str) -> Any:
    """torch takes seconds to import, and the commands answer --help without it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tsrnet.learning.trained_model import TrainedModel, load_model
    from tsrnet.learning.video_detections import VideoDetections
    from tsrnet.reporting.timeline import Detection

    public = {
        "Detection": Detection,
        "TrainedModel": TrainedModel,
        "VideoDetections": VideoDetections,
        "load": load_model,
    }
    return public[name]
