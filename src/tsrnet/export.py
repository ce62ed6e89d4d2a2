"""`python -m tsrnet.export`: writes detections in the format of another tool, or networks as ONNX."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from omegaconf import DictConfig
from pydantic import Field

from tsrnet.core.cli import run_command
from tsrnet.core.errors import UserError
from tsrnet.core.settings import AnyPath, Count, Number, Positive, settings_of

if TYPE_CHECKING:
    from tsrnet.reporting.interchange.video_segments import VideoSegments


@dataclass(frozen=True)
class ExportSettings:
    """The keys of the command; conf/export.yaml says what each means."""

    format: Literal["activitynet", "labelstudio", "fiftyone", "csv", "srt", "onnx"]
    output: Annotated[AnyPath, Field(description="a file (activitynet, csv) or a folder")]
    run: AnyPath | None
    detections: AnyPath | None
    videos: AnyPath | None
    min_score: Number | None
    per_video: Count | None
    url: str
    fps: Positive


def export(config: DictConfig) -> None:
    """Read the detections, choose the best, write them below `output`."""
    from tsrnet.core.files import atomic_path
    from tsrnet.core.reading import read_json
    from tsrnet.core.wording import counted
    from tsrnet.reporting.interchange.activitynet import read_submission
    from tsrnet.reporting.interchange.video_segments import best_segments, classes_of

    settings = settings_of(ExportSettings, config, where="")
    if settings.format == "onnx":
        _export_networks(settings)
        return
    if settings.format == "fiftyone" and settings.videos is None:
        raise UserError("videos: got nothing, need the folder of the videos for format=fiftyone")
    source = _source(settings)
    content = read_json(source)
    found = read_submission(str(source), content)
    videos = best_segments(found, min_score=settings.min_score, per_video=settings.per_video)
    if settings.videos is not None:
        videos = with_files(videos, settings.videos, lengths=settings.format in ("labelstudio", "csv"))
    if settings.format == "fiftyone":
        videos = [video for video in videos if video.file]
    for path, text in _files(settings, videos, classes_of(found), content, source).items():
        with atomic_path(path) as part:
            part.write_text(text, encoding="utf-8")
    before, after = (sum(len(video.segments) for video in group) for group in (found, videos))
    print(
        f"{settings.output}: {counted(len(videos), 'video')}, {counted(after, 'detection')},"
        f" {before - after} left out"
    )


def _export_networks(settings: ExportSettings) -> None:
    from tsrnet.inference.onnx import export_onnx

    if settings.run is None:
        raise UserError("run: got nothing, need the folder of a run of tsrnet.train for format=onnx")
    for path in export_onnx(settings.run, settings.output):
        print(f"{path}: equal to the network, compared in onnxruntime")


def with_files(videos: Iterable[VideoSegments], folder: Path, *, lengths: bool) -> list[VideoSegments]:
    """The videos with their files in a folder and, with `lengths`, the lengths of those that lack one.

    Files that are missing or cannot be read are listed on the terminal. UserError if there is no folder.
    """
    from tsrnet.core.progress import track
    from tsrnet.core.wording import listed
    from tsrnet.core.workers import worker_pool
    from tsrnet.datasets.video_folder import VideoFolder
    from tsrnet.video.snippets import count_snippets
    from tsrnet.video.video_file import ReadingSettings

    if not folder.is_dir():
        raise UserError(f"videos: got {folder}, need a folder")
    known = VideoFolder(folder)
    result = [replace(video, file=known.find(video.id)) for video in videos]
    if missing := [video.id for video in result if video.file is None]:
        print(f"no file in {folder} for {len(missing)} of {len(result)} videos: {listed(missing)}")
    unknown = {video.id: video.file for video in result if video.file and video.duration_s is None}
    if not lengths or not unknown:
        return result
    lengths_s: dict[str, float] = {}
    limit_s = ReadingSettings().timeout_s
    with worker_pool(1) as pool:  # a file may crash the process that opens it
        counted = pool.map(count_snippets, unknown.values(), timeout_s=limit_s, lost=lambda _: None)
        looked = track(counted, total=len(unknown), what="lengths of videos")
        for video_id, (_, length) in zip(unknown, looked, strict=True):
            if length:
                lengths_s[video_id] = round(length[1], 3)
    if unreadable := [video_id for video_id in unknown if video_id not in lengths_s]:
        print(
            f"cannot read {len(unreadable)} of {len(result)} videos for their lengths: {listed(unreadable)}"
        )
    return [replace(video, duration_s=lengths_s.get(video.id, video.duration_s)) for video in result]


def _source(settings: ExportSettings) -> Path:
    run, detections = settings.run, settings.detections
    if (run is None) == (detections is None):
        raise UserError(
            f"got run={run} and detections={detections}, need exactly one: the folder of a run or a .json"
            " file"
        )
    path = detections or Path(str(run)) / "detections.json"
    if not path.is_file():
        raise UserError(f"{path}: there is no such file; need detections in ActivityNet's submission format")
    return path


def _files(
    settings: ExportSettings, videos: list[VideoSegments], classes: list[str], content: Any, source: Path
) -> dict[Path, str]:
    """Path -> text of all output files. `classes`: all of the source, also those without a video here."""
    from tsrnet.core.files import check_id
    from tsrnet.datasets.video_folder import without_suffix
    from tsrnet.reporting.interchange.activitynet import submission
    from tsrnet.reporting.interchange.fiftyone import dataset_files
    from tsrnet.reporting.interchange.labelstudio import labeling_config, tasks_of
    from tsrnet.reporting.interchange.subtitles import to_srt
    from tsrnet.reporting.interchange.table import to_csv

    output, form = settings.output, settings.format
    if form == "activitynet":
        return {output: json.dumps(submission(videos, content), indent=1)}
    if form == "csv":
        return {output: to_csv(videos)}
    if form == "labelstudio":
        model, folder = f"tsrnet {source.resolve().parent.name}", settings.videos
        tasks = tasks_of(videos, url=settings.url, fps=settings.fps, model_version=model, folder=folder)
        xml = labeling_config(classes)
        return {output / "tasks.json": json.dumps(tasks, indent=1), output / "labeling_config.xml": xml}
    if form == "fiftyone":
        files = dataset_files(videos)
        return {output / name: json.dumps(text, indent=1) for name, text in files.items()}
    names = [check_id(without_suffix(video.id)) for video in videos]
    name, count = Counter(names).most_common(1)[0] if names else ("", 0)
    if count > 1:
        raise UserError(f"{source}: got {count} videos for {name}.srt, need one; rename the others")
    return {output / f"{name}.srt": to_srt(v.segments) for name, v in zip(names, videos, strict=True)}


if __name__ == "__main__":
    run_command("export", export)
