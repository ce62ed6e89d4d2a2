"""Trimmed clips in one folder per class, and which classes of two datasets have the same name."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tsrnet.core.errors import UserError
from tsrnet.core.wording import counted, listed
from tsrnet.datasets.records import VideoDataset, VideoRecord, check_records
from tsrnet.datasets.video_folder import VideoFolder


def read_class_folders(folder: Path, *, name: str = "clips") -> VideoDataset:
    """The clips `<folder>/<class>/<clip>` with any video suffix, all for training.

    The id of a clip is `<class>_<clip>`: clips of two classes may have the same name. Raises UserError
    for a folder with clips of fewer than two classes, and for two files with the same id.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder of clips; need <class>/<clip>.mp4 in it")
    records: list[VideoRecord] = []
    files: dict[str, Path] = {}
    for clip in map(Path, VideoFolder(folder, "*/*").names):
        clip_id = f"{clip.parent.name}_{clip.stem}"
        if clip_id in files:
            raise UserError(
                f"{folder}: got {listed([str(files[clip_id].relative_to(folder)), str(clip)])}, which would"
                f" both have the id {clip_id!r}; rename or remove one"
            )
        files[clip_id] = folder / clip
        records.append(VideoRecord(clip_id, "training", None, (clip.parent.name,), ()))
    classes = tuple(sorted({label for record in records for label in record.labels}))
    if len(classes) < 2:
        raise UserError(
            f"{folder}: got {counted(len(records), 'clip')} of {len(classes)} classes, need at least two"
            " classes: <class>/<clip>.mp4"
        )
    read = check_records(folder, records)
    remarks = list(read.remarks)
    empty = sorted(
        path.name
        for path in folder.iterdir()
        if path.is_dir() and not path.name.startswith(".") and path.name not in classes
    )
    if empty:
        remarks.append(f"{counted(len(empty), 'folder')} without clips left out: {listed(empty)}.")
    if outside := VideoFolder(folder, "*").names:
        remarks.append(
            f"{counted(len(outside), 'video')} outside of a class folder left out: {listed(outside)}."
        )
    understood = f"{counted(len(records), 'clip')} of {len(classes)} classes"
    return VideoDataset(name, classes, read.records, (), folder, files, tuple(remarks), understood)


def match_classes(untrimmed_classes: Iterable[str], trimmed_classes: Iterable[str]) -> dict[str, str]:
    """Untrimmed class -> trimmed class of the same name, except for case, spaces, underscores, hyphens.

    Raises UserError where two classes of one side have the same name in this sense and the other side has it,
    too, and where nothing matches. `match_remarks` describes the matches.
    """
    ours, theirs = _by_spelling(untrimmed_classes), _by_spelling(trimmed_classes)
    pairs: dict[str, str] = {}
    for spelling, names in ours.items():
        if found := theirs.get(spelling):
            if len(names) > 1 or len(found) > 1:
                raise UserError(
                    f"trimmed classes: {listed(found)} could be {listed(names)}; rename classes, or give the"
                    " pairs in a CSV file as overlap"
                )
            pairs[names[0]] = found[0]
    if not pairs:
        raise UserError(
            f"trimmed classes: got {listed(_names(theirs))}, need some of {listed(_names(ours))}; rename the"
            " folders of the clips, or give the pairs in a CSV file as overlap"
        )
    return pairs


def match_remarks(
    pairs: Mapping[str, str], untrimmed_classes: Sequence[str], trimmed_classes: Sequence[str]
) -> tuple[str, ...]:
    """One line for pairs of different spelling, and one for the classes of each side without a match."""
    respelt = [f"{one} = {other}" for one, other in pairs.items() if one != other]
    alone = [name for name in untrimmed_classes if name not in pairs]
    unused = [name for name in trimmed_classes if name not in pairs.values()]
    lines = (
        (respelt, "matched by a different spelling"),
        (alone, "without trimmed clips, so without transfer"),
        (unused, "of the trimmed clips that no untrimmed video has"),
    )
    return tuple(
        f"{len(names):,} class{'es' * (len(names) > 1)} {what}: {listed(names, most=20)}."
        for names, what in lines
        if names
    )


def same_spelling(names: Iterable[str]) -> list[list[str]]:
    """Groups of names that differ only in case, spaces, underscores and hyphens."""
    return [group for group in _by_spelling(names).values() if len(group) > 1]


def _by_spelling(names: Iterable[str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for name in dict.fromkeys(names):
        groups[re.sub(r"[\s_-]+", "", name).casefold()].append(name)
    return groups


def _names(groups: Mapping[str, Sequence[str]]) -> list[str]:
    return [name for names in groups.values() for name in names]
