"""Features in the layouts of other projects: what is imported, and when their snippets are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tsrnet.core.errors import FailedError, UserError
from tsrnet.datasets.layouts.importer import Imported, import_features
from tsrnet.datasets.layouts.videos import LayoutSettings, find_files
from tsrnet.features.store import FeatureStore

FPS = {"a": 29.97, "b": 23.976, "-c": 12.5, "d": 30.0}
LENGTHS = {"a": 30, "b": 41, "-c": 17, "d": 60}


def random(length: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng((seed, length, width)).normal(size=(length, width)).astype(np.float32)


def objects(values: Any) -> np.ndarray:
    values = list(values)
    array = np.empty(len(values), object)
    for index, value in enumerate(values):
        array[index] = value
    return array


def save(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array, allow_pickle=array.dtype.hasobject)
    return path


def write_wtalc(folder: Path, durations: Mapping[str, float]) -> Path:
    """W-TALC's annotation files, with bytes and the wrong extracted_fps."""
    count = len(durations)
    subsets = [b"validation" if i % 2 == 0 else b"test" for i in range(count)]
    files = {
        "videoname": np.array([name.encode() for name in durations]),
        "subset": np.array(subsets),
        "duration": np.array([[seconds] for seconds in durations.values()]),
        "extracted_fps": np.full(count, 10),
        "classlist": np.array([b"Billiards", b"Diving"]),
        "labels_all": objects([b"Billiards"] for _ in durations),
        "labels": objects([b"Billiards", b"Billiards"] for _ in durations),
        "segments": objects([[0.5, 2.0], [3.0, 4.5]] for _ in durations),
    }
    for name, array in files.items():
        save(folder / f"{name}.npy", array)
    return folder


def write_json(path: Path, entries: Mapping[str, Mapping[str, Any]]) -> Path:
    database = {
        name: {"subset": "training", "annotations": [{"label": "run", "segment": [0, 1]}], **entry}
        for name, entry in entries.items()
    }
    path.write_text(json.dumps({"database": database}))
    return path


def run(source: Path, annotations: Path | None = None, **settings: Any) -> tuple[FeatureStore, Imported]:
    """The import into `store` beside the source."""
    store = FeatureStore(source.parent / "store")
    return store, import_features(source, annotations, store, LayoutSettings(**settings))


def centres(store: FeatureStore, video_id: str, length: int, duration_s: float | None = None) -> np.ndarray:
    return store.time_grid(video_id, length, duration_s).centres_s(length)


@pytest.fixture
def joint() -> dict[str, np.ndarray]:
    return {name: random(length, 2048, seed) for seed, (name, length) in enumerate(LENGTHS.items())}


def test_wtalc_splits_at_1024_and_snippet_i_begins_at_16_i_by_25(
    tmp_path: Path, joint: dict[str, np.ndarray]
) -> None:
    source = save(tmp_path / "Features.npy", objects(joint.values()))
    durations = {name: length * 16 / 25 for name, length in LENGTHS.items()}
    annotations = write_wtalc(tmp_path / "Annotations", durations)
    store, imported = run(source, annotations, layout="wtalc")
    assert (imported.videos, imported.new, imported.left_out, imported.warnings) == (4, 4, {}, [])
    assert imported.streams == {"rgb": 1024, "flow": 1024}
    for name, features in joint.items():
        np.testing.assert_array_equal(store.read("rgb", name), features[:, :1024])
        np.testing.assert_array_equal(store.read("flow", name), features[:, 1024:])
        np.testing.assert_array_equal(store.read("joint", name), features)
        grid = store.time_grid(name, len(features), None)
        index = np.arange(len(features))
        starts, ends = grid.seconds((index, index + 1))
        np.testing.assert_allclose(starts, 16 * index / 25, rtol=1e-14)
        np.testing.assert_allclose(ends, 16 * (index + 1) / 25, rtol=1e-14)


def test_wtalc_kept_whole_is_joint(tmp_path: Path, joint: dict[str, np.ndarray]) -> None:
    source = save(tmp_path / "Features.npy", objects(joint.values()))
    annotations = write_wtalc(tmp_path / "Annotations", dict.fromkeys(LENGTHS, 20.0))
    store, imported = run(source, annotations, layout="wtalc", split=None)
    assert imported.streams == {"joint": 2048}
    for name, features in joint.items():
        np.testing.assert_array_equal(store.read("joint", name), features)


def test_wtalc_needs_as_many_features_as_names(tmp_path: Path, joint: dict[str, np.ndarray]) -> None:
    source = save(tmp_path / "Features.npy", objects(list(joint.values())[1:]))
    annotations = write_wtalc(tmp_path / "Annotations", dict.fromkeys(LENGTHS, 20.0))
    with pytest.raises(UserError, match="got features of 3 videos, the annotations list 4"):
        run(source, annotations, layout="wtalc")
    with pytest.raises(UserError, match="annotations: got null, need the folder with videoname"):
        run(source, layout="wtalc")
    assert not (tmp_path / "store").exists()


def test_a_wrong_order_is_told_by_lengths_and_durations(tmp_path: Path, joint: dict[str, np.ndarray]) -> None:
    source = save(tmp_path / "Features.npy", objects(joint.values()))
    durations = {name: LENGTHS[name] * 16 / 25 for name in ("b", "a", "-c", "d")}
    _, imported = run(source, write_wtalc(tmp_path / "Annotations", durations), layout="wtalc")
    (warning,) = imported.warnings
    assert warning.startswith("2 of 4 videos are not as long as rate and duration say (b has 30 snippets,")


def test_basnet_is_linked(tmp_path: Path) -> None:
    root, arrays = tmp_path / "THUMOS14", {}
    for index, (name, length) in enumerate(LENGTHS.items()):
        for seed, stream in enumerate(("rgb", "flow")):
            arrays[stream, name] = random(length, 1024, seed)
            save(
                root / "features" / ("train", "test")[index % 2] / stream / f"{name}.npy",
                arrays[stream, name],
            )
    write_json(root / "gt.json", {name: {"duration": n * 0.64} for name, n in LENGTHS.items()})
    store, imported = run(root, layout="basnet")
    assert (imported.videos, imported.left_out, imported.warnings) == (4, {}, [])
    for (stream, name), array in arrays.items():
        np.testing.assert_array_equal(store.read(stream, name), array)
    assert store.path("rgb", "a").samefile(root / "features/train/rgb/a.npy")
    np.testing.assert_allclose(centres(store, "b", 41), (np.arange(41) + 0.5) * 16 / 25, rtol=1e-14)


@pytest.mark.parametrize("layout", ["actionformer", "opentad"])
@pytest.mark.parametrize(("stride", "frames"), [(4, 16), (8, 16), (16, 16), (3, 1)])
def test_centres_of_actionformer_are_in_frames_of_the_video(
    tmp_path: Path, layout: str, stride: int, frames: int
) -> None:
    """(i * stride + num_frames / 2) / fps; OpenTAD's JSON has frames and duration in place of fps."""
    entries = {}
    for name, length in LENGTHS.items():
        save(tmp_path / "source" / f"v_{name}.npy", random(length, 512))
        duration = ((length - 1) * stride + frames) / FPS[name]
        rate = {"fps": FPS[name]} if layout == "actionformer" else {"frame": duration * FPS[name]}
        entries[name] = {"duration": duration, **rate}
    annotations = write_json(tmp_path / "anno.json", entries)
    placed = {} if (stride, frames) == (4, 16) else {"feat_stride": stride, "num_frames": frames}
    store, imported = run(tmp_path / "source", annotations, layout=layout, prefix="v_", **placed)
    assert (imported.videos, imported.warnings, imported.streams) == (4, [], {"features": 512})
    for name, length in LENGTHS.items():
        assert store.path("features", name).samefile(tmp_path / "source" / f"v_{name}.npy")
        expected = [(i * stride + frames / 2) / FPS[name] for i in range(length)]
        np.testing.assert_allclose(centres(store, name, length), expected, rtol=1e-12)
        assert store.time_grid(name, length, None).width_s == pytest.approx(frames / FPS[name])
        start_s, _ = store.time_grid(name, length, None).seconds((2, 3))
        assert start_s == pytest.approx((1.5 * stride + frames / 2) / FPS[name])


def test_opentad_says_the_middle_of_the_first_snippet(tmp_path: Path) -> None:
    save(tmp_path / "source" / "a.npy", random(30, 2048))
    settings = {"feat_stride": 4, "offset_frames": 3, "fps": 12.5}
    store, imported = run(tmp_path / "source", layout="opentad", split=1024, **settings)
    assert imported.streams == {"rgb": 1024, "flow": 1024}
    np.testing.assert_allclose(centres(store, "a", 30), (np.arange(30) * 4 + 3) / 12.5, rtol=1e-12)


def test_resized_files_last_as_long_as_the_video(tmp_path: Path) -> None:
    durations = {"a": 29.97, "b": 120.5}
    for name in durations:
        save(tmp_path / "source" / f"{name}.npy", random(100, 2048))
    annotations = write_json(tmp_path / "anno.json", {n: {"duration": s} for n, s in durations.items()})
    store, imported = run(tmp_path / "source", annotations, layout="actionformer", feat_stride=-1, split=None)
    assert (imported.streams, imported.warnings) == ({"joint": 2048}, [])
    for name, seconds in durations.items():
        expected = (np.arange(100) + 0.5) * seconds / 100
        np.testing.assert_allclose(centres(store, name, 100), expected, rtol=1e-12)


def test_a_wrong_stride_is_told_by_lengths_and_durations(tmp_path: Path) -> None:
    for name, length in LENGTHS.items():
        save(tmp_path / "source" / f"{name}.npy", random(length, 8))
    entries = {name: {"duration": n * 16 / FPS[name], "fps": FPS[name]} for name, n in LENGTHS.items()}
    _, imported = run(tmp_path / "source", write_json(tmp_path / "a.json", entries), layout="actionformer")
    assert imported.warnings[0].startswith("4 of 4 videos are not as long as rate and duration say")


def test_unknown_frame_rates_are_listed_and_given(tmp_path: Path) -> None:
    for name in ("a", "b", "other"):
        save(tmp_path / "source" / f"{name}.npy", random(20, 8))
    entries = {"a": {"duration": 3.1, "fps": 29.97}, "b": {"duration": 3.1}, "gone": {"duration": 5.0}}
    annotations = write_json(tmp_path / "anno.json", entries)
    store, imported = run(tmp_path / "source", annotations, layout="actionformer")
    assert imported.videos == 1
    assert sorted(imported.left_out) == ["b", "other"]
    assert "its fps is unknown" in imported.left_out["b"]
    assert imported.warnings == ["1 annotated video without features: 'gone'"]
    store.folder.rename(tmp_path / "first")
    store, imported = run(tmp_path / "source", annotations, layout="actionformer", fps=12.5)
    assert (imported.videos, imported.left_out) == (3, {})
    assert "1 video not in the annotations: 'other'" in imported.warnings
    np.testing.assert_allclose(centres(store, "a", 20), (np.arange(20) * 4 + 8) / 12.5, rtol=1e-12)


@pytest.mark.parametrize(("stack", "step"), [(64, 64), (16, 16), (24, 8), (10, 40)])
def test_time_stamps_of_video_features_are_the_ends_of_stacks(tmp_path: Path, stack: int, step: int) -> None:
    source = tmp_path / "source"
    for name, length in LENGTHS.items():
        for stream in ("rgb", "flow"):
            save(source / f"{name}_x_{stream}.npy", random(length, 64).astype(np.float64))
        ends = (np.arange(length) * step + stack) / FPS[name]
        save(source / f"{name}_x_timestamps_ms.npy", 1000 * ends)
        save(source / f"{name}_x_fps.npy", np.array(FPS[name]))
    store, imported = run(source, layout="video_features")
    assert (imported.videos, imported.streams) == (4, {"rgb": 64, "flow": 64})
    for name, length in LENGTHS.items():
        expected = [(i * step + stack / 2) / FPS[name] for i in range(length)]
        np.testing.assert_allclose(centres(store, f"{name}_x", length), expected, rtol=1e-9)
        features = store.read("rgb", f"{name}_x")
        assert features.dtype == np.float32
        np.testing.assert_array_equal(features, random(length, 64))


def test_video_features_of_single_frames_and_of_networks_without_time_stamps(tmp_path: Path) -> None:
    frames = tmp_path / "clip" / "source"
    save(frames / "a_clip.npy", random(20, 8))
    save(frames / "a_timestamps_ms.npy", 1000 * np.arange(20) / 23.976)
    store, imported = run(frames, layout="video_features")
    assert imported.streams == {"features": 8}
    np.testing.assert_allclose(centres(store, "a", 20), (np.arange(20) + 0.5) / 23.976, rtol=1e-9)

    stacks = tmp_path / "r21d" / "source"
    save(stacks / "a_r21d.npy", random(20, 8))
    with pytest.raises(FailedError, match=r"it has no a_timestamps_ms\.npy; give feat_stride="):
        run(stacks, layout="video_features")
    store, _ = run(stacks, layout="video_features", feat_stride=8, num_frames=16, fps=29.97)
    np.testing.assert_allclose(centres(store, "a", 20), (np.arange(20) * 8 + 8) / 29.97, rtol=1e-12)
    save(stacks / "a_s3d.npy", random(20, 8))
    with pytest.raises(UserError, match="holds features of r21d, s3d; need one network"):
        run(stacks, layout="video_features", feat_stride=8, num_frames=16, fps=29.97)


@pytest.mark.parametrize(
    ("times", "said"),
    [
        ([1.0, 2.0, 3.0], "3 time stamps for 4 snippets"),
        ([1.0, 2.0, 2.0, 3.0], "do not increase"),
        ([0.0, 1.0, 2.0, 3.0], "first time stamp is 0 s"),
    ],
)
def test_time_stamps_that_cannot_be_are_listed(tmp_path: Path, times: list[float], said: str) -> None:
    save(tmp_path / "source" / "a_rgb.npy", random(4, 8))
    save(tmp_path / "source" / "a_timestamps_ms.npy", np.array(times))
    with pytest.raises(FailedError, match=f"none of 1 video can be used; a: .*{said}"):
        run(tmp_path / "source", layout="video_features")


def test_time_stamps_without_features_are_listed(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save(tmp_path / "source" / f"{name}_timestamps_ms.npy", np.arange(1.0, 5.0))
    save(tmp_path / "source" / "a_rgb.npy", random(4, 8))
    _, imported = run(tmp_path / "source", layout="video_features")
    assert (imported.videos, list(imported.left_out)) == (1, ["b"])


def test_annotations_of_basnet_that_are_not_there_are_named(tmp_path: Path) -> None:
    save(tmp_path / "source" / "train" / "rgb" / "a.npy", random(4, 8))
    with pytest.raises(UserError, match="elsewhere: there is no such file"):
        run(tmp_path / "source", tmp_path / "elsewhere", layout="basnet")
    _, imported = run(tmp_path / "source", layout="basnet")
    assert (imported.videos, imported.streams) == (1, {"rgb": 8})


def test_a_folder_of_single_files_is_linked(tmp_path: Path) -> None:
    for stream in ("RGB", "flow"):
        save(tmp_path / "source" / f"{stream}_feats" / "x_a.npy", random(20, 8).astype(np.float16))
    store, imported = run(
        tmp_path / "source", layout="folder", pattern="{stream}_*/x_{id}.npy", rate_hz=2.5, offset_s=0.1
    )
    assert imported.streams == {"rgb": 8, "flow": 8}
    assert store.path("rgb", "a").samefile(tmp_path / "source" / "RGB_feats" / "x_a.npy")
    np.testing.assert_allclose(centres(store, "a", 20), 0.1 + np.arange(20) / 2.5, rtol=1e-12)


def test_a_folder_of_joint_files_with_time_last(tmp_path: Path) -> None:
    features = random(20, 24)
    save(tmp_path / "source" / "a.npy", np.ascontiguousarray(features.T))
    settings = {"layout": "folder", "pattern": "{id}.npy", "time_axis": 1}
    store, _ = run(tmp_path / "source", split=16, **settings)
    np.testing.assert_array_equal(store.read("rgb", "a"), features[:, :16])
    np.testing.assert_array_equal(store.read("flow", "a"), features[:, 16:])
    assert "rate_hz" not in store.identity  # then n snippets are as long as the video
    np.testing.assert_allclose(centres(store, "a", 20, 50.0), (np.arange(20) + 0.5) * 2.5, rtol=1e-12)
    store.folder.rename(tmp_path / "first")
    store, imported = run(tmp_path / "source", stream="videomae", **settings)
    assert imported.streams == {"videomae": 24}
    np.testing.assert_array_equal(store.read("videomae", "a"), features)


def test_what_the_settings_say_comes_before_the_layout(tmp_path: Path) -> None:
    save(tmp_path / "source" / "a.npy", random(20, 8))
    store, _ = run(tmp_path / "source", layout="actionformer", rate_hz=3.0, width_s=0.9)
    np.testing.assert_allclose(centres(store, "a", 20), (np.arange(20) + 0.5) / 3, rtol=1e-12)
    assert store.time_grid("a", 20, None).width_s == 0.9


def bad_videos(source: Path) -> None:
    save(source / "rgb" / "nan.npy", np.full((20, 8), np.nan, np.float32))
    for stream, length in (("rgb", 20), ("flow", 23)):
        save(source / stream / "lengths.npy", random(length, 8))
    for stream in ("rgb", "flow"):
        save(source / stream / "good.npy", random(20, 8))
        save(source / stream / "also_good.npy", random(21 if stream == "rgb" else 20, 8))
        save(source / stream / "wide.npy", random(20, 9))
        save(source / stream / "short.npy", random(1, 8))
        save(source / stream / "numbers.npy", np.ones((20, 8), int))
        save(source / stream / "crops.npy", np.ones((10, 20, 8), np.float32))
        save(source / stream / "objects.npy", objects([print]))
        (source / stream / "cut.npy").write_bytes(b"\x93NUMPY")
    save(source / "flow" / "nan.npy", random(20, 8))
    save(source / "rgb" / "alone.npy", random(20, 8))


def test_videos_that_cannot_be_used_are_listed_with_the_reason(tmp_path: Path) -> None:
    bad_videos(tmp_path / "source")
    store, imported = run(tmp_path / "source", layout="folder", rate_hz=2.0)
    assert sorted(path.stem for path in (store.folder / "rgb").iterdir()) == ["also_good", "good"]
    assert (imported.videos, imported.new) == (2, 2)
    reasons = {
        "nan": "rgb holds NaN or infinite values",
        "lengths": "20 snippets of rgb",
        "wide": "flow of 9 columns, rgb of 9 columns, need flow of 8 columns",
        "short": "got 1 snippet, need at least 2",
        "numbers": "got int64 (20, 8), need floats",
        "crops": "got float32 (10, 20, 8), need floats (snippets, d)",
        "objects": "the name builtins.print, which is not data",
        "cut": "is not a complete .npy file",
        "alone": "got rgb of 8 columns, need flow of 8 columns, rgb of 8 columns",
    }
    assert imported.left_out.keys() == reasons.keys()
    for name, reason in reasons.items():
        assert reason in imported.left_out[name]
    assert run(tmp_path / "source", layout="folder", rate_hz=2.0)[1].left_out == imported.left_out


def test_when_no_video_is_left_the_first_reason_is_said(tmp_path: Path) -> None:
    save(tmp_path / "source" / "rgb" / "a.npy", np.full((20, 8), np.inf, np.float32))
    with pytest.raises(FailedError, match="none of 1 video can be used; a: rgb holds NaN or infinite"):
        run(tmp_path / "source", layout="folder")


def test_a_split_beyond_the_columns_is_said(tmp_path: Path) -> None:
    save(tmp_path / "source" / "a.npy", random(20, 8))
    with pytest.raises(FailedError, match="split: got 8 for features of 8 columns, need fewer"):
        run(tmp_path / "source", layout="folder", pattern="{id}.npy", split=8)


def test_files_are_found_by_a_pattern(tmp_path: Path) -> None:
    for name in (
        "train/v_a-b_rgb.npy",
        "test/v_-c_d_flow.npy",
        "test/v_x.npy",
        "v_y_rgb.npy",
        "train/w_z_rgb.npy",
    ):
        save(tmp_path / name, np.zeros(1))
    assert find_files(tmp_path, "*/v_{id}_{stream}.npy") == {
        "-c_d": {"flow": tmp_path / "test/v_-c_d_flow.npy"},
        "a-b": {"rgb": tmp_path / "train/v_a-b_rgb.npy"},
    }
    with pytest.raises(UserError, match="holds no file x"):
        find_files(tmp_path, "x{id}.npy")
    with pytest.raises(UserError, match=r"pattern: got .*need \{id\} once"):
        find_files(tmp_path, "{stream}.npy")
    save(tmp_path / "train" / "v_-c_d_flow.npy", np.zeros(1))
    with pytest.raises(UserError, match="is the same video and stream as"):
        find_files(tmp_path, "*/v_{id}_{stream}.npy")
