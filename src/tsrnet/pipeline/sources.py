"""The datasets by name: the settings of each, and how its annotations are read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from pydantic.dataclasses import dataclass as pydantic_dataclass

from tsrnet.core.errors import UserError
from tsrnet.core.settings import KNOWN_KEYS, ShareBelowOne
from tsrnet.datasets.activitynet import read_activitynet
from tsrnet.datasets.class_folders import match_classes, match_remarks, read_class_folders
from tsrnet.datasets.labels import read_labels
from tsrnet.datasets.overlap import read_overlap, shipped_overlap
from tsrnet.datasets.records import VideoDataset
from tsrnet.datasets.thumos14 import read_thumos14
from tsrnet.datasets.ucf101 import read_ucf101
from tsrnet.synthetic.compose import PLAN_FILE
from tsrnet.synthetic.demo import DemoSettings, draw_dataset, find_dataset
from tsrnet.synthetic.drawn_annotations import drawn_collection, published_statistics

LABELS = "labels"
"""`dataset.name` of videos with labels only."""
COMPOSED = "composed"
"""`dataset.name` of a folder that `tsrnet.compose` wrote."""
PLACES = {
    "activitynet": "http://activity-net.org/download.html",
    "thumos14": "https://www.crcv.ucf.edu/THUMOS14/download.html",
    "ucf101": "https://www.crcv.ucf.edu/data/UCF101.php",
}


def what_to_get(name: str) -> str:
    """Where a dataset comes from, and the keys that say where it is."""
    if name == LABELS:
        return "give dataset.videos=FOLDER with these videos, or import their features"
    group = "trimmed" if name == "ucf101" else "dataset"
    return f"get it from {PLACES.get(name, 'its makers')} and give {group}.annotations and {group}.videos"


@dataclass(frozen=True)
class Companions:
    """An untrimmed dataset, its trimmed companion, if any, and the classes that show the same action.

    `class_map`: class of `untrimmed` -> class of `trimmed`.
    """

    untrimmed: VideoDataset
    trimmed: VideoDataset | None = None
    class_map: Mapping[str, str] = field(default_factory=dict)

    @property
    def datasets(self) -> tuple[VideoDataset, ...]:
        return (self.untrimmed, self.trimmed) if self.trimmed else (self.untrimmed,)


@dataclass(frozen=True)
class TrimmedSettings:
    """Where UCF101 lies and which of its three splits is used."""

    annotations: str
    videos: str
    split: int = 1
    features: str | None = None


@dataclass(frozen=True)
class ClipFolders:
    """Trimmed clips in a folder for each class; `features`: the name of their features, None: the run's."""

    videos: str
    features: str | None = None


@dataclass(frozen=True)
class LabelsSettings:
    """Videos with labels only; see `read_labels`.

    `trimmed` is None where nothing is transferred. `overlap`: a CSV file; None: classes of the same name.
    """

    name: str
    labels: str | None
    videos: str | None
    holdout: ShareBelowOne
    trimmed: ClipFolders | None
    overlap: str | None = None

    def read(self, *, rehearsal_seed: int | None = None, make: bool = True) -> Companions:
        """The records; UserError names the file that is missing or wrong."""
        if self.labels is None:
            raise UserError(
                "dataset.labels: got nothing, need a table of labels; give dataset.labels=labels.csv"
                " dataset.videos=FOLDER"
            )
        videos = Path(self.videos) if self.videos else None
        untrimmed = read_labels(Path(self.labels), videos, holdout=self.holdout)
        return _with_clips(untrimmed, self.trimmed, self.overlap)


@dataclass(frozen=True)
class ComposedSettings:
    """A folder as `tsrnet.compose` writes it: annotations.json, untrimmed/, trimmed/<class>/.

    `trimmed` is None where nothing is transferred. Classes of the same name show the same action.
    """

    folder: str
    trimmed: ClipFolders | None

    def read(self, *, rehearsal_seed: int | None = None, make: bool = True) -> Companions:
        """The records; UserError names the file that is missing or wrong."""
        folder = Path(self.folder)
        annotations, plan = folder / "annotations.json", folder / PLAN_FILE
        if not annotations.is_file():
            raise UserError(
                f"dataset.folder: got {folder}, need a folder with annotations.json; compose one:"
                f" python -m tsrnet.compose clips=FOLDER background=FOLDER output={folder}"
            )
        # Sets with the same ids must not share features.
        digest = hashlib.sha256((plan if plan.is_file() else annotations).read_bytes()).hexdigest()
        name = f"{COMPOSED}_{digest[:8]}"
        return _with_clips(read_labels(annotations, folder / "untrimmed", name=name), self.trimmed)


def _with_clips(
    untrimmed: VideoDataset, trimmed: ClipFolders | None, overlap: str | None = None
) -> Companions:
    """Add the clips of the class folders; `overlap`: a CSV file; None: classes of the same name."""
    if trimmed is None:
        return Companions(untrimmed)
    clips = read_class_folders(Path(trimmed.videos), name=f"{untrimmed.name}_trimmed")
    if overlap:
        pairs = read_overlap(Path(overlap), classes=untrimmed.classes, trimmed_classes=clips.classes)
    else:
        pairs = match_classes(untrimmed.classes, clips.classes)
    remarks = (*clips.remarks, *match_remarks(pairs, untrimmed.classes, clips.classes))
    clips = replace(clips.of_classes(sorted(set(pairs.values()))), remarks=remarks)
    return Companions(untrimmed, clips, pairs)


@dataclass(frozen=True)
class FilesSettings:
    """A dataset that the user has: annotations and videos on disk.

    `trimmed` is None where nothing is transferred. `overlap`: a list that comes with the package
    ("activitynet", "thumos14") or a CSV file; "" for UCF101, which is trimmed itself.
    """

    name: str
    annotations: str
    videos: str
    trimmed: TrimmedSettings | None
    overlap: str = ""
    test_list: str | int = "210"
    weak_labels: str = "temporal"

    def read(self, *, rehearsal_seed: int | None = None, make: bool = True) -> Companions:
        """The records; UserError names the file that is missing or wrong.

        With `rehearsal_seed`, missing annotations are drawn from published statistics.
        """
        main = READERS[self.name]
        untrimmed = self._read_or_draw(self.name, self.annotations, lambda: main(self), rehearsal_seed)
        if self.trimmed is None or not self.overlap:
            return Companions(untrimmed)
        annotations = self.trimmed.annotations
        clips = self._read_or_draw("ucf101", annotations, lambda: _clips(self), rehearsal_seed)
        path = shipped_overlap(self.overlap) or Path(self.overlap)
        class_map = read_overlap(path, classes=untrimmed.classes, trimmed_classes=clips.classes)
        return Companions(untrimmed, clips.of_classes(sorted(set(class_map.values()))), class_map)

    def _read_or_draw(
        self, name: str, annotations: str, read: Callable[[], VideoDataset], seed: int | None
    ) -> VideoDataset:
        if Path(annotations).exists():
            return read()
        if seed is not None:
            return drawn_collection(name, seed=seed, statistics=published_statistics(name))
        rehearsal = self.name if self.overlap else "thumos14"
        without = ", train without it (transfer=none)" * (name == "ucf101" and bool(self.overlap))
        raise UserError(
            f"{annotations}: there are no annotations of {name}; {what_to_get(name)}{without}"
            f", or rehearse: dataset={rehearsal} features=simulated"
        )


@pydantic_dataclass(frozen=True, config=KNOWN_KEYS)
class DrawnSettings(DemoSettings):
    """The demo, which is drawn if it is missing. Its trimmed clips show the same classes."""

    def read(self, *, rehearsal_seed: int | None = None, make: bool = True) -> Companions:
        """The records of the demo; with `make`, its videos are drawn where they are missing."""
        untrimmed, trimmed = draw_dataset(self, workers=0) if make else find_dataset(self)
        return Companions(untrimmed, trimmed, {name: name for name in untrimmed.classes})


def _clips(settings: FilesSettings) -> VideoDataset:
    """UCF101: the trimmed companion, or the dataset itself."""
    assert settings.trimmed
    trimmed = settings.trimmed
    return read_ucf101(Path(trimmed.annotations), Path(trimmed.videos), split=trimmed.split)


READERS: Mapping[str, Callable[[FilesSettings], VideoDataset]] = {
    "activitynet": lambda s: read_activitynet(Path(s.annotations), Path(s.videos)),
    "thumos14": lambda s: read_thumos14(
        Path(s.annotations), Path(s.videos), test_list=str(s.test_list), weak_labels=s.weak_labels
    ),
    "ucf101": lambda s: _clips(s),
}

DatasetSettings: TypeAlias = DrawnSettings | FilesSettings | LabelsSettings | ComposedSettings
