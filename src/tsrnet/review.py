"""`python -m tsrnet.review`: writes an index of result pages, and combines the corrections made on them."""

from __future__ import annotations

import glob
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from omegaconf import DictConfig
from pydantic import Field

from tsrnet.core.cli import run_command
from tsrnet.core.errors import UserError
from tsrnet.core.files import atomic_path
from tsrnet.core.reading import read_json
from tsrnet.core.settings import AnyPath, Name, settings_of


@dataclass(frozen=True)
class ReviewSettings:
    """The keys of the command; conf/review.yaml says what each means."""

    folder: Annotated[AnyPath, Field(description="a folder that tsrnet.detect or tsrnet.train wrote")]
    corrected: str | tuple[str, ...] | None
    output: AnyPath | None
    annotations: AnyPath | None
    subset: Name


def review(config: DictConfig) -> None:
    """Read the pages and the exported corrections of `folder`, write the index and the annotations."""
    from tsrnet.core.wording import counted, listed
    from tsrnet.reporting.page import read_page
    from tsrnet.reporting.review import INDEX, write_index

    settings = settings_of(ReviewSettings, config, where="")
    given = settings.folder
    if not given.is_dir():
        raise UserError(f"folder: got {given}, need a folder that tsrnet.detect or tsrnet.train wrote")
    folder = given / "pages" if (given / "pages").is_dir() else given  # of a run
    paths = sorted(path for path in folder.glob("*.html") if path.name != INDEX)
    if not paths:
        raise UserError(
            f"folder: got {folder}, which has no pages; need the output of tsrnet.detect, or a run with"
            " report.pages=N"
        )
    pages = {path.name: read_page(path) for path in paths}
    corrected: dict[str, Any] = {}
    if settings.corrected is not None:
        corrected = _corrections(settings.corrected, settings.subset)
        output = settings.output or folder / "annotations.json"
        content = _with_others(settings.annotations, corrected)
        with atomic_path(output) as part:
            part.write_text(json.dumps(content, indent=1), encoding="utf-8")
        count = sum(len(entry["annotations"]) for entry in corrected.values())
        print(f"{output}: {counted(len(corrected), 'corrected video')}, {counted(count, 'segment')}")
        if others := sorted(corrected.keys() - {page["id"] for page in pages.values()}):
            print(f"corrected videos without a page in {folder}: {listed(others)}")
    write_index(folder / INDEX, pages, reviewed=corrected)
    print(f"{folder / INDEX}: {counted(len(pages), 'video')}; open it in a browser")


def _corrections(given: str | tuple[str, ...], subset: str) -> dict[str, Any]:
    """Video id -> entry of all exported files; of two that correct the same video the newer file counts."""
    from tsrnet.core.wording import listed
    from tsrnet.datasets.activitynet_layout import activitynet_records, read_database
    from tsrnet.datasets.records import check_records

    names = (given,) if isinstance(given, str) else given
    paths = {path.resolve() for name in names for path in _files(name)}
    entries: dict[str, Any] = {}
    twice = []
    for path in sorted(paths, key=lambda path: (path.stat().st_mtime, path)):
        database = read_database(path)
        for video, entry in database.items():
            if not isinstance(entry, dict):
                raise UserError(
                    f"{path}: video {video!r}: got {entry!r:.80}, need an object; export it again"
                )
            twice += [video] * (video in entries)
            entries[video] = {**entry, "subset": subset}
        check_records(path, activitynet_records(path, database))
    if twice:
        print(f"corrected more than once, the newest file counts: {listed(sorted(set(twice)))}")
    return entries


def _files(name: str) -> list[Path]:
    """The exported files that a file, a folder or a pattern names."""
    path = Path(name).expanduser()
    found = path.glob("*.corrected*.json") if path.is_dir() else [path, *map(Path, glob.glob(str(path)))]
    files = [file for file in found if file.is_file()]
    if not files:
        raise UserError(f"corrected: got {name}, need a file, a folder with *.corrected.json, or a pattern")
    return files


def _with_others(path: Path | None, corrected: dict[str, Any]) -> dict[str, Any]:
    """ActivityNet's layout with the corrected videos, which replace their entries in a given file.

    A video that is there already keeps its subset.
    """
    from tsrnet.datasets.activitynet_layout import read_database

    if path is None:
        return {"version": "VERSION 1.3", "taxonomy": [], "database": corrected}
    if not path.is_file():
        raise UserError(f"annotations: got {path}, need a .json file in ActivityNet's layout")
    before = dict(read_database(path))
    for video, entry in corrected.items():
        old = before.get(video)
        before[video] = (
            {**old, **entry, "subset": old.get("subset", entry["subset"])} if isinstance(old, dict) else entry
        )
    return {**read_json(path), "database": before}


if __name__ == "__main__":
    run_command("review", review)
