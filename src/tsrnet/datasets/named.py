"""THUMOS14 and ActivityNet from whatever annotation files a user has: official, or of other projects."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tsrnet.datasets.activitynet import read_activitynet
from tsrnet.datasets.layouts.annotations import read_basnet, read_wtalc
from tsrnet.datasets.records import VideoDataset
from tsrnet.datasets.thumos14 import left_out_of, read_thumos14


def thumos14(
    annotations: Path, videos: Path, *, test_list: str = "210", weak_labels: str = "temporal"
) -> VideoDataset:
    """As `read_thumos14`; also W-TALC's folder of .npy files and BaS-Net's with gt.json."""
    other = _of_other_projects(annotations, videos, "thumos14")
    if other is None:
        return read_thumos14(annotations, videos, test_list=test_list, weak_labels=weak_labels)
    left_out = left_out_of(test_list)
    test = tuple(record for record in other.test if record.id not in left_out)
    remarks = list(other.remarks)
    remarks += [f"video {r.id!r}: is left out, {left_out[r.id]}." for r in other.test if r.id in left_out]
    if len(test) != int(test_list):
        remarks.append(f"{len(test)} of the {test_list} videos of the test list are annotated.")
    return replace(other, test=test, remarks=tuple(remarks))


def activitynet(annotations: Path, videos: Path) -> VideoDataset:
    """As `read_activitynet`; also W-TALC's folder of .npy files and BaS-Net's with gt.json."""
    other = _of_other_projects(annotations, videos, "activitynet")
    return read_activitynet(annotations, videos) if other is None else other


def _of_other_projects(annotations: Path, videos: Path, name: str) -> VideoDataset | None:
    if (annotations / "segments.npy").is_file():
        return read_wtalc(annotations, videos, name=name)
    if (annotations / "gt.json").is_file():
        return read_basnet(annotations, videos, name=name)
    return None
