"""Results of videos from two processes equal those of one, with the duplicates that a sampler adds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from tsrnet.metrics.video_results import Results, VideoResults

NUM_VIDEOS = 7


def video(index: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Detections, of some videos none, and probabilities."""
    generator = torch.Generator().manual_seed(index)
    detections = torch.rand(index % 3, 4, generator=generator, dtype=torch.float64)
    return detections, {name: torch.rand(5, generator=generator) for name in ("rgb", "fusion")}


def gather(indices: range | list[int]) -> VideoResults:
    metric = VideoResults(("rgb", "fusion"))
    for index in indices:
        metric.update(index, *video(index))
    return metric


def process(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    # As DistributedSampler does: both have 4 of 7 videos, video 0 comes twice.
    results = gather([i % NUM_VIDEOS for i in range(rank, NUM_VIDEOS + 1, 2)]).results()
    columns = {name: np.asarray(column) for name, column in vars(results.detections).items()}
    np.savez(f"{folder}/{rank}.npz", videos=results.videos, **columns, **results.probabilities)
    dist.destroy_process_group()


def compare(results: Results, columns: dict[str, np.ndarray]) -> None:
    np.testing.assert_array_equal(columns["videos"], results.videos)
    for name, column in {**vars(results.detections), **results.probabilities}.items():
        np.testing.assert_array_equal(columns[name], column)


def test_two_processes_give_what_one_gives(tmp_path: Path) -> None:
    mp.spawn(process, args=(str(tmp_path),), nprocs=2)
    expected = gather(range(NUM_VIDEOS)).results()
    assert expected.videos.tolist() == list(range(NUM_VIDEOS))
    assert expected.detections.video.tolist() == [1, 2, 2, 4, 5, 5]
    for rank in range(2):
        with np.load(tmp_path / f"{rank}.npz") as columns:
            compare(expected, dict(columns))


def test_a_video_given_twice_counts_once() -> None:
    compare(
        gather([0, 1, 2, 1]).results(),
        {
            "videos": np.arange(3),
            **vars(gather(range(3)).results().detections),
            **gather(range(3)).results().probabilities,
        },
    )


def test_no_video_at_all() -> None:
    results = VideoResults(("rgb",)).results()
    assert len(results.videos) == len(results.detections) == 0
