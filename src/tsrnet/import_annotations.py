"""`python -m tsrnet.import_annotations`: converts annotations of another tool to ActivityNet's layout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsrnet.core.cli import run_command

if TYPE_CHECKING:
    from omegaconf import DictConfig

FORMATS = ("labelstudio", "fiftyone", "csv")


def import_annotations(config: DictConfig) -> None:
    """Read `source`, find the durations of the videos, write `output`."""
    import json
    from pathlib import Path

    from tsrnet.core.errors import UserError
    from tsrnet.core.files import atomic_path
    from tsrnet.core.reading import read_json, read_text
    from tsrnet.datasets.records import counted, listed
    from tsrnet.export import with_files
    from tsrnet.reporting.interchange.activitynet import ground_truth
    from tsrnet.reporting.interchange.fiftyone import read_labels
    from tsrnet.reporting.interchange.labelstudio import read_tasks
    from tsrnet.reporting.interchange.table import read_csv

    if config.format not in FORMATS:
        raise UserError(f"format: got {config.format}, need one of {', '.join(FORMATS)}")
    for key, needed in (("source", "a file"), ("output", "a file"), ("subset", "a name")):
        if config[key] is None:
            raise UserError(f"{key}: got nothing, need {needed}")
    source = str(config.source)
    if not Path(source).is_file():
        raise UserError(f"source: got {source}, there is no such file")
    if config.format == "labelstudio":
        reviewed = read_tasks(source, read_json(Path(source)), fps=config.fps)
    elif config.format == "fiftyone":
        reviewed = read_labels(source, read_json(Path(source)))
    else:
        reviewed = read_csv(source, read_text(Path(source)))
    videos = list(reviewed.videos)
    if config.videos is not None:
        videos = with_files(videos, Path(str(config.videos)), lengths=True)
    with atomic_path(Path(str(config.output))) as part:
        part.write_text(json.dumps(ground_truth(videos, str(config.subset)), indent=1), encoding="utf-8")
    for remark in reviewed.remarks:
        print(remark)
    if unknown := [video.id for video in videos if video.duration_s is None]:
        print(
            f"no duration for {len(unknown)} of {len(videos)} videos: {listed(unknown)};"
            " videos=FOLDER reads it from their files"
        )
    count = sum(len(video.segments) for video in videos)
    print(f"{config.output}: {counted(len(videos), 'video')}, {counted(count, 'annotation')}")


if __name__ == "__main__":
    run_command("import_annotations", import_annotations)
