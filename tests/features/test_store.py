"""The feature store refuses what it cannot trust and never leaves half a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tsrnet.errors import UserError
from tsrnet.features.store import FeatureStore


def test_what_is_written_is_read(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    features = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float16)
    store.write("rgb", "-a.b_1", features)
    np.testing.assert_array_equal(store.read("rgb", "-a.b_1"), features)
    assert [path.name for path in (tmp_path / "rgb").iterdir()] == ["-a.b_1.npy"]


@pytest.mark.parametrize("video_id", ["", "..", "../x", "a/b", ".hidden", "a\\b", "a\0b"])
def test_ids_that_are_no_file_names_are_refused(tmp_path: Path, video_id: str) -> None:
    with pytest.raises(UserError, match="video id"):
        FeatureStore(tmp_path).path("rgb", video_id)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((0, 4), np.float32),
        np.zeros(4, np.float32),
        np.zeros((2, 4)),
        np.array([[None]], dtype=object),
    ],
)
def test_other_arrays_are_refused_with_the_file(tmp_path: Path, array: np.ndarray) -> None:
    (tmp_path / "rgb").mkdir()
    np.save(tmp_path / "rgb" / "a.npy", array, allow_pickle=True)
    with pytest.raises(UserError, match=r"a\.npy"):
        FeatureStore(tmp_path).read("rgb", "a")


def test_missing_and_cut_files_are_refused_with_the_file(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    with pytest.raises(UserError, match=r"a\.npy.*no features"):
        store.read("rgb", "a")
    store.write("rgb", "a", np.ones((50, 4), np.float32))
    path = store.path("rgb", "a")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UserError, match=r"a\.npy"):
        store.read("rgb", "a")


def test_a_store_keeps_one_identity_whatever_the_versions(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    store.claim({"backbone": "resnet101", "flow": {"tau": 0.25}, "versions": {"torch": "1"}})
    store.claim({"backbone": "resnet101", "flow": {"tau": 0.25}, "versions": {"torch": "2"}})
    with pytest.raises(UserError, match="other settings \\(flow\\)"):
        store.claim({"backbone": "resnet101", "flow": {"tau": 0.3}, "versions": {"torch": "1"}})


def test_without_features_json_the_rate_is_snippets_by_duration(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    assert store.time_grid(50, 20.0).rate_hz == 2.5
    store.claim({"rate_hz": 6.0})
    assert store.time_grid(50, 20.0).rate_hz == 6.0
