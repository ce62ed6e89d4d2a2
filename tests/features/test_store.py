"""The feature store refuses what it cannot trust and never leaves half a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tsrnet.core.errors import UserError
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
        np.zeros((1, 4), np.float32),
        *(
            np.array([[1, 2], [value, 3]], kind)
            for value in (np.nan, -np.nan, np.inf, -np.inf)
            for kind in (np.float16, np.float32)
        ),
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


@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_every_finite_number_is_taken(tmp_path: Path, kind: type[np.floating]) -> None:
    limits = np.finfo(kind)
    array = np.array([[limits.max, limits.min], [-0.0, limits.smallest_subnormal]], kind)
    FeatureStore(tmp_path).write("rgb", "a", array)
    np.testing.assert_array_equal(FeatureStore(tmp_path).read("rgb", "a"), array)


def test_fortran_order_is_read_as_what_it_says(tmp_path: Path) -> None:
    array = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    (tmp_path / "rgb").mkdir()
    np.save(tmp_path / "rgb" / "a.npy", np.asfortranarray(array))
    features = FeatureStore(tmp_path).read("rgb", "a")
    np.testing.assert_array_equal(features, array)
    assert features.flags.c_contiguous


@pytest.mark.parametrize(("rgb", "flow"), [(8, 10), (10, 8), (9, 9)])
def test_streams_that_differ_by_2_snippets_are_cut_to_the_shorter(
    tmp_path: Path, rgb: int, flow: int
) -> None:
    store = FeatureStore(tmp_path)
    store.write("rgb", "a", np.ones((rgb, 4), np.float16))
    store.write("flow", "a", np.ones((flow, 4), np.float16))
    assert len(store.read("rgb", "a")) == len(store.read("flow", "a")) == min(rgb, flow)
    assert store.problem("a", ("rgb", "flow")) is None


def test_streams_that_differ_by_more_are_an_error_with_both_lengths(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    store.write("rgb", "a", np.ones((10, 4), np.float16))
    store.write("flow", "a", np.ones((13, 4), np.float16))
    with pytest.raises(UserError, match=r"a\.npy: got 10 snippets, flow has 13"):
        store.read("rgb", "a")
    assert "[10, 13]" in str(store.problem("a", ("rgb", "flow")))
    assert store.problem("a", ("rgb",)) is None


def test_a_problem_is_told_from_the_headers(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    store.write("rgb", "a", np.ones((10, 4), np.float16))
    assert "no features" in str(store.problem("a", ("rgb", "flow")))
    assert "got 4 dimensions, need the 5" in str(store.problem("a", ("rgb",), num_features=5))
    assert store.problem("a", ("rgb",), num_features=4) is None


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
    with pytest.raises(UserError, match=r"flow\.tau 0\.25 there, 0\.3 asked for"):
        store.claim({"backbone": "resnet101", "flow": {"tau": 0.3}, "versions": {"torch": "1"}})


def test_ours_are_not_mixed_with_those_of_others(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    store.write("flow", "a", np.ones((50, 4), np.float32))
    with pytest.raises(UserError, match=r"without a features\.json"):
        store.claim({"backbone": "resnet101"})
    assert store.identity == {}


def test_without_features_json_the_rate_is_snippets_by_duration(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    assert store.time_grid(50, 20.0).rate_hz == 2.5
    store.claim({"rate_hz": 6.0})
    assert store.time_grid(50, 20.0).rate_hz == 6.0
