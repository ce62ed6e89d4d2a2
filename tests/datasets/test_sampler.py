"""Which videos make a batch and which clip goes with each: all follows from the seed and the position."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tsrnet.core.errors import UserError
from tsrnet.datasets import sampler
from tsrnet.datasets.batch import Sample, TrainingBatch
from tsrnet.datasets.records import LabelledVideo
from tsrnet.datasets.sampler import Draw, FeatureDataset, PairedVideos, TrainingSampler
from tsrnet.datasets.snippet_sampler import BatchSettings
from tsrnet.features.store import FeatureStore


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    store = FeatureStore(tmp_path)
    for index, name in enumerate(["a", "b", "c", "t0", "t1", "t2"]):
        store.write("rgb", name, np.full((index + 2, 4), index, np.float32))
    return store


def videos(store: FeatureStore) -> FeatureDataset:
    listed = [
        LabelledVideo("a", ("run",)),
        LabelledVideo("b", ("jump", "run")),
        LabelledVideo("c", ("sleep",)),
    ]
    return FeatureDataset(listed, ("jump", "run", "sleep"), store, "rgb")


def clips(store: FeatureStore) -> FeatureDataset:
    listed = [LabelledVideo("t0", ("Run",)), LabelledVideo("t1", ("Run",)), LabelledVideo("t2", ("Jump",))]
    return FeatureDataset(listed, ("Jump", "Run"), store, "rgb")


class Training:
    """A training that draws epoch after epoch, as Lightning does."""

    def __init__(self, num_videos: int, *, batches: int = 0, **options: Any) -> None:
        self.batches = batches
        self.batch_size = options["batch_size"] // options.get("num_ranks", 1)
        self.sampler = TrainingSampler(num_videos, **options, start=lambda: self.batches)

    def epoch(self) -> list[list[Draw]]:
        draws = list(self.sampler)
        batches = [draws[i : i + self.batch_size] for i in range(0, len(draws), self.batch_size)]
        self.batches += len(batches)
        return batches

    def epochs(self, number: int) -> list[list[Draw]]:
        return [batch for _ in range(number) for batch in self.epoch()]


def test_every_video_is_drawn_once_a_pass_and_passes_differ() -> None:
    """Batches run on across passes, so each is full."""
    batches = Training(5, batch_size=3, seed=1).epochs(5)
    assert [len(batch) for batch in batches] == [3] * 10
    drawn = [draw.index for batch in batches for draw in batch]
    passes = [drawn[start : start + 5] for start in range(0, 30, 5)]
    assert all(sorted(one) == [0, 1, 2, 3, 4] for one in passes)
    assert len({tuple(one) for one in passes}) > 1
    assert [draw.position for batch in batches for draw in batch] == list(range(30))


@pytest.mark.parametrize("start", [0, 1, 2, 5, 7])
def test_a_training_that_was_cut_off_goes_on_with_what_was_left(start: int) -> None:
    """Within an epoch or at its end; the epoch ends where it would have ended."""
    whole = Training(7, batch_size=3, seed=2).epochs(4)
    resumed = Training(7, batch_size=3, seed=2, batches=start)
    assert len(resumed.epoch()) == 3 - start % 3
    resumed.batches = start
    assert resumed.epochs(2) == whole[start : resumed.batches]
    assert whole != Training(7, batch_size=3, seed=3).epochs(4)


@pytest.mark.parametrize(
    ("num_videos", "batch_size", "accumulate", "num_batches"),
    [(16, 4, 1, 4), (17, 4, 1, 5), (3, 4, 1, 1), (16, 4, 3, 6), (24, 4, 3, 6), (1, 2, 5, 5)],
)
def test_an_epoch_holds_all_videos_in_whole_optimiser_steps(
    num_videos: int, batch_size: int, accumulate: int, num_batches: int
) -> None:
    training = Training(num_videos, batch_size=batch_size, seed=0, accumulate=accumulate)
    assert training.sampler.num_batches == num_batches
    assert len(training.sampler) == num_batches * batch_size
    counts: Counter[int] = Counter(range(num_videos))
    for _ in range(3):
        batches = training.epoch()
        assert len(batches) == num_batches
        counts.update(draw.index for batch in batches for draw in batch)
        assert max(counts.values()) - min(counts.values()) <= 1
    assert min(counts.values()) > 3


def test_accumulation_changes_where_epochs_end_and_no_batch() -> None:
    plain = Training(7, batch_size=2, seed=4).epochs(6)
    accumulated = Training(7, batch_size=2, seed=4, accumulate=3).epochs(4)
    assert accumulated == plain[:24]


@pytest.mark.parametrize("accumulate", [1, 2])
def test_processes_share_every_batch(accumulate: int) -> None:
    options = {"batch_size": 6, "seed": 3, "accumulate": accumulate}
    whole = Training(10, **options).epochs(3)
    parts = [Training(10, **options, rank=rank, num_ranks=3) for rank in range(3)]
    assert {len(part.sampler) for part in parts} == {len(parts[0].sampler)}
    for batch, *shares in zip(whole, *(part.epochs(3) for part in parts), strict=True):
        assert [len(share) for share in shares] == [2, 2, 2]
        together = sorted((draw for share in shares for draw in share), key=lambda draw: draw.position)
        assert together == batch
    with pytest.raises(UserError, match=r"optimizer\.batch_size: got 6 for 4 processes, need a multiple"):
        TrainingSampler(10, batch_size=6, seed=3, num_ranks=4)


ALIKE = [[0, 1, 2], [3], [4, 5], [6, 7, 8, 9]]
PAIRS: dict[str, Any] = {"batch_size": 8, "seed": 1, "pairs": 3, "alike": ALIKE}


def test_a_batch_begins_with_pairs_of_a_class_and_goes_on_with_the_passes() -> None:
    batches = Training(10, **PAIRS).epochs(30)
    groups: Counter[int] = Counter()
    for batch in batches:
        for first, second in zip(batch[0:6:2], batch[1:6:2], strict=True):
            (group,) = [n for n, group in enumerate(ALIKE) if first.index in group]
            assert second.index in ALIKE[group]
            assert second.index != first.index
            groups[group] += 1
    assert groups.keys() == {0, 2, 3}  # a class of one video has no pair
    assert min(groups.values()) > len(batches) / 2
    drawn = [draw.index for batch in batches for draw in batch[6:]]
    assert all(sorted(drawn[start : start + 10]) == list(range(10)) for start in range(0, 30, 10))
    assert [draw.position for batch in batches for draw in batch] == list(range(8 * len(batches)))


@pytest.mark.parametrize("start", [1, 2, 5])
def test_with_pairs_a_training_goes_on_with_what_was_left(start: int) -> None:
    whole = Training(10, **PAIRS).epochs(5)
    resumed = Training(10, **PAIRS, batches=start)
    resumed.epoch()
    assert Training(10, **PAIRS, batches=start).epoch() == whole[start : resumed.batches]


def test_processes_share_a_batch_with_pairs_in_neighbours() -> None:
    whole = Training(10, **PAIRS).epochs(2)
    parts = [Training(10, **PAIRS, rank=rank, num_ranks=2).epochs(2) for rank in range(2)]
    assert [first + second for first, second in zip(*parts, strict=True)] == whole


def test_pairs_that_there_are_not_are_refused() -> None:
    with pytest.raises(
        UserError, match=r"batches\.pairs: got 5, need at most half of optimizer\.batch_size 8"
    ):
        TrainingSampler(10, **(PAIRS | {"pairs": 5}))
    with pytest.raises(UserError, match=r"batches\.pairs: got 3, need a class of two training videos"):
        TrainingSampler(10, **(PAIRS | {"alike": [[1], [2]]}))


@pytest.mark.parametrize("how", ["crop", "spread"])
def test_of_a_long_video_some_snippets_take_part_in_order(how: Any, store: FeatureStore) -> None:
    store.write("rgb", "a", np.arange(40, dtype=np.float32).reshape(10, 4))
    short = BatchSettings(max_snippets=4, snippets=how)
    dataset = FeatureDataset([LabelledVideo("a", ("run",))], ("run",), store, "rgb", batches=short)
    seen = set()
    for seed in range(60):
        rows = (dataset.sample(0, (seed,)).features[:, 0] / 4).int().tolist()
        assert rows == (dataset.sample(0, (seed,)).features[:, 0] / 4).int().tolist()
        assert len(rows) == 4
        assert rows == sorted(rows)
        if how == "crop":
            assert rows == list(range(rows[0], rows[0] + 4))
        else:
            assert all(int(2.5 * part) <= row <= 2.5 * (part + 1) for part, row in enumerate(rows))
        seen |= set(rows)
    assert seen == set(range(10))
    assert len(dataset[0].features) == 10  # a test sees all
    whole = FeatureDataset([LabelledVideo("a", ("run",))], ("run",), store, "rgb")
    assert len(whole.sample(0, (0,)).features) == 10


def test_a_small_training_set_is_read_once_and_a_large_one_in_every_pass(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    class Counting(FeatureStore):
        def read(self, stream: str, video_id: str) -> Any:
            read.append(video_id)
            return super().read(stream, video_id)

    def passes() -> list[str]:
        read.clear()
        dataset = videos(Counting(store.folder))
        for seed in range(3):
            for index in range(3):
                sample = dataset.sample(index, (seed,))
                assert torch.equal(sample.features, torch.full((index + 2, 4), float(index)))
        return read

    open_files = len(os.listdir("/proc/self/fd"))
    kept = videos(store)
    assert [len(kept.sample(index, (0,)).features) for index in range(3)] == [2, 3, 4]
    assert len(os.listdir("/proc/self/fd")) == open_files
    assert passes() == ["a", "b", "c"]
    kept.forget()
    assert not kept._kept
    monkeypatch.setattr(sampler, "_MOST_KEPT", 95)  # a, b and c have 32, 48 and 64 bytes
    assert passes() == ["a", "b", "c", "a", "b", "c", "a", "b", "c"]


def test_pairs_share_a_class_and_every_clip_gets_its_turn(store: FeatureStore) -> None:
    paired = PairedVideos(videos(store), clips(store), class_map={"run": "Run", "jump": "Jump"}, seed=0)
    seen: dict[int, Counter[str]] = {0: Counter(), 1: Counter(), 2: Counter()}
    for position in range(300):
        _, clip = paired[Draw(position % 3, position)]
        seen[position % 3][clip.id if clip else "none"] += 1
    assert set(seen[0]) == {"t0", "t1"}
    assert set(seen[1]) == {"t0", "t1", "t2"}
    assert set(seen[2]) == {"none"}
    assert min(seen[0].values()) > 30


def test_a_pair_follows_from_the_seed_and_the_position(store: FeatureStore) -> None:
    def pairs(seed: int) -> list[str]:
        class_map = {"run": "Run", "jump": "Jump"}
        paired = PairedVideos(videos(store), clips(store), class_map=class_map, seed=seed)
        found = [paired[Draw(1, position)][1] for position in (*range(20), *range(20))]
        return [clip.id for clip in found if clip]

    one = pairs(0)
    assert one[:20] == one[20:], "also out of order, as workers and a resumed training read"
    assert one != pairs(1)


def test_collate_pads_masks_and_remembers_rows(store: FeatureStore) -> None:
    paired = PairedVideos(videos(store), clips(store), class_map={"run": "Run", "jump": "Jump"}, seed=0)
    batch = TrainingBatch.collate([paired[Draw(index, index)] for index in (2, 0, 1)])
    assert batch.videos.mask.sum(dim=1).tolist() == [4, 2, 3]
    assert batch.videos.features[1, 2:].abs().sum() == 0
    assert batch.paired.tolist() == [1, 2]
    assert batch.videos.labels.tolist() == [[0, 0, 1], [0, 1, 0], [1, 1, 0]]
    assert batch.trimmed is not None
    for row, clip in zip(batch.paired.tolist(), batch.trimmed.labels, strict=True):
        shared = batch.videos.labels[row, [0, 1]] * clip
        assert shared.sum() == 1


def test_a_batch_without_pairs_has_no_trimmed_side() -> None:
    sample = Sample("x", torch.ones(2, 3), torch.ones(1))
    batch = TrainingBatch.collate([(sample, None)])
    assert batch.trimmed is None
    assert len(batch.paired) == 0
