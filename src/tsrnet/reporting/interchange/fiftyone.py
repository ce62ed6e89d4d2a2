"""FiftyOne: the files of its FiftyOneTemporalDetectionDataset.

Times are seconds here. FiftyOne turns them into frames, 1 + round(time / duration * (frames - 1)), so they
come back rounded by up to half a frame.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from tsrnet.core.errors import UserError
from tsrnet.core.reading import as_kind
from tsrnet.core.settings import shown
from tsrnet.reporting.interchange.video_segments import Reviewed, VideoSegments, checked_segment, classes_of


def dataset_files(videos: Iterable[VideoSegments]) -> dict[str, dict[str, Any]]:
    """Name -> content of `labels.json` and `data.json` (where the videos are).

    FiftyOne knows a video by the name of its file without the suffix. Raises UserError for a video without
    a file and for two with the same such name.
    """
    kept = list(videos)
    labels: dict[str, Any] = {}
    paths: dict[str, str] = {}
    for video in kept:
        if video.file is None:
            raise UserError(f"video {video.id!r}: got no file, which FiftyOne needs; give videos=")
        if video.file.stem in labels:
            raise UserError(f"{video.file}: another video is called {video.file.stem!r}, too; rename one")
        paths[video.file.name] = str(video.file.absolute())
        labels[video.file.stem] = [
            {
                "label": one.label,
                "timestamps": [max(0.0, one.start_s), max(0.0, one.end_s)],
                "confidence": one.score,
            }
            for one in video.segments
        ]
    return {"labels.json": {"classes": classes_of(kept), "labels": labels}, "data.json": paths}


@dataclass(frozen=True)
class _Marked:
    label: str | int
    timestamps: Annotated[
        tuple[Any, Any], Field(description="[start, end] in seconds; export with use_timestamps=True")
    ]


@dataclass(frozen=True)
class _Labels:
    labels: dict[str, tuple[_Marked, ...] | None]
    classes: tuple[str, ...] = ()


def read_labels(path: str, content: Any) -> Reviewed:
    """The videos of a `labels.json`; UserError that names `path` for another content or times in frames."""
    file: _Labels = as_kind(_Labels, content, path)
    names: dict[str | int, str] = dict(enumerate(file.classes))
    return Reviewed(
        tuple(
            VideoSegments(
                video,
                tuple(
                    checked_segment(
                        f"{path}: video {shown(video)}", names.get(one.label, one.label), *one.timestamps
                    )
                    for one in found or ()
                ),
            )
            for video, found in file.labels.items()
        )
    )
