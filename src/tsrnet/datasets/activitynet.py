"""ActivityNet 1.3: the official JSON file, or the two files of the BSN form."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tsrnet.core.errors import UserError
from tsrnet.core.reading import read_json, read_table
from tsrnet.datasets.activitynet_layout import activitynet_records, read_activitynet_json
from tsrnet.datasets.layouts.annotations import records_of_others
from tsrnet.datasets.records import Annotations, VideoDataset, VideoRecord, check_records
from tsrnet.datasets.subsets import split_subsets, train_and_test

_OFFICIAL = "activity_net.v1-3.min.json"
_BSN = "anet_anno_action.json"
_BSN_VIDEOS = "video_info_new.csv"


def read_activitynet(annotations: Path, videos: Path) -> VideoDataset:
    """The training videos, and the validation videos to test on (other names: `split_subsets`).

    `annotations` is a JSON file in ActivityNet's layout, or a folder that holds
    `activity_net.v1-3.min.json` (or one `activity_net.v1-3*.json`) or else `anet_anno_action.json` with
    `video_info_new.csv`, or the annotations of W-TALC or BaS-Net. Raises UserError when these are missing or
    wrong.
    """
    others = records_of_others(annotations)
    source = _find(annotations) if annotations.is_dir() and others is None else annotations
    if others is not None:
        read = check_records(source, others)
    else:
        read = _read_bsn(source) if source.name == _BSN else read_activitynet_json(source)
    return train_and_test("activitynet", source, split_subsets(read.records), videos, read.remarks)


def _find(folder: Path) -> Path:
    official = folder / _OFFICIAL
    found = [official] if official.is_file() else sorted(folder.glob("activity_net.v1-3*.json"))
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise UserError(f"{folder}: got {names}, need one of them; give its path as `annotations`")
    if not found and (folder / _BSN).is_file():
        found = [folder / _BSN]
    if not found:
        raise UserError(f"{folder}: contains no annotations; need {_OFFICIAL}, or {_BSN} with {_BSN_VIDEOS}")
    return found[0]


def _read_bsn(path: Path) -> Annotations:
    table = path.with_name(_BSN_VIDEOS)
    rows: dict[str, dict[str, str]] = {}
    for row in read_table(table, ("video", "subset", "fps")):
        if row["video"] in rows:
            raise UserError(f"{table}: video {row['video']!r}: is listed twice; remove one of the two")
        rows[row["video"]] = row
    entries = read_json(path)
    if not isinstance(entries, dict):
        raise UserError(f"{path}: got {type(entries).__name__}, need an object with an entry for each video")
    if lacking := sorted(rows.keys() ^ entries.keys()):
        missing_in = path if lacking[0] in rows else table
        raise UserError(
            f"{missing_in}: {lacking[0]!r} is missing ({len(lacking)} ids are only in one of {_BSN} and"
            f" {_BSN_VIDEOS}); need two files of the same release"
        )

    def records() -> Iterable[VideoRecord]:
        for key, entry in entries.items():
            if isinstance(entry, dict):
                entry = entry | {"subset": rows[key]["subset"], "fps": rows[key]["fps"]}
                if "duration_second" in entry:
                    entry["duration"] = entry["duration_second"]
            # "v_" comes once before every id here; two real ids begin with it
            yield from activitynet_records(path, {key.removeprefix("v_"): entry})

    return check_records(path, records())
