"""`python -m tsrnet.review`: writes an index of result pages, and combines the corrections made on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsrnet.core.cli import run_command

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

    from omegaconf import DictConfig


def review(config: DictConfig) -> None:
    """Read the pages and the exported corrections of `folder`, write the index and the annotations."""
    import json
    from pathlib import Path

    from tsrnet.core.errors import UserError
    from tsrnet.core.files import atomic_path
    from tsrnet.datasets.records import counted, listed
    from tsrnet.reporting.page import read_page
    from tsrnet.reporting.review import INDEX, write_index

    if config.folder is None or not Path(str(config.folder)).is_dir():
        raise UserError(
            f"folder: got {config.folder}, need a folder that tsrnet.detect or tsrnet.train wrote"
        )
    given = Path(str(config.folder))
    folder = given / "pages" if (given / "pages").is_dir() else given  # of a run
    paths = sorted(path for path in folder.glob("*.html") if path.name != INDEX)
    if not paths:
        raise UserError(
            f"folder: got {folder}, which has no pages; need the output of tsrnet.detect, or a run with"
            " report.pages=N"
        )
    pages = {path.name: read_page(path) for path in paths}
    corrected: dict[str, Any] = {}
    if config.corrected is not None:
        corrected = _corrections(config)
        output = folder / "annotations.json" if config.output is None else Path(str(config.output))
        content = _with_others(config, corrected)
        with atomic_path(output) as part:
            part.write_text(json.dumps(content, indent=1), encoding="utf-8")
        count = sum(len(entry["annotations"]) for entry in corrected.values())
        print(f"{output}: {counted(len(corrected), 'corrected video')}, {counted(count, 'segment')}")
        if others := sorted(corrected.keys() - {page["id"] for page in pages.values()}):
            print(f"corrected videos without a page in {folder}: {listed(others)}")
    write_index(folder / INDEX, pages, reviewed=corrected)
    print(f"{folder / INDEX}: {counted(len(pages), 'video')}; open it in a browser")


def _corrections(config: DictConfig) -> dict[str, Any]:
    """Video id -> entry of all exported files; of two that correct the same video the newer file counts."""
    from tsrnet.core.errors import UserError
    from tsrnet.datasets.activitynet_layout import activitynet_records, read_database
    from tsrnet.datasets.records import check_records, listed

    names = [config.corrected] if isinstance(config.corrected, str) else list(config.corrected)
    paths = {path.resolve(): None for name in names for path in _files(str(name))}
    entries: dict[str, Any] = {}
    twice = []
    for path in sorted(paths, key=lambda path: path.stat().st_mtime):
        database = read_database(path)
        for video, entry in database.items():
            if not isinstance(entry, dict):
                raise UserError(
                    f"{path}: video {video!r}: got {entry!r:.80}, need an object; export it again"
                )
            twice += [video] * (video in entries)
            entries[video] = {**entry, "subset": str(config.subset)}
        check_records(path, activitynet_records(path, database))
    if twice:
        print(f"corrected more than once, the newest file counts: {listed(sorted(set(twice)))}")
    return entries


def _files(name: str) -> Iterator[Path]:
    """The exported files that a file, a folder or a pattern names."""
    import glob
    from pathlib import Path

    from tsrnet.core.errors import UserError

    path = Path(name).expanduser()
    found = sorted(path.glob("*.corrected*.json")) if path.is_dir() else map(Path, glob.glob(str(path)))
    files = [file for file in found if file.is_file()] or [path] * path.is_file()
    if not files:
        raise UserError(f"corrected: got {name}, need a file, a folder with *.corrected.json, or a pattern")
    yield from files


def _with_others(config: DictConfig, corrected: dict[str, Any]) -> dict[str, Any]:
    """ActivityNet's layout with the corrected videos, in place of their entries in `annotations` where given.

    A video that is there already keeps its subset.
    """
    from pathlib import Path

    from tsrnet.core.errors import UserError
    from tsrnet.core.reading import read_json
    from tsrnet.datasets.activitynet_layout import read_database

    if config.annotations is None:
        return {"version": "VERSION 1.3", "taxonomy": [], "database": corrected}
    path = Path(str(config.annotations))
    if not path.is_file():
        raise UserError(f"annotations: got {path}, need a .json file in ActivityNet's layout")
    before = dict(read_database(path))
    for video, entry in corrected.items():
        old = before.get(video)
        before[video] = {**old, **entry, "subset": old["subset"]} if isinstance(old, dict) else entry
    return {**read_json(path), "database": before}


if __name__ == "__main__":
    run_command("review", review)
