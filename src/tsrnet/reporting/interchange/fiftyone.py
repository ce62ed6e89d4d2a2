"""FiftyOne: the files of its FiftyOneTemporalDetectionDataset.

Times are seconds here. FiftyOne turns them into frames, 1 + round(time / duration * (frames - 1)), so they
come back rounded by up to half a frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tsrnet.core.errors import UserError
from tsrnet.core.settings import shown
from tsrnet.reporting.interchange.video_segments import Reviewed, VideoSegments, checked_segment, classes_of


def dataset_files(videos: Iterable[VideoSegments]) -> dict[str, dict[str, Any]]:
    """Name -> content of `labels.json` and `data.json` (where the videos are).

    FiftyOne knows a video by the name of its file without the suffix. Raises UserError for a video without a
    file and for two with the same name.
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


def read_labels(path: str, content: Any) -> Reviewed:
    """The videos of a `labels.json`; UserError that names `path` for another content or times in frames."""
    labels = content.get("labels") if isinstance(content, dict) else None
    if not isinstance(labels, Mapping):
        raise UserError(f'{path}: lacks "labels"; export a FiftyOneTemporalDetectionDataset from FiftyOne')
    classes = content.get("classes")
    videos = []
    for video, rows in labels.items():
        where = f"{path}: video {shown(video)}"
        segments = []
        if not isinstance(rows, list | None):
            raise UserError(f"{where}: got {shown(rows)}, need a list of segments; export it again")
        for row in rows or ():
            if not isinstance(row, dict) or "timestamps" not in row:
                raise UserError(f"{where}: got {row!r:.80}, need timestamps; export with use_timestamps=True")
            label, times_s = row.get("label"), row["timestamps"]
            if isinstance(label, int) and isinstance(classes, list) and 0 <= label < len(classes):
                label = classes[label]
            if not isinstance(times_s, list) or len(times_s) != 2:
                raise UserError(f"{where}: got timestamps {times_s!r:.80}, need [start, end]; correct it")
            segments.append(checked_segment(where, label, *times_s))
        videos.append(VideoSegments(video, tuple(segments)))
    return Reviewed(tuple(videos))
