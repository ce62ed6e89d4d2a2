"""ActivityNet's JSON: detections in the submission format, annotations in the layout of the ground truth."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from tsrnet.core.errors import UserError
from tsrnet.reporting.interchange.video_segments import VideoSegments, checked_segment

_VERSION = "VERSION 1.3"


def read_submission(path: str, content: Any) -> list[VideoSegments]:
    """The detections of a file in the submission format; UserError that names `path` for another content."""
    results = content.get("results") if isinstance(content, dict) else None
    if not isinstance(results, dict):
        raise UserError(f'{path}: lacks "results"; need {{"results": {{video id: [detections]}}}}')
    videos = []
    for video, rows in results.items():
        if not video.isprintable():
            raise UserError(f"{path}: got video id {video!r:.80}, need a text in one line; correct it")
        if not isinstance(rows, list):
            raise UserError(f"{path}: video {video!r}: got {rows!r:.80}, need a list of detections")
        segments = []
        for number, row in enumerate(rows, 1):
            where = f"{path}: video {video!r}, detection {number}"
            try:
                label, score, (start_s, end_s) = row["label"], row["score"], row["segment"]
            except (KeyError, TypeError, ValueError) as error:
                raise UserError(
                    f"{where}: got {row!r:.80}, need label, score and segment [start, end]"
                ) from error
            segments.append(checked_segment(where, label, start_s, end_s, score, lowest_s=-math.inf))
        videos.append(VideoSegments(video, tuple(segments)))
    return videos


def submission(videos: Iterable[VideoSegments], like: Any) -> dict[str, Any]:
    """The submission format, with all keys but the results from the content `like` of another such file."""
    results = {
        video.id: [
            {"label": one.label, "segment": [one.start_s, one.end_s], "score": one.score}
            for one in video.segments
        ]
        for video in videos
    }
    return {"version": _VERSION, **like, "results": results}


def ground_truth(videos: Iterable[VideoSegments], subset: str) -> dict[str, Any]:
    """The layout of the ground truth; segments are cut off where the video ends, if that is known."""
    database: dict[str, Any] = {}
    for video in videos:
        length_s = math.inf if video.duration_s is None else video.duration_s
        annotations = [
            {"label": one.label, "segment": [min(one.start_s, length_s), min(one.end_s, length_s)]}
            for one in sorted(video.segments, key=lambda one: (one.start_s, one.end_s, one.label))
        ]
        duration = {} if video.duration_s is None else {"duration": video.duration_s}
        database[video.id] = {**duration, "subset": subset, "annotations": annotations}
    return {"version": _VERSION, "taxonomy": [], "database": database}
