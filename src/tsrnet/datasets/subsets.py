"""Which videos train and which test, by the names of the subsets in annotation files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tsrnet.core.errors import UserError
from tsrnet.core.wording import counted, listed
from tsrnet.datasets.records import VideoDataset, VideoRecord, classes_of
from tsrnet.datasets.video_folder import VideoFolder

SUBSETS = {
    "train": "training",
    "training": "training",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "testing",
    "testing": "testing",
}
"""Names of subsets in annotation files, in lower case, and their meaning. See `split_subsets`."""


@dataclass(frozen=True)
class Parts:
    """The records that train, those that test, and the subsets of neither: name -> number of videos."""

    train: tuple[VideoRecord, ...]
    test: tuple[VideoRecord, ...]
    left_out: Mapping[str, int]

    @property
    def understood(self) -> str:
        """As "subsets: 'training' trains (72 videos), 'validation' tests (60 videos)"."""
        texts = [
            f"{name!r} {verb} ({counted(count, 'video')})"
            for verb, records in (("trains", self.train), ("tests", self.test))
            for name, count in Counter(record.subset for record in records).items()
        ]
        texts += [
            f"{name!r} is left out ({counted(count, 'video')})" for name, count in self.left_out.items()
        ]
        return f"subsets: {', '.join(texts) or 'none'}"

    @property
    def remarks(self) -> list[str]:
        """Remarks on subsets that are left out, and on test videos without segments if others have some."""
        remarks = [
            f"the subset {name!r} is left out ({counted(count, 'video')})."
            for name, count in self.left_out.items()
        ]
        bare = [record.id for record in self.test if record.labels and not record.segments]
        if 0 < len(bare) < len(self.test):
            remarks.append(f"{counted(len(bare), 'test video')} with labels and no segments: {listed(bare)}.")
        return remarks

    def check(self, path: Path, *, test: bool = True) -> Parts:
        """Return itself; UserError that names `path` if no videos train or, with `test`, none test."""
        if not self.train:
            raise UserError(
                f"{path}: got no video with labels to train on ({self.understood}); need a subset training"
                " with labels (or one called train, validation, val)"
            )
        if test and not self.test:
            raise UserError(
                f"{path}: got {counted(len(self.train), 'video')} to train on and none to test on"
                f" ({self.understood}), need both; to hold out a share of the training videos (holdout), give"
                f" dataset=labels dataset.labels={path}"
            )
        return self


def split_subsets(records: Iterable[VideoRecord]) -> Parts:
    """Which records train and which test, by the names of their subsets (`SUBSETS`), in any case.

    training, validation, testing without labels (ActivityNet): validation tests. validation, testing
    (THUMOS14): validation trains. training, validation, testing with labels: validation is left out.
    """
    parts: dict[str, list[VideoRecord]] = {}
    for record in records:
        parts.setdefault(SUBSETS.get(record.subset.lower(), ""), []).append(record)
    training = "training" if "training" in parts else "validation"
    labelled = any(record.labels for record in parts.get("testing", ()))
    testing = "testing" if labelled else "validation"  # empty if the validation videos train
    train, test = tuple(parts.pop(training, ())), tuple(parts.pop(testing, ()))
    return Parts(train, test, Counter(record.subset for others in parts.values() for record in others))


def train_and_test(
    name: str,
    source: Path,
    parts: Parts,
    videos: Path,
    remarks: Iterable[str],
    *,
    classes: Sequence[str] | None = None,
) -> VideoDataset:
    """The dataset of these parts; training videos without a label are left out, test videos are kept.

    `classes`: None for those that occur. Raises UserError that names `source` as `Parts.check` does.
    """
    said = list(remarks)
    said += [
        f"video {r.id!r}: has no label and is left out of training." for r in parts.train if not r.labels
    ]
    said += [f"video {r.id!r}: has no label and is still tested." for r in parts.test if not r.labels]
    said += parts.remarks
    parts = replace(parts, train=tuple(record for record in parts.train if record.labels)).check(source)
    records = (*parts.train, *parts.test)
    return VideoDataset(
        name,
        tuple(classes or classes_of(records)),
        parts.train,
        parts.test,
        videos,
        VideoFolder(videos, "*").of_ids(record.id for record in records),
        tuple(said),
        parts.understood,
    )
