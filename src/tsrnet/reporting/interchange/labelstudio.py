"""Label Studio: tasks with predicted segments on a video's timeline, and the annotations of its JSON export.

A segment is a range of frames from `start` to `end`, both inside and counted from 1: frame k covers
[(k - 1) / fps, k / fps) seconds. `fps` is that of Label Studio's timeline (frameRate of its Video tag), not
that of the file. So times come back rounded to frames, and the shortest segment is one frame.
"""

from __future__ import annotations

import colorsys
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.etree import ElementTree

from tsrnet.core.errors import UserError
from tsrnet.reporting.interchange.video_segments import (
    Reviewed,
    VideoSegments,
    checked_length,
    checked_segment,
)
from tsrnet.reporting.timeline import Detection

_VIDEO, _LABELS = "video", "actions"  # names of the two tags


def labeling_config(classes: Sequence[str]) -> str:
    """The XML of the labelling interface, with a colour for each class."""
    view = ElementTree.Element("View")
    labels = ElementTree.SubElement(view, "TimelineLabels", name=_LABELS, toName=_VIDEO)
    for i, label in enumerate(classes):
        rgb = colorsys.hls_to_rgb(i / len(classes), 0.45, 0.65)
        colour = "#" + "".join(f"{round(255 * part):02x}" for part in rgb)
        ElementTree.SubElement(labels, "Label", value=label, background=colour)
    ElementTree.SubElement(
        view, "Video", name=_VIDEO, value=f"${_VIDEO}", frameRate="$fps", timelineHeight="120"
    )
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode") + "\n"


def tasks_of(
    videos: Iterable[VideoSegments], *, url: str, fps: float, model_version: str, folder: Path | None = None
) -> list[dict[str, Any]]:
    """One task per video, with one prediction that holds its segments.

    The address of a video is `url` and the path of its file inside `folder`, or `<id>.mp4` if that is
    unknown. A prediction's score is that of its best segment, clipped to [0, 1] as Label Studio wants it.
    """
    tasks = []
    for number, video in enumerate(videos):
        result = []
        for i, one in enumerate(video.segments):
            first, last = frames_of(one, fps, video.duration_s)
            result.append(
                {
                    "id": f"{number}-{i}",
                    "from_name": _LABELS,
                    "to_name": _VIDEO,
                    "type": "timelinelabels",
                    "value": {"ranges": [{"start": first, "end": last}], "timelinelabels": [one.label]},
                    "score": one.score,
                }
            )
        name = video.id if PurePosixPath(video.id).suffix else f"{video.id}.mp4"
        if video.file and folder:
            name = video.file.relative_to(folder).as_posix()
        data = {_VIDEO: url + quote(name), "video_id": video.id, "fps": fps, "duration_s": video.duration_s}
        score = min(1.0, max((0.0, *(one.score for one in video.segments))))
        prediction = {"model_version": model_version, "score": score, "result": result}
        tasks.append({"data": data, "predictions": [prediction]})
    return tasks


def frames_of(segment: Detection, fps: float, duration_s: float | None) -> tuple[int, int]:
    """The first and the last frame of a segment, at least one and inside the video."""
    num_frames = math.inf if duration_s is None else max(1, round(duration_s * fps))
    first = int(min(max(0, round(segment.start_s * fps)) + 1, num_frames))
    return first, int(min(max(round(segment.end_s * fps), first), num_frames))


def read_tasks(path: str, content: Any, *, fps: float | None = None) -> Reviewed:
    """The annotated videos of a JSON export.

    Of several annotations of a task the one that is marked as ground truth counts, else the newest. Tasks
    that nobody annotated or that were skipped, and regions without a label, are left out and counted.

    Args:
        path: named in errors.
        content: what the file holds.
        fps: of the timeline, for tasks that do not have it in their data.

    Raises:
        UserError: for another content, a video with two tasks, frames that are no range, no fps.
    """
    if not isinstance(content, list) or not all(
        isinstance(task, dict) and "data" in task for task in content
    ):
        raise UserError(
            f"{path}: is not a list of tasks; export the project from Label Studio as JSON, not JSON-MIN"
        )
    videos: dict[str, VideoSegments] = {}
    counts: Counter[str] = Counter()
    for number, task in enumerate(content, 1):
        where = f"{path}: task {task.get('id', number)}"
        try:
            video = _video_of(where, task, fps, counts)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{where}: is not as Label Studio exports it ({error!r}); export it again"
            ) from error
        if video and video.id in videos:
            raise UserError(f"{where}: video {video.id!r} has another task, too; remove one of the two")
        if video:
            videos[video.id] = video
    return Reviewed(tuple(videos.values()), tuple(f"{what}: {n}" for what, n in counts.items() if n))


def _video_of(where: str, task: Any, fps: float | None, counts: Counter[str]) -> VideoSegments | None:
    data = task["data"]
    finished = [one for one in task.get("annotations") or () if not one.get("was_cancelled")]
    if not finished:
        counts["left out, tasks without an annotation"] += 1
        return None
    if len(finished) > 1:
        counts["tasks with several annotations, of which the ground truth or the newest counts"] += 1
    rate = data.get("fps", fps)
    if type(rate) not in (int, float) or not 0 < rate < math.inf:
        raise UserError(f"{where}: got fps {rate!r:.40}, need the frame rate of its timeline; give fps=")
    chosen = max(finished, key=lambda one: (bool(one.get("ground_truth")), one.get("updated_at") or ""))
    segments: list[Detection] = []
    for region in chosen["result"]:
        if region["type"] != "timelinelabels":
            counts["left out, entries that are not on the timeline"] += 1
            continue
        labels = region["value"].get("timelinelabels") or ()
        counts["left out, regions without a label"] += not labels
        for span in region["value"]["ranges"]:
            first, last = span["start"], span["end"]
            if not (type(first) is type(last) is int and 1 <= first <= last):
                raise UserError(
                    f"{where}: got frames {first!r:.40} to {last!r:.40}, need 1 <= start <= end; correct it"
                )
            segments += [checked_segment(where, label, (first - 1) / rate, last / rate) for label in labels]
    video_id = str(data["video_id"]) if "video_id" in data else _id_of(where, data)
    return VideoSegments(video_id, tuple(segments), checked_length(where, data.get("duration_s")))


def _id_of(where: str, data: Any) -> str:
    """The name of the file in a video's address, without its suffix and the prefix of an upload."""
    address = urlsplit(str(data.get(_VIDEO, "")))
    path = PurePosixPath(parse_qs(address.query).get("d", [unquote(address.path)])[0])
    name = re.sub(r"^[0-9a-f]{8}-", "", path.stem) if "upload" in path.parts else path.stem
    if not name:
        raise UserError(f"{where}: got data {data!r:.80}, need the address of the video as {_VIDEO!r}")
    return name
