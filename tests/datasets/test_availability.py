"""Nothing is dropped silently: what cannot be used is counted and listed with its reason."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from tsrnet.datasets.availability import take_inventory
from tsrnet.datasets.records import VideoDataset, VideoRecord
from tsrnet.features.store import FeatureStore


def test_what_is_left_out_is_listed_and_the_rest_is_used(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    for name, width in (("good", 4), ("also", 4), ("wide", 5)):
        store.write("rgb", name, np.ones((6, width), np.float16))
    (tmp_path / "rgb" / "cut.npy").write_bytes(b"\x93NUMPY")
    train = tuple(VideoRecord(name, "training", 1.0, ("a",), ()) for name in ("good", "wide", "cut"))
    test = tuple(VideoRecord(name, "testing", 1.0, ("a",), ()) for name in ("also", "gone", "bad"))
    dataset = VideoDataset("x", ("a",), train, test, tmp_path, remarks=("odd",))
    inventory = take_inventory(dataset, store, ("rgb",), {"bad": "bad.mp4: is no video"})
    assert [record.id for record in inventory.usable.train] == ["good"]
    assert [record.id for record in inventory.usable.test] == ["also"]
    assert inventory.summary() == "x: 1 of 3 training videos and 1 of 3 test videos have features"
    inventory.write(tmp_path / "manifest.json")
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["test"]["left_out"]["bad"] == "bad.mp4: is no video"
    assert "no features" in manifest["test"]["left_out"]["gone"]
    assert "got 5 dimensions, need the 4" in manifest["training"]["left_out"]["wide"]
    assert "is no .npy file" in manifest["training"]["left_out"]["cut"]
    assert (manifest["training"]["annotated"], manifest["training"]["used"]) == (3, 1)
    assert manifest["remarks"] == ["odd"]
