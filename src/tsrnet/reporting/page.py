"""A page of one video in one file: player, timeline, scores and attention, detections to correct."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tsrnet.core.errors import UserError
from tsrnet.core.files import atomic_path
from tsrnet.core.reading import as_kind, parse_json, reading
from tsrnet.core.settings import Number
from tsrnet.reporting.timeline import Detection
from tsrnet.reporting.web import as_json, html, script_text

MAX_POINTS = 2000
"""The most points of a curve: more than a screen has columns."""

_SCRIPTS = ("common.js", "player.js", "timeline.js", "review.js")


@dataclass(frozen=True)
class Page:
    """What is shown of one video.

    `curves`: title -> values (n,) in [0, 1] at `rate_hz`, the first at `first_s`. `probabilities`: class ->
    video-level probability of the best classes. `thumbnails`: second and JPEG, shown where the video is not
    embedded or does not play. `video`: MIME type and bytes of the file to embed; None: thumbnails only.
    `note`: shown beside the title, such as SIMULATED or the run that made the page. `id`: of the video in
    exported files; None: the title. `classes`: the names that a segment can be given.
    """

    title: str
    duration_s: float
    rate_hz: float
    detections: Sequence[Detection]
    curves: Mapping[str, npt.NDArray[np.float32]]
    probabilities: Mapping[str, float]
    thumbnails: Sequence[tuple[float, bytes]]
    video: tuple[str, bytes] | None
    note: str = ""
    first_s: float = 0.0
    id: str | None = None
    classes: Sequence[str] = ()


def write_page(path: Path, page: Page) -> None:
    """Write the page as one HTML file that loads nothing from elsewhere; ValueError for NaN and infinity."""
    kind, content = page.video or (None, b"")
    data = as_json({**_data(page), "page": path.name, "video": kind})
    parts = html("page", _SCRIPTS, TITLE="Video", DATA=data, VIDEO=_base64(content))
    with atomic_path(path) as part, part.open("w", encoding="utf-8") as file:
        file.writelines(parts)


@dataclass(frozen=True)
class _Embedded:
    """The part of the data in a page that other modules read."""

    id: str
    key: str
    title: str
    duration_s: Number
    detections: tuple[Detection, ...]
    probabilities: tuple[tuple[str, Number], ...]
    thumbnails: tuple[tuple[Number, str], ...]


def read_page(path: Path) -> dict[str, Any]:
    """What `write_page` embedded, without the video; UserError for another file."""
    with reading(path, "a page of this version", do="run tsrnet.detect or tsrnet.train again"):
        try:
            data = parse_json(script_text(path, "data") or "null", path)
            as_kind(_Embedded, data, path)
        except UserError as error:
            raise ValueError(str(error).removeprefix(f"{path}: ")) from error
        return dict(data)


def thin(values: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], int]:
    """Maxima of bins, at most MAX_POINTS, and how many values a bin has; the last may have fewer."""
    width = max(1, -(-len(values) // MAX_POINTS))
    return np.maximum.reduceat(values, np.arange(0, len(values), width)) if width > 1 else values, width


def _data(page: Page) -> dict[str, Any]:
    """The data that the page embeds. Under `key` a browser keeps the corrections of these detections."""
    found = [asdict(one) for one in sorted(page.detections, key=_by_time)]
    video_id = page.title if page.id is None else page.id
    content = json.dumps([video_id, page.duration_s, found])
    return {
        "id": video_id,
        "key": hashlib.sha256(content.encode()).hexdigest()[:16],
        "title": page.title,
        "note": page.note,
        "duration_s": page.duration_s,
        "classes": list(page.classes) or sorted({one.label for one in page.detections}),
        "detections": found,
        "curves": [_curve(name, values, page) for name, values in page.curves.items()],
        "probabilities": sorted(page.probabilities.items(), key=lambda item: -item[1]),
        "thumbnails": [(time_s, _base64(jpeg)) for time_s, jpeg in sorted(page.thumbnails)],
    }


def _by_time(found: Detection) -> tuple[float, float]:
    """If two begin together, the longer one comes first, so that the shorter one is drawn on top."""
    return found.start_s, -found.end_s


def _curve(name: str, values: npt.NDArray[np.float32], page: Page) -> dict[str, Any]:
    """`first_s`: the middle of the first bin."""
    peaks, width = thin(values)
    return {
        "title": name,
        "first_s": page.first_s + (width - 1) / 2 / page.rate_hz,
        "step_s": width / page.rate_hz,
        "values": [round(float(value), 3) for value in peaks.clip(0, 1)],
    }


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
