"""The feature store refuses what it cannot trust and never leaves half a file."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from tsrnet.core.errors import UserError
from tsrnet.features.store import FeatureStore
from tsrnet.video.time_grid import TimeGrid


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


def test_streams_that_differ_by_more_are_a_problem_of_both_but_not_of_one(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    store.write("rgb", "a", np.ones((10, 4), np.float16))
    store.write("flow", "a", np.ones((13, 4), np.float16))
    assert "[10, 13]" in str(store.problem("a", ("rgb", "flow")))
    assert store.problem("a", ("rgb",)) is None
    assert len(store.read("rgb", "a")) == 10
    store.path("flow", "a").write_bytes(b"no array")
    assert len(store.read("rgb", "a")) == 10


def test_a_problem_is_told_from_the_headers(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    store.write("rgb", "a", np.ones((10, 4), np.float16))
    assert "no features" in str(store.problem("a", ("rgb", "flow")))
    assert "got 4 dimensions, need the 5" in str(store.problem("a", ("rgb",), num_features={"rgb": 5}))
    assert store.problem("a", ("rgb",), num_features={"rgb": 4}) is None


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
    with pytest.raises(UserError, match=r"flow\.tau: found 0\.25, now 0\.3"):
        store.claim({"backbone": "resnet101", "flow": {"tau": 0.3}, "versions": {"torch": "1"}})


def test_ours_are_not_mixed_with_those_of_others(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    store.write("flow", "a", np.ones((50, 4), np.float32))
    with pytest.raises(UserError, match=r"without a features\.json"):
        store.claim({"backbone": "resnet101"})
    assert store.identity == {}


def test_features_of_any_stream_are_not_mixed_with_those_of_others(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    store.write("features", "a", np.ones((50, 4), np.float32))
    with pytest.raises(UserError, match=r"without a features\.json"):
        store.claim({"layout": "folder"})


def test_without_features_json_the_rate_is_snippets_by_duration(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    assert store.time_grid("a", 50, 20.0) == TimeGrid(2.5)
    with pytest.raises(UserError, match="has no rate_hz, and the duration of the video 'a' is unknown"):
        store.time_grid("a", 50, None)
    store.claim({"rate_hz": 6.0})
    assert store.time_grid("a", 50, 20.0) == TimeGrid(6.0)


def test_rate_offset_and_width_are_one_number_or_one_a_video(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    store.claim({"rate_hz": {"a": 7.5, "b": 6.25}, "offset_s": {"a": 0.25, "b": 0.32}, "width_s": 0.5})
    assert store.time_grid("a", 50, 20.0) == TimeGrid(7.5, 0.25, 0.5)
    assert store.time_grid("b", 50, 20.0) == TimeGrid(6.25, 0.32, 0.5)
    with pytest.raises(UserError, match=r"features\.json: rate_hz has no video 'c'"):
        store.time_grid("c", 50, 20.0)


@pytest.mark.parametrize(
    ("key", "value"), [("rate_hz", 0), ("rate_hz", "fast"), ("offset_s", -1), ("width_s", 0)]
)
def test_numbers_that_cannot_be_are_refused_with_the_file(tmp_path: Path, key: str, value: object) -> None:
    store = FeatureStore(tmp_path)
    store.claim({key: value})
    with pytest.raises(UserError, match=r"features\.json: (rate_hz|offset_s|width_s): got"):
        store.time_grid("a", 50, 20.0)


def test_features_json_may_change_while_a_store_is_open(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    store.claim({"rate_hz": 6.0})
    assert store.time_grid("a", 50, 20.0).rate_hz == 6.0
    (tmp_path / "features.json").write_text('{"rate_hz": 12.25}')
    assert store.time_grid("a", 50, 20.0).rate_hz == 12.25
    assert store.identity == {"rate_hz": 12.25}


def test_the_identity_has_a_checksum_for_numbers_a_video(tmp_path: Path) -> None:
    rates = {f"video {i}": float(i) for i in range(1, 1000)}
    store = FeatureStore(tmp_path)
    store.claim({"rate_hz": rates})
    assert len(str(store.identity)) < 200
    store.claim({"rate_hz": dict(reversed(rates.items()))})
    with pytest.raises(UserError, match=r"rate_hz\.sha256: found .*, now .*") as caught:
        store.claim({"rate_hz": rates | {"video 7": 8.0}})
    assert len(str(caught.value)) < 400


def test_joint_is_rgb_and_flow_side_by_side(tmp_path: Path) -> None:
    store, rng = FeatureStore(tmp_path), np.random.default_rng(0)
    rgb, flow = rng.normal(size=(9, 3)).astype(np.float16), rng.normal(size=(8, 2)).astype(np.float16)
    store.write("rgb", "a", rgb)
    assert "flow" in str(store.problem("a", ("joint",)))
    store.write("flow", "a", flow)
    joint = store.read("joint", "a")
    np.testing.assert_array_equal(joint, np.hstack([rgb[:8], flow]))
    assert joint.dtype == np.float16
    assert store.num_features("a", "joint") == 5
    assert store.problem("a", ("joint",)) is None
    assert store.problem("a", ("joint",), num_features={"joint": 5}) is None
    assert "got 5 dimensions, need the 6" in str(store.problem("a", ("joint",), num_features={"joint": 6}))
    store.write("flow", "a", flow[:6])
    assert "[9, 6]" in str(store.problem("a", ("joint",)))
    with pytest.raises(UserError, match=r"streams of different length \(\[9, 6\] snippets\)"):
        store.read("joint", "a")


def test_a_joint_file_comes_before_rgb_and_flow(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    for stream, width in (("rgb", 3), ("flow", 2)):
        store.write(stream, "a", np.zeros((9, width), np.float32))
    joint = np.random.default_rng(0).normal(size=(20, 7)).astype(np.float32)
    store.write("joint", "a", joint)
    np.testing.assert_array_equal(store.read("joint", "a"), joint)
    assert store.num_features("a", "joint") == 7


def test_a_stream_of_another_name_stands_alone(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    features = np.random.default_rng(0).normal(size=(20, 768)).astype(np.float32)
    store.write("features", "a", features)
    store.write("rgb", "a", np.zeros((9, 3), np.float32))
    np.testing.assert_array_equal(store.read("features", "a"), features)
    assert store.num_features("a", "features") == 768
    assert store.problem("a", ("features",), num_features={"features": 768}) is None


def test_a_linked_file_is_the_same_file(tmp_path: Path) -> None:
    np.save(tmp_path / "source.npy", np.ones((5, 3), np.float32))
    store = FeatureStore(tmp_path / "store")
    store.link("rgb", "a", tmp_path / "source.npy")
    assert store.path("rgb", "a").samefile(tmp_path / "source.npy")
    assert [path.name for path in (tmp_path / "store" / "rgb").iterdir()] == ["a.npy"]


def test_where_no_link_is_possible_the_file_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "source.npy", np.ones((5, 3), np.float32))

    def refuse(*_: object) -> None:
        raise OSError("Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    store = FeatureStore(tmp_path / "store")
    store.link("rgb", "a", tmp_path / "source.npy")
    assert not store.path("rgb", "a").samefile(tmp_path / "source.npy")
    np.testing.assert_array_equal(store.read("rgb", "a"), np.ones((5, 3)))
