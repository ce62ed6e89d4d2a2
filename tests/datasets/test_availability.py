"""Nothing is dropped silently: what cannot be used is counted and listed with its reason."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tsrnet.datasets.availability import Availability, find_features, open_videos
from tsrnet.datasets.records import VideoDataset, VideoRecord
from tsrnet.features.store import FeatureStore


def dataset(
    folder: Path, train: tuple[str, ...], test: tuple[str, ...], duration_s: float = 1.0
) -> VideoDataset:
    def records(subset: str, names: tuple[str, ...]) -> tuple[VideoRecord, ...]:
        return tuple(VideoRecord(name, subset, duration_s, ("a",), ()) for name in names)

    return VideoDataset(
        "x", ("a",), records("training", train), records("testing", test), folder, remarks=("odd",)
    )


@pytest.fixture
def found(tmp_path: Path) -> Availability:
    store = FeatureStore(tmp_path)
    for name, width in (("good", 4), ("also", 4), ("wide", 5)):
        store.write("rgb", name, np.ones((6, width), np.float16))
    (tmp_path / "rgb" / "cut.npy").write_bytes(b"\x93NUMPY")
    annotated = dataset(tmp_path, ("good", "wide", "cut"), ("also", "gone", "bad"))
    return find_features(annotated, store, ("rgb",), {"bad": "bad.mp4: is no video"})


def test_what_cannot_be_used_is_listed_and_the_rest_is_used(found: Availability, tmp_path: Path) -> None:
    assert [record.id for record in found.usable.train] == ["good"]
    assert [record.id for record in found.usable.test] == ["also"]
    assert len(found.dataset.test) == 3, "the metrics still know all test videos"
    assert found.summary() == (
        "x: 1 of 3 training videos and 1 of 3 test videos have features; missing: cut, gone, bad, wide"
    )
    assert found.missing["bad"] == "bad.mp4: is no video"
    assert "there are no features" in found.missing["gone"]
    assert "got 5 dimensions, need the 4 of the other videos" in found.missing["wide"]
    assert "is not a complete .npy file" in found.missing["cut"]


def test_the_manifest_has_the_counts_and_every_reason(found: Availability, tmp_path: Path) -> None:
    found.write(tmp_path / "manifest.json")
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    counts = {"annotated": 3, "features present": 1, "features missing or unusable": 2}
    assert manifest["training"]["counts"] == manifest["test"]["counts"] == counts
    assert manifest["training"]["reasons"] == {
        name: {"features": found.missing[name]} for name in ("wide", "cut")
    }
    assert manifest["test"]["reasons"]["bad"] == {"features": "bad.mp4: is no video"}
    assert manifest["remarks"] == ["odd"]
    assert found.counts() == {"training": counts, "test": counts}


def test_a_video_needs_all_streams_of_one_length(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    for name, lengths in {"both": (6, 5), "apart": (6, 3), "half": (6, 0)}.items():
        for stream, length in zip(("rgb", "flow"), lengths, strict=True):
            if length:
                store.write(stream, name, np.ones((length, 4), np.float16))
    annotated = dataset(tmp_path, ("both", "apart", "half"), ())
    assert set(find_features(annotated, store, ("rgb", "flow")).missing) == {"apart", "half"}
    assert not find_features(annotated, store, ("rgb",)).missing


def test_the_width_of_most_videos_is_right_in_each_stream(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    widths = {"a": (4, 6), "b": (4, 6), "c": (4, 6), "other rgb": (3, 6), "other flow": (4, 5)}
    for name, both in widths.items():
        for stream, width in zip(("rgb", "flow"), both, strict=True):
            store.write(stream, name, np.ones((6, width), np.float16))
    found = find_features(dataset(tmp_path, tuple(widths), ()), store, ("rgb", "flow"))
    assert found.missing.keys() == {"other rgb", "other flow"}
    assert "got 3 dimensions, need the 4" in found.missing["other rgb"]
    assert "got 5 dimensions, need the 6" in found.missing["other flow"]


def test_a_long_list_of_missing_videos_is_cut_short(tmp_path: Path) -> None:
    names = tuple(f"v{number}" for number in range(8))
    found = find_features(dataset(tmp_path, names, ()), FeatureStore(tmp_path), ("rgb",))
    assert found.summary().endswith("missing: v0, v1, v2, v3, v4 and 3 more")


def test_video_files_are_opened_only_where_asked(moving_square: Path, tmp_path: Path) -> None:
    """The square lasts 2 s: of the video that is annotated as longer, something is missing."""
    for name in ("whole", "cut", "broken"):
        content = b"no video" if name == "broken" else moving_square.read_bytes()
        (tmp_path / f"{name}.mp4").write_bytes(content)
    annotated = dataset(tmp_path, ("whole", "cut", "broken"), ("away",), duration_s=2.0)
    train = tuple(replace(r, duration_s=20.0) if r.id == "cut" else r for r in annotated.train)
    found = Availability(replace(annotated, train=train))
    assert "videos present" not in found.counts()["training"]
    opened = open_videos(found)
    counts = opened.counts()
    assert {key: value for key, value in counts["training"].items() if key.startswith("videos")} == {
        "videos present": 1,
        "videos missing": 0,
        "videos unreadable": 1,
        "videos shorter than annotated": 1,
    }
    assert counts["test"]["videos missing"] == 1
    assert opened.manifest()["test"]["reasons"]["away"]["video"].endswith("away.mp4: there is no such file")
    assert set(opened.manifest()["training"]["reasons"]) == {"cut", "broken"}
