"""All that is to be measured on a GPU, in under 10 minutes: flow, extraction, training, several GPUs, memory.

    python benchmarks/cuda.py [--tiny]

Prints a table with the name of the card. Flow: TV-L1 of 320 pairs of 224 x 224 against OpenCV's on the CPU,
and how much the two differ. Extraction: from files of the demo to features, in hours for ActivityNet 1.3.
Training: a step of TSRNet with transfer on 16 videos of 700 snippets x 2,048, in float32 and in bfloat16,
then shared by all GPUs. Weights are random: speed does not depend on them. `--tiny` is for a test on the CPU.
"""

from __future__ import annotations

if __name__ == "cuda":  # torch looks for NVIDIA's package of this name, which it can do without
    raise ImportError("this is a benchmark")

import argparse
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

# The rest is imported in the functions: worker processes import this file, too.
from tsrnet.video.video_file import VideoFile

ACTIVITYNET_H = 486


@dataclass(frozen=True)
class Sizes:
    pairs: int = 320
    side: int = 224
    presets: tuple[str, ...] = ("resnet101", "fast")
    video_s: float = 10.0
    least_s: float = 20.0
    videos: int = 16
    snippets: int = 700
    num_features: int = 2048
    classes: int = 200
    steps: int = 30


TINY = Sizes(2, 48, ("fast stream=rgb",), 0.5, 0.01, 4, 20, 32, 5, 6)
Row = tuple[str, str, str, float]  # what, figure, against, GB of GPU memory


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--tiny", action="store_true")
    sizes = TINY if parser.parse_args(arguments).tiny else Sizes()
    import torch
    from extract import drawn, shortened

    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    print(f"{name}, {max(1, torch.cuda.device_count())} of them, torch {torch.__version__}", flush=True)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        videos = [shortened(video, Path(folder), sizes.video_s) for video in drawn(Path(folder), 2)]
        for part in (flow(sizes, videos), extraction(sizes, videos, Path(folder)), training(sizes)):
            for row in part:
                print(row[0], row[1], flush=True)
                rows.append(row)
    print(f"\n| {name} | figure | against | GPU memory |\n|---|---|---|---|")
    for what, figure, against, memory in rows:
        print(f"| {what} | {figure} | {against} | {memory:.2f} GB |")


def measured_memory() -> float:
    """GB on the GPU at the most since the last call."""
    import torch

    if not torch.cuda.is_available():
        return 0.0
    most = torch.cuda.max_memory_allocated() / 1e9
    torch.cuda.reset_peak_memory_stats()
    return most


def flow(sizes: Sizes, videos: Sequence[VideoFile]) -> Iterator[Row]:
    import numpy as np
    import torch

    from tsrnet.video.flow_settings import TVL1
    from tsrnet.video.optical_flow import flow_fields
    from tsrnet.video.reader import VideoFrames

    device = "cuda" if torch.cuda.is_available() else "cpu"
    read = [VideoFrames(video.path) for video in videos]
    parts = [frames.read(0, len(frames), resize=sizes.side, crop=sizes.side) for frames in read]
    frames = np.concatenate(parts)[: sizes.pairs + 1]
    ours, opencv = TVL1(backend="tsrnet"), TVL1(backend="opencv")
    few = frames[: min(len(frames), 17)]
    start = time.perf_counter()
    expected = flow_fields(few, opencv)
    cpu_rate = (len(few) - 1) / (time.perf_counter() - start)
    flow_fields(frames, ours, device)  # compiles
    measured_memory()
    start = time.perf_counter()
    found = flow_fields(frames, ours, device)
    rate = (len(frames) - 1) / (time.perf_counter() - start)
    apart = np.abs(found[: len(expected)] - expected).mean() * ours.bound
    yield (
        f"TV-L1, {sizes.side} x {sizes.side}",
        f"{rate:.0f} pairs/s; mean difference {apart:.4f} px",
        f"OpenCV on one core {cpu_rate:.1f} pairs/s, ratio {rate / cpu_rate:.0f}",
        measured_memory(),
    )


def extraction(sizes: Sizes, videos: Sequence[VideoFile], root: Path) -> Iterator[Row]:
    import features
    from extract import shortened

    features._MIN_S = sizes.least_s
    short = [shortened(videos[0], root, 0.4)]
    for title in sizes.presets:
        preset, *streams = title.split()
        speed = features.speed(preset, tuple(streams), short, list(videos), root, os.cpu_count() or 1)
        yield (
            f"extraction, `features={title}`, {os.cpu_count()} cores decode",
            f"{speed:.1f} s of video a second",
            f"ActivityNet 1.3 takes {ACTIVITYNET_H / speed:.1f} h",
            measured_memory(),
        )


def training(sizes: Sizes) -> Iterator[Row]:
    import torch
    from train_step import training_step

    shape = (sizes.videos, sizes.snippets, sizes.num_features, sizes.classes)
    step_s = {}
    precisions = ("32-true", "bf16-mixed")
    for precision in precisions:
        step_s[precision], _ = training_step(shape, precision, steps=sizes.steps)
        yield (
            f"training step, {sizes.videos} x {sizes.snippets} x {sizes.num_features}, {precision}",
            f"{1e3 * step_s[precision]:.1f} ms",
            f"32-true, ratio {step_s['32-true'] / step_s[precision]:.2f}",
            measured_memory(),
        )
    for devices in range(2, torch.cuda.device_count() + 1):
        seconds, _ = training_step(shape, precisions[-1], steps=sizes.steps, devices=devices)
        ratio = step_s[precisions[-1]] / seconds
        yield (
            f"the same batch, shared by {devices} GPUs",
            f"{1e3 * seconds:.1f} ms",
            f"one GPU, ratio {ratio:.2f}",
            measured_memory(),
        )


if __name__ == "__main__":
    main()
