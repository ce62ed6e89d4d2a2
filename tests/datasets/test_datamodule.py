"""The DataModules on files: what reaches a batch, what is left out, and what a checkpoint holds of them."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.trainer.states import TrainerFn

from tsrnet.core.errors import UserError
from tsrnet.datasets.batch import TrainingBatch
from tsrnet.datasets.benchmark_datamodules import (
    ActivityNetDataModule,
    THUMOS14DataModule,
    UCF101DataModule,
)
from tsrnet.datasets.datamodule import VideoDataModule
from tsrnet.datasets.records import LabelledVideo, Segment, VideoDataset, VideoRecord
from tsrnet.datasets.thumos14 import CLASSES
from tsrnet.features.store import FeatureStore

Entries = dict[str, tuple[str, list[tuple[str, float, float]]]]
UNTRIMMED: dict[str, Callable[..., VideoDataModule]] = {
    "activitynet": ActivityNetDataModule,
    "thumos14": THUMOS14DataModule,
}
SUBSETS = {
    "activitynet": {"train": "training", "test": "validation"},
    "thumos14": {"train": "validation", "test": "test"},
}
ENTRIES: Entries = {
    "a": ("train", [("Diving", 0.0, 9.0)]),
    "b": ("train", [("Billiards", 3.0, 4.0), ("Diving", 5.0, 6.0)]),
    "c": ("train", [("Billiards", 3.0, 4.0)]),
    "t": ("test", [("Diving", 1.0, 2.0)]),
    "u": ("test", [("Billiards", 1.0, 2.0)]),
    "w": ("test", [("Billiards", 1.0, 2.0)]),
}
CLIPS = ("v_Diving_g01_c01", "v_Billiards_g01_c01", "v_Archery_g01_c01")
TEST_CLIP = "v_Diving_g02_c01"


def written(path: Path, dataset: str, entries: Entries = ENTRIES) -> Path:
    database = {
        name: {
            "subset": SUBSETS[dataset][split],
            "duration": 100.0,
            "annotations": [{"label": label, "segment": [start, end]} for label, start, end in segments],
        }
        for name, (split, segments) in entries.items()
    }
    path.write_text(json.dumps({"database": database}))
    return path


@pytest.fixture
def features(tmp_path: Path) -> Path:
    """Of all videos and clips, four numbers a snippet."""
    rng = np.random.default_rng(0)
    store = FeatureStore(tmp_path / "features")
    store.claim({"backbone": "drawn", "versions": {"numpy": "1"}})
    for name in (*ENTRIES, *CLIPS, TEST_CLIP):
        store.write("rgb", name, rng.random((int(rng.integers(5, 30)), 4), np.float32))
    return store.folder


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    """Of UCF101: THUMOS14's classes and one more, a clip of three of them."""
    folder = tmp_path / "ucf101"
    folder.mkdir()
    names = (*CLASSES, "Archery")
    (folder / "classInd.txt").write_text("".join(f"{i} {name}\n" for i, name in enumerate(names, 1)))
    lines = [f"{clip.split('_')[1]}/{clip}.avi" for clip in CLIPS]
    (folder / "trainlist01.txt").write_text("\n".join(lines))
    (folder / "testlist01.txt").write_text(f"Diving/{TEST_CLIP}.avi\n")
    return folder


def made(tmp_path: Path, features: Path, dataset: str = "activitynet", **options: Any) -> VideoDataModule:
    path = written(tmp_path / f"{dataset}.json", dataset)
    return UNTRIMMED[dataset](path, features, **{"batch_size": 2, **options})


def batches(module: VideoDataModule) -> list[TrainingBatch]:
    """Of the first epoch."""
    return list(module.train_dataloader())


@pytest.mark.parametrize("dataset", UNTRIMMED)
@pytest.mark.parametrize("kind", [str, Path])
def test_annotations_and_features_are_found_by_path_or_text(
    tmp_path: Path, features: Path, dataset: str, kind: type
) -> None:
    path = written(tmp_path / "a.json", dataset)
    module = UNTRIMMED[dataset](kind(path), kind(features), batch_size=4)
    assert module.num_features == 4
    assert {"Diving", "Billiards"} <= set(module.classes)
    assert not module.missing
    (batch,) = batches(module)
    assert set(batch.videos.ids) == {"a", "b", "c"}
    for name, row, real in zip(batch.videos.ids, batch.videos.features, batch.videos.mask, strict=True):
        np.testing.assert_array_equal(row[real], np.load(features / "rgb" / f"{name}.npy"))
    assert [found.ids for found in module.test_dataloader()] == [("t",), ("u",), ("w",)]
    assert [found.ids for found in module.predict_dataloader()] == [("t",), ("u",), ("w",)]


@pytest.mark.parametrize("kind", [str, Path])
def test_clips_of_ucf101_are_paired_by_class(tmp_path: Path, features: Path, lists: Path, kind: type) -> None:
    trimmed = UCF101DataModule(kind(lists), kind(features), classes=("Diving", "Billiards"))
    assert trimmed.classes == ("Billiards", "Diving")
    module = made(tmp_path, features, trimmed=trimmed, overlap={"Diving": "Diving"})
    for batch in batches(module):
        with_class = [row for row, name in enumerate(batch.videos.ids) if name != "c"]
        assert batch.paired.tolist() == with_class
        assert batch.trimmed is not None
        assert set(batch.trimmed.ids) == {"v_Diving_g01_c01"}
        assert batch.trimmed.labels.tolist() == [[0, 1]] * len(with_class)


def test_videos_without_features_are_left_out_and_listed_once(tmp_path: Path, features: Path) -> None:
    for name in ("b", "u"):
        (features / "rgb" / f"{name}.npy").unlink()
    np.save(features / "rgb" / "w.npy", np.ones((5, 3), np.float32))
    module = made(tmp_path, features)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for stage in ("fit", "test"):
            module.setup(stage)
        ids = {name for batch in batches(module) for name in batch.videos.ids}
    (message,) = (str(one.message) for one in caught if "missing" in str(one.message))
    assert message == (
        "activitynet: 2 of 3 training videos and 1 of 3 test videos have features; missing: b, u, w"
    )
    assert ids == {"a", "c"}
    assert [found.ids for found in module.test_dataloader()] == [("t",)]
    assert "b.npy: there are no features" in module.missing["b"]
    assert "got 3 dimensions, need the 4" in module.missing["w"]
    assert [record.id for record in module.availability.dataset.test] == ["t", "u", "w"]


@pytest.mark.filterwarnings("ignore:activitynet. 0 of 3")
def test_without_any_features_the_line_says_why(tmp_path: Path) -> None:
    module = made(tmp_path, tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"0 of 3 training videos.*e\.g\. .*nowhere.rgb.a\.npy: there are no"):
        module.setup()


def test_the_class_map_comes_from_a_list_a_file_a_mapping_or_equal_names(
    tmp_path: Path, features: Path, lists: Path
) -> None:
    trimmed = UCF101DataModule(lists, features, classes=["Diving", "Billiards", "Archery"])
    path = written(tmp_path / "t.json", "thumos14")
    both = {"Billiards": "Billiards", "Diving": "Diving"}
    csv = tmp_path / "pairs.csv"
    csv.write_text("untrimmed,trimmed\nDiving,Billiards\n")
    expected: list[tuple[dict[str, Any], dict[str, str]]] = [
        ({}, both),
        ({"overlap": "thumos14"}, both),
        ({"overlap": csv}, {"Diving": "Billiards"}),
        ({"overlap": str(csv)}, {"Diving": "Billiards"}),
        ({"overlap": {"Billiards": "Diving"}}, {"Billiards": "Diving"}),
        ({"overlap": None}, both),
    ]
    for options, pairs in expected:
        assert THUMOS14DataModule(path, features, trimmed=trimmed, **options).class_map == pairs
    assert THUMOS14DataModule(path, features).class_map == {}
    entries: Entries = {"a": ("train", [("Archery", 0, 9)]), "t": ("test", [("Diving", 0, 9)])}
    other = ActivityNetDataModule(
        written(tmp_path / "a.json", "activitynet", entries), features, trimmed=trimmed
    )
    assert other.class_map == {"Archery": "Archery"}, "of the shipped list, what both have"


def test_ucf101_takes_the_classes_of_a_list_by_its_name(lists: Path, features: Path) -> None:
    assert UCF101DataModule(lists, features, classes="thumos14").classes == CLASSES
    with pytest.raises(UserError, match="classes: got 'hmdb51', need thumos14, activitynet or a list"):
        UCF101DataModule(lists, features, classes="hmdb51")


def dataset(*train: VideoRecord, test: tuple[VideoRecord, ...] = (), name: str = "x") -> VideoDataset:
    return VideoDataset(name, ("jump", "run"), train, test, Path())


def record(name: str, *labels: str, segments: tuple[Segment, ...] = ()) -> VideoRecord:
    return VideoRecord(name, "training", 9.0, labels, segments)


def test_training_never_sees_the_videos_that_are_held_out(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    records = []
    for number in range(12):
        name = f"v{number}"
        store.write("rgb", name, np.ones((4, 3), np.float32))
        label = ("jump", "run")[number % 2]
        records.append(record(name, label, segments=(Segment(0, 1, label),)))
    module = VideoDataModule(dataset(*records), store, batch_size=2, holdout=0.25)
    (loader,) = module.val_dataloader()
    held_out = [batch.ids[0] for batch in loader]
    assert len(held_out) == 3
    assert held_out == [video.id for video in module.held_out]
    assert not any(video.segments for video in module.held_out)
    assert {label for video in module.held_out for label in video.labels} == {"jump", "run"}
    trained = {name for batch in batches(module) for name in batch.videos.ids}
    assert trained == {video.id for video in records} - set(held_out)
    assert {video.id for video in module.dataset.train} == trained
    without = VideoDataModule(dataset(*records), store, batch_size=2)
    assert without.val_dataloader() == []
    assert len(without.dataset.train) == 12


@pytest.mark.parametrize("name", UNTRIMMED)
def test_moved_segments_of_training_videos_change_no_training_batch(
    tmp_path: Path, features: Path, name: str
) -> None:
    other: Entries = {
        "a": ("train", [("Diving", 50.0, 51.0), ("Diving", 60.0, 90.0)]),
        "b": ("train", [("Diving", 0.0, 100.0), ("Billiards", 0.0, 100.0)]),
    }
    first, second = (
        UNTRIMMED[name](written(tmp_path / f"{n}.json", name, entries), features, batch_size=2)
        for n, entries in enumerate((ENTRIES, ENTRIES | other))
    )
    assert [r.segments for r in first.dataset.train] != [r.segments for r in second.dataset.train]
    for x, y in zip(batches(first), batches(second), strict=True):
        assert x.videos.ids == y.videos.ids
        torch.testing.assert_close(x.videos.features, y.videos.features, rtol=0, atol=0)
        torch.testing.assert_close(x.videos.labels, y.videos.labels, rtol=0, atol=0)


def test_training_is_given_ids_and_labels_only(tmp_path: Path, features: Path) -> None:
    module = made(tmp_path, features)
    assert all(type(video) is LabelledVideo for video in module.training_set.videos)
    assert set(LabelledVideo.__dataclass_fields__) == {"id", "labels"}


def on(module: VideoDataModule, rank: int, num_ranks: int) -> VideoDataModule:
    trainer = SimpleNamespace(
        global_rank=rank, world_size=num_ranks, global_step=0, accumulate_grad_batches=1
    )
    module.trainer = trainer  # type: ignore[assignment]
    return module


def test_processes_share_the_batches_and_the_test_videos(tmp_path: Path, features: Path) -> None:
    whole = batches(made(tmp_path, features, batch_size=4))
    modules = [on(made(tmp_path, features, batch_size=4), rank, 2) for rank in range(2)]
    for batch, *shares in zip(whole, *map(batches, modules), strict=True):
        assert [len(share.videos.ids) for share in shares] == [2, 2]
        assert sorted(name for share in shares for name in share.videos.ids) == sorted(batch.videos.ids)
    tested = [[batch.ids[0] for batch in module.test_dataloader()] for module in modules]
    assert tested == [["t", "w"], ["u"]], "no video comes twice"


def test_fewer_test_videos_than_processes_are_refused(tmp_path: Path, features: Path) -> None:
    module = on(made(tmp_path, features), 0, 4)
    with pytest.raises(UserError, match="got 3 videos to test on 4 processes; need at least one for each"):
        module.test_dataloader()


def test_training_goes_on_at_the_step_of_the_trainer(tmp_path: Path, features: Path) -> None:
    """An epoch has two batches, a step is one: step 3 is the last of the second epoch."""
    module = on(made(tmp_path, features), 0, 1)
    module.trainer.global_step = 2  # type: ignore[union-attr, misc]
    second = [batch.videos.ids for batch in batches(module)]
    module.trainer.global_step = 3  # type: ignore[union-attr, misc]
    assert [batch.videos.ids for batch in batches(module)] == second[1:]


def test_a_checkpoint_of_the_same_data_loads_whatever_cannot_change_a_batch(
    tmp_path: Path, features: Path
) -> None:
    state = made(tmp_path, features).state_dict()
    path = written(
        tmp_path / "activitynet.json", "activitynet", ENTRIES | {"w": ("test", [("Diving", 0, 1)])}
    )
    again = ActivityNetDataModule(path, features, batch_size=2, protocol="activitynet", num_workers=3)
    again.load_state_dict(state)
    store = FeatureStore(tmp_path / "features")
    (features / "features.json").write_text('{"backbone": "drawn", "versions": {"numpy": "2"}}')
    made(tmp_path, store.folder).load_state_dict(state)
    assert json.loads(json.dumps(state)) == state, "plain, so that weights_only=True loads it"


def test_a_checkpoint_of_other_data_is_refused_in_one_line(
    tmp_path: Path, features: Path, lists: Path
) -> None:
    state = made(tmp_path, features).state_dict()
    trimmed = UCF101DataModule(lists, features, classes=("Diving",))
    others: dict[str, dict[str, Any]] = {
        "batch_size": {"batch_size": 3},
        "seed": {"seed": 1},
        "videos": {"holdout": 0.4},
        "class_map, trimmed": {"trimmed": trimmed, "overlap": {"Diving": "Diving"}},
    }
    for keys, options in others.items():
        with pytest.raises(
            UserError, match=rf"was trained with other data \({keys}\); give the same"
        ) as error:
            made(tmp_path, features, **options).load_state_dict(state)
        assert "\n" not in str(error.value)
    (features / "features.json").write_text('{"backbone": "another"}')
    with pytest.raises(UserError, match=r"other data \(features\)"):
        made(tmp_path, features).load_state_dict(state)
    tested = made(tmp_path, features, batch_size=3)
    tested.trainer = pl.Trainer(logger=False, enable_checkpointing=False)
    tested.trainer.state.fn = TrainerFn.TESTING
    tested.load_state_dict(state)


def test_clips_of_another_stream_are_refused(tmp_path: Path, features: Path, lists: Path) -> None:
    clips = UCF101DataModule(lists, features)
    with pytest.raises(UserError, match="got stream='flow' and trimmed clips of 'rgb', need one stream"):
        made(tmp_path, features, stream="flow", trimmed=clips)


def test_the_identity_tells_apart_all_that_decides_a_training_batch(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    for name in "ab":
        for stream in ("rgb", "flow"):
            store.write(stream, name, np.ones((4, 3), np.float32))
    base = dataset(record("a", "run"), record("b", "jump"))

    def identity(videos: VideoDataset, **options: Any) -> str:
        return json.dumps(VideoDataModule(videos, store, **options).identity, sort_keys=True)

    clips = VideoDataModule(base, store)
    same = [
        identity(base),
        identity(dataset(record("a", "run", segments=(Segment(0, 1, "run"),)), record("b", "jump"))),
        identity(replace(base, test=(record("b", "run"),))),
    ]
    differ = [
        same[0],
        identity(replace(base, name="y")),
        identity(replace(base, classes=("jump", "run", "walk"))),
        identity(dataset(record("b", "jump"), record("a", "run"))),
        identity(dataset(record("a", "jump"), record("b", "jump"))),
        identity(dataset(record("a", "run"))),
        identity(base, stream="flow"),
        identity(base, batch_size=4),
        identity(base, seed=1),
        identity(base, trimmed=clips),
        identity(base, trimmed=clips, overlap={"run": "run"}),
    ]
    assert len(set(same)) == 1
    assert len(set(differ)) == len(differ)


def test_features_that_say_nothing_of_themselves_are_told_apart_by_content(tmp_path: Path) -> None:
    """A folder of .npy files without a features.json, which others made."""
    identities = []
    for number, folder in enumerate(("one", "two", "moved")):
        store = FeatureStore(tmp_path / folder)
        store.write("rgb", "a", np.full((4, 3), number % 2, np.float32))
        module = VideoDataModule(dataset(record("a", "run")), tmp_path / folder)
        identities.append(json.dumps(module.identity))
    assert identities[0] == identities[2]
    assert identities[0] != identities[1]
