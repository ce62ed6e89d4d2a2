"""UCF101: trimmed clips with one class each, in three official splits."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from tsrnet.core.errors import UserError
from tsrnet.core.reading import read_text
from tsrnet.core.settings import is_name, shown
from tsrnet.datasets.records import VideoDataset, VideoRecord, check_label, check_records
from tsrnet.datasets.subsets import Parts
from tsrnet.datasets.video_folder import VideoFolder, without_suffix


def read_ucf101(
    annotations: Path, videos: Path, *, split: int = 1, classes: Sequence[str] | None = None
) -> VideoDataset:
    """The clips of a split (1, 2 or 3), of `classes` only if these are given.

    `annotations` holds classInd.txt, trainlist0N.txt and testlist0N.txt; a clip is
    `<videos>/<class>/<id>.avi`, or has another video suffix than in the lists. Raises
    UserError for a missing or malformed file and an unknown class.
    """
    if split not in (1, 2, 3):
        raise UserError(f"UCF101 split: got {split}, need 1, 2 or 3")
    known = _read_classes(annotations / "classInd.txt")
    for name in classes or ():
        check_label(name, known, where=f"{annotations / 'classInd.txt'}")
    chosen = tuple(name for name in known if classes is None or name in classes)
    records: list[VideoRecord] = []
    folder = VideoFolder(videos, *(f"{glob.escape(name)}/*" for name in chosen))
    files: dict[str, Path] = {}
    num_others = 0
    for subset, prefix in (("training", "trainlist"), ("testing", "testlist")):
        path = annotations / f"{prefix}0{split}.txt"
        for number, line in enumerate(read_text(path).splitlines(), 1):
            if not line.strip():
                continue
            clip = PurePosixPath(line.split()[0])
            where = f"{path}, line {number}"
            if len(clip.parts) != 2 or without_suffix(clip.name) == clip.name:
                raise UserError(f"{where}: got {shown(line)}, need <class>/<clip>.avi; get the file again")
            # the folder tells the class: HandstandPushups/v_HandStandPushups_g01_c01.avi
            label = clip.parts[0]
            check_label(label, known, where=where)
            if label in chosen:
                records.append(VideoRecord(clip.stem, subset, None, (label,), ()))
                files[clip.stem] = folder.find(str(clip)) or videos / clip
            else:
                num_others += 1
    read = check_records(annotations, records)
    train = tuple(record for record in read.records if record.subset == "training")
    test = tuple(record for record in read.records if record.subset == "testing")
    if not train or not test:
        raise UserError(
            f"{annotations}: got {len(train)} training and {len(test)} test clips in split {split}, need both"
        )
    left_out = (f"{num_others} clips of {len(known) - len(chosen)} other classes are left out.",)
    remarks = read.remarks + (left_out if num_others else ())
    return VideoDataset(
        "ucf101", chosen, train, test, videos, files, remarks, Parts(train, test, {}).understood
    )


def _read_classes(path: Path) -> tuple[str, ...]:
    names: list[str] = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        words = line.split()
        if not words:
            continue
        expected = len(words) == 2 and words[0] == str(len(names) + 1)
        if not expected or words[1] in names or words[1].startswith(".") or not is_name(words[1]):
            raise UserError(
                f"{path}, line {number}: got {shown(line)}, need '{len(names) + 1} <class>', each once"
            )
        names.append(words[1])
    return tuple(names)
