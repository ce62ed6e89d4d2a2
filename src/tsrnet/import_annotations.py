"""`python -m tsrnet.import_annotations`: converts annotations of another tool to ActivityNet's layout."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Literal

from omegaconf import DictConfig
from pydantic import Field

from tsrnet.core.cli import run_command
from tsrnet.core.errors import UserError
from tsrnet.core.settings import AnyPath, Name, Positive, settings_of


@dataclass(frozen=True)
class ImportSettings:
    """The keys of the command; conf/import_annotations.yaml says what each means."""

    format: Literal["labelstudio", "fiftyone", "csv"]
    source: Annotated[AnyPath, Field(description="a file")]
    output: Annotated[AnyPath, Field(description="a file")]
    videos: AnyPath | None
    subset: Name
    fps: Positive | None


def import_annotations(config: DictConfig) -> None:
    """Read `source`, find the durations of the videos, write `output`."""
    from tsrnet.core.files import atomic_path
    from tsrnet.core.reading import read_json, read_text
    from tsrnet.core.wording import counted, listed
    from tsrnet.export import with_files
    from tsrnet.reporting.interchange.activitynet import ground_truth
    from tsrnet.reporting.interchange.fiftyone import read_labels
    from tsrnet.reporting.interchange.labelstudio import read_tasks
    from tsrnet.reporting.interchange.table import read_csv

    settings = settings_of(ImportSettings, config, where="")
    source = settings.source
    if not source.is_file():
        raise UserError(f"source: got {source}, there is no such file")
    if settings.format == "labelstudio":
        reviewed = read_tasks(str(source), read_json(source), fps=settings.fps)
    elif settings.format == "fiftyone":
        reviewed = read_labels(str(source), read_json(source))
    else:
        reviewed = read_csv(str(source), read_text(source))
    videos = list(reviewed.videos)
    if settings.videos is not None:
        videos = with_files(videos, settings.videos, lengths=True)
    with atomic_path(settings.output) as part:
        part.write_text(json.dumps(ground_truth(videos, settings.subset), indent=1), encoding="utf-8")
    for remark in reviewed.remarks:
        print(remark)
    if unknown := [video.id for video in videos if video.duration_s is None]:
        print(
            f"no duration for {len(unknown)} of {len(videos)} videos: {listed(unknown)};"
            " videos=FOLDER reads it from their files"
        )
    count = sum(len(video.segments) for video in videos)
    print(f"{settings.output}: {counted(len(videos), 'video')}, {counted(count, 'annotation')}")


if __name__ == "__main__":
    run_command("import_annotations", import_annotations)
