"""The index of the pages of a folder: what to review next, and how much is done."""

from __future__ import annotations

import base64
import io
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from tsrnet.core.files import atomic_path
from tsrnet.reporting.web import as_json, html

INDEX = "index.html"
_THUMBNAIL_PX = 160


def write_index(
    path: Path, pages: Mapping[str, Mapping[str, Any]], *, reviewed: Collection[str] = ()
) -> None:
    """Write one HTML file that links pages and shows their review, most doubtful first.

    Args:
        path: in the folder of the pages.
        pages: name of the file -> what `read_page` returns.
        reviewed: ids of videos that are reviewed, even if the browser does not know it.
    """
    videos = [
        {
            **{key: page[key] for key in ("id", "key", "title", "duration_s", "detections")},
            "page": name,
            "doubt": round(doubt(page["probabilities"], {one["label"] for one in page["detections"]}), 3),
            "thumbnail": _thumbnail(page["thumbnails"], page["detections"]),
            "reviewed": page["id"] in reviewed,
        }
        for name, page in pages.items()
    ]
    data = as_json({"videos": videos})
    with atomic_path(path) as part, part.open("w", encoding="utf-8") as file:
        file.writelines(html("index", ("common.js", "index.js"), TITLE="Videos", DATA=data))


def doubt(probabilities: Sequence[tuple[str, float]], found: Collection[str]) -> float:
    """How close it was between the classes that were found in a video and those that were not, in [0, 1].

    One minus the probability of the least likely class of `found`, plus that of the most likely other class;
    1 where nothing was found. `probabilities`: the most likely classes.
    """
    inside = [value for name, value in probabilities if name in found]
    outside = [value for name, value in probabilities if name not in found]
    margin = min(inside, default=0.0) - max(outside, default=0.0)
    return 1 - min(1.0, max(0.0, margin))


def _thumbnail(thumbnails: Sequence[tuple[float, str]], found: Sequence[Mapping[str, Any]]) -> str:
    """A small JPEG as base64, of the middle of the best detection; empty where there are no pictures."""
    if not thumbnails:
        return ""
    best = max(found, key=lambda one: one["score"], default={"start_s": 0.0, "end_s": 0.0})
    middle_s = (best["start_s"] + best["end_s"]) / 2
    shown = [jpeg for time_s, jpeg in thumbnails if time_s <= middle_s] or [thumbnails[0][1]]
    picture, small = Image.open(io.BytesIO(base64.b64decode(shown[-1]))), io.BytesIO()
    picture.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX))
    picture.save(small, "JPEG", quality=80)
    return base64.b64encode(small.getvalue()).decode("ascii")
