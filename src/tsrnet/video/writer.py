"""Writes H.264 files."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt


def write_video(
    path: Path, frames: Iterable[npt.NDArray[np.uint8]], *, frame_rate_hz: int | Fraction
) -> None:
    """Encode (h, w, 3) uint8 RGB frames with even sides as H.264 (yuv420p) into `path`."""
    with av.open(str(path), "w") as container:
        stream = None
        for frame in frames:
            if stream is None:
                # One thread: several files are written at once. No macroblock tree: with it and
                # B-frames x264 gave other bytes for the same frames in half of the repetitions.
                options = {"preset": "veryfast", "crf": "23", "threads": "1", "x264-params": "mbtree=0"}
                stream = container.add_stream("libx264", rate=frame_rate_hz, options=options)
                stream.height, stream.width = frame.shape[:2]
                stream.pix_fmt = "yuv420p"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        if stream is not None:
            container.mux(stream.encode())
