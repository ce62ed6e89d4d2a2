"""The LightningDataModules of THUMOS14, ActivityNet and UCF101."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tsrnet.core.errors import UserError
from tsrnet.core.reading import read_table
from tsrnet.datasets.activitynet import read_activitynet
from tsrnet.datasets.datamodule import VideoDataModule
from tsrnet.datasets.overlap import shipped_overlap
from tsrnet.datasets.thumos14 import read_thumos14
from tsrnet.datasets.ucf101 import read_ucf101
from tsrnet.features.store import FeatureSource


class THUMOS14DataModule(VideoDataModule):
    """THUMOS14: trains on the 200 validation videos, tests on a named list of test videos.

    Args:
        annotations: the official folders or a JSON in ActivityNet's layout; see `read_thumos14`.
        features: folder of a feature store.
        videos: folder of the video files, only for pictures.
        test_list: "210", "211", "212" or "213".
        weak_labels: "temporal" or "meta", see `read_thumos14`.
        overlap, options: as for `VideoDataModule`.
    """

    def __init__(
        self,
        annotations: str | Path,
        features: str | Path | FeatureSource,
        *,
        videos: str | Path = "",
        test_list: str = "210",
        weak_labels: str = "temporal",
        overlap: str | Path | Mapping[str, str] | None = "thumos14",
        **options: Any,
    ) -> None:
        dataset = read_thumos14(Path(annotations), Path(videos), test_list=test_list, weak_labels=weak_labels)
        super().__init__(
            dataset, features, **{"overlap": overlap, "protocol": f"thumos14-{test_list}", **options}
        )


class ActivityNetDataModule(VideoDataModule):
    """ActivityNet 1.3: trains on 10,024 videos, tests on the 4,926 validation videos; see `read_activitynet`.

    Arguments as for `THUMOS14DataModule`.
    """

    def __init__(
        self,
        annotations: str | Path,
        features: str | Path | FeatureSource,
        *,
        videos: str | Path = "",
        overlap: str | Path | Mapping[str, str] | None = "activitynet",
        **options: Any,
    ) -> None:
        dataset = read_activitynet(Path(annotations), Path(videos))
        super().__init__(dataset, features, **{"overlap": overlap, "protocol": "activitynet", **options})


class UCF101DataModule(VideoDataModule):
    """One of UCF101's three splits, with all classes or some of them; see `read_ucf101`.

    Args:
        annotations: folder with classInd.txt and the split files.
        features: folder of a feature store.
        videos: folder of the clips, only for pictures.
        split: 1, 2 or 3.
        classes: names, or "thumos14" or "activitynet" for the classes that this dataset shares with UCF101.
        options: as for `VideoDataModule`.
    """

    def __init__(
        self,
        annotations: str | Path,
        features: str | Path | FeatureSource,
        *,
        videos: str | Path = "",
        split: int = 1,
        classes: str | Sequence[str] | None = None,
        **options: Any,
    ) -> None:
        if isinstance(classes, str):
            classes = shared_classes(classes)
        dataset = read_ucf101(Path(annotations), Path(videos), split=split, classes=classes)
        super().__init__(dataset, features, **options)


def shared_classes(name: str) -> list[str]:
    """The classes of UCF101 on the list of that name; UserError for another name."""
    path = shipped_overlap(name)
    if path is None:
        raise UserError(f"classes: got {name!r}, need thumos14, activitynet or a list of class names")
    return sorted({row["trimmed"] for row in read_table(path, ("trimmed",))})
