"""ActivityNet's JSON: detections in the submission format, annotations in the layout of the ground truth."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from tsrnet.core.errors import UserError
from tsrnet.core.reading import as_kind
from tsrnet.core.settings import Name, is_name
from tsrnet.reporting.interchange.video_segments import Finite, VideoSegments, ordered
from tsrnet.reporting.timeline import Detection

_VERSION = "VERSION 1.3"


@dataclass(frozen=True)
class _Found:
    label: Name
    score: Finite
    segment: Annotated[
        tuple[Finite, Finite], AfterValidator(ordered), Field(description="[start, end], start <= end")
    ]


@dataclass(frozen=True)
class _Submission:
    results: dict[str, tuple[_Found, ...]]


def read_submission(path: str, content: Any) -> list[VideoSegments]:
    """The detections of a file in the submission format; UserError that names `path` for another content."""
    file: _Submission = as_kind(_Submission, content, path)
    results = file.results
    if wrong := [video for video in results if not is_name(video)]:
        raise UserError(f"{path}: got video id {wrong[0]!r:.80}, need a name in one line; correct it")
    return [
        VideoSegments(video, tuple(Detection(one.label, *one.segment, one.score) for one in found))
        for video, found in results.items()
    ]


def submission(videos: Iterable[VideoSegments], like: Any) -> dict[str, Any]:
    """The submission format, with what the content `like` of another such file says beside its results."""
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
