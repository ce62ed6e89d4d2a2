"""Finds the clips to compose videos of, and those of them that can be used."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath

from tsrnet.core.errors import UserError
from tsrnet.core.progress import track
from tsrnet.core.workers import worker_pool
from tsrnet.datasets.class_folders import read_class_folders
from tsrnet.datasets.records import check_label
from tsrnet.datasets.video_folder import VideoFolder
from tsrnet.synthetic.compose_plan import Clip
from tsrnet.synthetic.compose_video import examine_clip
from tsrnet.video.video_file import ReadingSettings


def find_clips(
    clips: Path, background: Path | None, classes: Sequence[str] | None
) -> tuple[dict[str, str], dict[str, str | None]]:
    """Clip -> its class; background clip -> the class whose videos it is for, None: all videos.

    Args:
        clips: holds `<class>/<clip>`.
        background: folder of its videos, with subfolders; a video in a folder named like a class is for the
            videos of this class. None: the clips of the classes that are not used.
        classes: those that are used; None: all.
    """
    found = read_class_folders(clips)
    for label in classes or ():
        check_label(label, found.classes, where="classes")
    used = classes or found.classes
    labels = {found.files[r.id].relative_to(clips).as_posix(): r.labels[0] for r in found.train}
    chosen = {name: label for name, label in labels.items() if label in used}
    if background is None:
        if len(chosen) == len(labels):
            raise UserError(
                "background: got null and every class is used, need background=FOLDER, or classes=[...]"
                " that leaves some classes for the background"
            )
        return chosen, {name: None for name in labels if name not in chosen}
    names = VideoFolder(background).names
    if not names:
        raise UserError(f"background: got {background}, need a folder with videos")
    folders = {name: PurePath(name).parent.name for name in names}
    return chosen, {name: folder if folder in used else None for name, folder in folders.items()}


def usable_clips(
    root: Path, labels: Mapping[str, str | None], *, group: str, workers: int, what: str
) -> tuple[list[Clip], dict[str, str]]:
    """The clips that can be used, and clip -> why it cannot. Each is decoded once.

    Args:
        root, labels: the folder and its clips, as `find_clips` has them.
        group: regular expression for the path of a clip. Clips with the same match (of its first
            parenthesis that matches, if any) are a group; a clip without a match is a group of its own.
        workers: processes; 0: one per core.
        what: name of the clips in the progress bar.
    """
    usable: list[Clip] = []
    left_out: dict[str, str] = {}
    files = [root / name for name in labels]
    with worker_pool(workers) as pool:
        examined = pool.map(examine_clip, files, timeout_s=ReadingSettings().timeout_s, lost=str)
        results = track(examined, total=len(files), what=f"looking at the {what}")
        for (name, label), (_, result) in zip(labels.items(), results, strict=True):
            if isinstance(result, str):
                left_out[f"{root.resolve().name}/{name}"] = result
            else:
                match = re.search(group, name)
                same = next(filter(None, match.groups()), match[0]) if match else name
                usable.append(Clip(name, same, result, label))
    return usable, left_out
