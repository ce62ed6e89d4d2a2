"""`python -m tsrnet.export`: writes detections in the format of another tool, or networks as ONNX."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsrnet.core.cli import run_command

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from typing import Any

    from omegaconf import DictConfig

    from tsrnet.reporting.interchange.video_segments import VideoSegments

FORMATS = ("activitynet", "labelstudio", "fiftyone", "csv", "srt", "onnx")


def export(config: DictConfig) -> None:
    """Read the detections, choose the best, write them below `output`."""
    from pathlib import Path

    from tsrnet.core.errors import UserError
    from tsrnet.core.files import atomic_path
    from tsrnet.core.reading import read_json
    from tsrnet.datasets.records import counted
    from tsrnet.reporting.interchange.activitynet import read_submission
    from tsrnet.reporting.interchange.video_segments import best_segments, classes_of

    if config.format not in FORMATS:
        raise UserError(f"format: got {config.format}, need one of {', '.join(FORMATS)}")
    if config.output is None:
        raise UserError("output: got nothing, need a file (activitynet, csv) or a folder")
    if config.format == "fiftyone" and config.videos is None:
        raise UserError("videos: got nothing, need the folder of the videos for format=fiftyone")
    if config.format == "onnx":
        _export_networks(config)
        return
    low, most, fps = config.min_score, config.per_video, config.fps
    for key, good, needed in (
        ("min_score", low is None or type(low) in (int, float), "a number"),
        ("per_video", most is None or (type(most) is int and most > 0), "a whole number above 0"),
        ("fps", type(fps) in (int, float) and fps > 0, "a number above 0"),
    ):
        if not good:
            raise UserError(f"{key}: got {config[key]}, need {needed}")
    source = _source(config)
    content = read_json(source)
    found = read_submission(str(source), content)
    videos = best_segments(found, min_score=low, per_video=most)
    if config.videos is not None:
        videos = with_files(videos, Path(str(config.videos)), lengths=config.format in ("labelstudio", "csv"))
    if config.format == "fiftyone":
        videos = [video for video in videos if video.file]
    for path, text in _files(config, videos, classes_of(found), content, source).items():
        with atomic_path(path) as part:
            part.write_text(text, encoding="utf-8")
    before, after = (sum(len(video.segments) for video in group) for group in (found, videos))
    print(
        f"{config.output}: {counted(len(videos), 'video')}, {counted(after, 'detection')},"
        f" {before - after} left out"
    )


def _export_networks(config: DictConfig) -> None:
    from pathlib import Path

    from tsrnet.core.errors import UserError
    from tsrnet.inference.onnx import export_onnx

    if config.run is None:
        raise UserError("run: got nothing, need the folder of a run of tsrnet.train for format=onnx")
    for path in export_onnx(Path(str(config.run)), Path(str(config.output))):
        print(f"{path}: equal to the network, compared in onnxruntime")


def with_files(videos: Iterable[VideoSegments], folder: Path, *, lengths: bool) -> list[VideoSegments]:
    """The videos with their files in a folder and, with `lengths`, the lengths of those that lack one.

    What is not found or cannot be read is listed on the terminal. UserError where there is no folder.
    """
    from dataclasses import replace

    from tsrnet.core.errors import UserError
    from tsrnet.core.progress import track
    from tsrnet.core.workers import worker_pool
    from tsrnet.datasets.records import listed
    from tsrnet.datasets.video_folder import VideoFolder
    from tsrnet.video.snippets import count_snippets
    from tsrnet.video.video_file import ReadingSettings

    if not folder.is_dir():
        raise UserError(f"videos: got {folder}, need a folder")
    known = VideoFolder(folder)
    result = [replace(video, file=known.find(video.id)) for video in videos]
    if missing := [video.id for video in result if video.file is None]:
        print(f"no file in {folder} for {len(missing)} of {len(result)} videos: {listed(missing)}")
    if not lengths:
        return result
    unreadable, limit_s = [], ReadingSettings().timeout_s
    unknown = [(i, one.file) for i, one in enumerate(result) if one.file and one.duration_s is None]
    if not unknown:
        return result
    with worker_pool(1) as pool:  # a file may end the process that opens it
        files_s = pool.map(
            count_snippets, [file for _, file in unknown], timeout_s=limit_s, lost=lambda _: None
        )
        looked = track(files_s, total=len(unknown), what="lengths of videos")
        for (i, _), (_, length) in zip(unknown, looked, strict=True):
            if length:
                result[i] = replace(result[i], duration_s=round(length[1], 3))
            else:
                unreadable.append(result[i].id)
    if unreadable:
        print(
            f"cannot read {len(unreadable)} of {len(result)} videos for their lengths: {listed(unreadable)}"
        )
    return result


def _source(config: DictConfig) -> Path:
    from pathlib import Path

    from tsrnet.core.errors import UserError

    if (config.run is None) == (config.detections is None):
        raise UserError(
            f"got run={config.run} and detections={config.detections}, need exactly one: the folder of a"
            " run or a .json file"
        )
    given = config.detections
    path = Path(str(config.run)) / "detections.json" if given is None else Path(str(given))
    if not path.is_file():
        raise UserError(f"{path}: there is no such file; need detections in ActivityNet's submission format")
    return path


def _files(
    config: DictConfig, videos: list[VideoSegments], classes: list[str], content: Any, source: Path
) -> dict[Path, str]:
    """Path -> text of all that is written; `classes` are all of the source, also those of no video here."""
    import json
    from collections import Counter
    from pathlib import Path

    from tsrnet.core.errors import UserError
    from tsrnet.core.files import check_id
    from tsrnet.datasets.video_folder import without_suffix
    from tsrnet.reporting.interchange.activitynet import submission
    from tsrnet.reporting.interchange.fiftyone import dataset_files
    from tsrnet.reporting.interchange.labelstudio import labeling_config, tasks_of
    from tsrnet.reporting.interchange.subtitles import to_srt
    from tsrnet.reporting.interchange.table import to_csv

    output = Path(str(config.output))
    if config.format == "activitynet":
        return {output: json.dumps(submission(videos, content), indent=1)}
    if config.format == "csv":
        return {output: to_csv(videos)}
    if config.format == "labelstudio":
        folder = None if config.videos is None else Path(str(config.videos))
        model = f"tsrnet {source.resolve().parent.name}"
        tasks = tasks_of(videos, url=config.url, fps=config.fps, model_version=model, folder=folder)
        xml = labeling_config(classes)
        return {output / "tasks.json": json.dumps(tasks, indent=1), output / "labeling_config.xml": xml}
    if config.format == "fiftyone":
        files = dataset_files(videos)
        return {output / name: json.dumps(text, indent=1) for name, text in files.items()}
    names = [check_id(without_suffix(video.id)) for video in videos]
    name, count = Counter(names).most_common(1)[0] if names else ("", 0)
    if count > 1:
        raise UserError(f"{source}: got {count} videos for {name}.srt, need one; rename the others")
    return {output / f"{name}.srt": to_srt(v.segments) for name, v in zip(names, videos, strict=True)}


if __name__ == "__main__":
    run_command("export", export)
