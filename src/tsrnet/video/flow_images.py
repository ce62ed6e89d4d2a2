"""Flow as 8-bit images, for those who train other networks on it."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from tsrnet.errors import UserError
from tsrnet.files import check_id, make_folder, part_of


class FlowImages:
    """JPEG files `<folder>/<video id>/flow_<x|y>_<5 digits, from 00001>.jpg`; a video's appear at once.

    Grey value g is a flow of (g / 127.5 - 1) * bound pixels a frame, with the flow's own bound, as the
    images of two-stream networks (TSN) have it. The pixels are those that the networks see.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._part: Path | None = None  # of the video that is not complete

    def path(self, video_id: str) -> Path:
        return self._folder / check_id(video_id)

    def add(self, video_id: str, first: int, stacks: npt.NDArray[np.float16], *, last: bool) -> None:
        """Write (n, 2 t, h, w) flow in [-1, 1], x and y interleaved, of snippets first, first + 1, ...

        The snippets of a video come in order, `last` with the last of them.
        """
        if not first:
            self.discard()
            if not self.path(video_id).exists():
                self._part = make_folder(part_of(self.path(video_id)))
        if not self._part:  # they were complete before the features were
            return
        fields = stacks.reshape(-1, 2, *stacks.shape[2:]).astype(np.float32)
        grey = np.rint((fields + 1) * 127.5).astype(np.uint8)
        start = first * stacks.shape[1] // 2 + 1
        for number, field in enumerate(grey, start):
            for axis, image in zip("xy", field, strict=True):
                path = self._part / f"flow_{axis}_{number:05d}.jpg"
                if not cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, 95]):
                    raise UserError(f"{path}: cannot be written; free space or change paths.features")
        if last:
            self._part.replace(self.path(video_id))
            self._part = None

    def discard(self) -> None:
        """Remove the images of a video that did not become complete."""
        if self._part:
            shutil.rmtree(self._part, ignore_errors=True)
            self._part = None
