"""Frames and flow of snippets as 8-bit images: for training end to end, and for other networks."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from tsrnet.core.errors import UserError
from tsrnet.core.files import check_id, make_folder, part_of
from tsrnet.video.time_grid import FRAMES_PER_SNIPPET

Pixels = npt.NDArray[np.uint8]


class SnippetImages:
    """JPEG files of one stream below `<folder>/<stream>_images/<video id>`; those of a video appear together.

    "rgb": `img_<frame>.jpg`, the middle frame of each snippet. "flow": `flow_<x|y>_<frame>.jpg`, all
    fields; grey value g is a flow of (g / 127.5 - 1) * bound pixels per frame, with the flow's own bound.
    Frames are numbered in 5 digits from 00001, as two-stream networks (TSN) have them. The pixels are
    those that the networks see.
    """

    def __init__(self, folder: Path, stream: str) -> None:
        self._folder, self._stream = folder / f"{stream}_images", stream
        self._part: Path | None = None  # of the video that is not complete

    def path(self, video_id: str) -> Path:
        return self._folder / check_id(video_id)

    def add(self, video_id: str, first: int, snippets: npt.NDArray[np.generic], *, last: bool) -> None:
        """Write snippets first, first + 1, ... of a video, as `Snippets` has them.

        The snippets of a video come in order, `last` with the last of them.
        """
        if not first:
            self.discard()
            if not self.path(video_id).exists():
                self._part = make_folder(part_of(self.path(video_id)))
        if not self._part:  # they were complete before the features were
            return
        images = snippets[..., ::-1] if self._stream == "rgb" else _grey(snippets)  # OpenCV's order is BGR
        names = [name for i in range(first, first + len(snippets)) for name in self._names(i)]
        for name, image in zip(names, images, strict=True):
            path = self._part / name
            if not cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, 95]):
                raise UserError(f"{path}: cannot be written; free space or change paths.features")
        if last:
            try:
                self._part.replace(self.path(video_id))
            except OSError:
                if not self.path(video_id).exists():
                    raise
                self.discard()  # another process was faster
            self._part = None

    def read(self, video_id: str, snippets: Sequence[int]) -> Pixels:
        """(n, h, w, 3) RGB, or (n, 10, h, w) flow with x and y interleaved, of these snippets."""
        folder = self.path(video_id)
        rgb = self._stream == "rgb"
        images = []
        for name in (name for i in snippets for name in self._names(i)):
            image = cv2.imread(str(folder / name), cv2.IMREAD_COLOR if rgb else cv2.IMREAD_GRAYSCALE)
            if image is None:
                raise UserError(f"{folder / name}: cannot be read; delete the folder and extract again")
            images.append(image)
        pixels: Pixels = np.stack(images)
        if rgb:
            pixels = pixels[..., ::-1]
            return np.ascontiguousarray(pixels)
        return pixels.reshape(len(snippets), -1, *pixels.shape[1:])

    def discard(self) -> None:
        """Remove the images of a video that did not become complete."""
        if self._part:
            shutil.rmtree(self._part, ignore_errors=True)
            self._part = None

    def _names(self, snippet: int) -> list[str]:
        first = snippet * FRAMES_PER_SNIPPET + 1
        if self._stream == "rgb":
            return [f"img_{first + FRAMES_PER_SNIPPET // 2:05d}.jpg"]
        frames = range(first, first + FRAMES_PER_SNIPPET)
        return [f"flow_{axis}_{frame:05d}.jpg" for frame in frames for axis in "xy"]


def _grey(stacks: npt.NDArray[np.generic]) -> Pixels:
    """(n, 10, h, w) flow in [-1, 1] as (10 n, h, w) grey values."""
    fields = stacks.reshape(-1, *stacks.shape[2:]).astype(np.float32)
    grey: Pixels = np.rint((fields + 1) * 127.5).astype(np.uint8)
    return grey
