"""Extraction and its stages: decoding, TV-L1 against OpenCV's, backbone, the whole pipeline.

    python benchmarks/extract.py [FOLDER OF VIDEOS] [--videos 4] [--seconds 10] [--backbone resnet101]

Without a folder, videos of the demo are drawn. Every stage runs alone on all cores, or on the GPU where
there is one, then the pipeline. Its ceiling: where all share the same cores 1 / the sum of the stages' times,
with a GPU that computes flow and features 1 / the longer of decoding and of those. The weights are random.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from tsrnet.core.workers import worker_pool
from tsrnet.features.backbone import Backbone
from tsrnet.features.extractor import Extraction, extract
from tsrnet.features.store import FeatureStore
from tsrnet.synthetic.demo import frames as draw
from tsrnet.synthetic.demo import untrimmed_scripts
from tsrnet.video.chunk import CHUNK
from tsrnet.video.flow_settings import TVL1
from tsrnet.video.optical_flow import flow_fields
from tsrnet.video.reader import VideoFrames
from tsrnet.video.snippets import SnippetSettings
from tsrnet.video.time_grid import FRAME_RATE_HZ, FRAMES_PER_SNIPPET
from tsrnet.video.video_file import VideoFile, videos_of_folder
from tsrnet.video.writer import write_video

BATCH = 16
GROUP = 6  # frames that a task takes: the 5 pairs of a snippet


def decode(path: Path, settings: SnippetSettings) -> np.ndarray:
    frames = VideoFrames(path)
    return frames.read(0, len(frames), resize=settings.resize, crop=settings.crop)


def flow(frames: np.ndarray, method: TVL1) -> np.ndarray:
    return flow_fields(frames, method)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--videos", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--backbone", default="resnet101")
    arguments = parser.parse_args()
    settings = SnippetSettings()
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        videos = videos_of_folder(arguments.folder) if arguments.folder else drawn(root, arguments.videos)
        videos = [shortened(video, root, arguments.seconds) for video in videos[: arguments.videos]]
        measure(videos, root, settings, arguments.backbone)


def drawn(root: Path, number: int) -> list[VideoFile]:
    videos = []
    for script in untrimmed_scripts(0, "testing", number):
        write_video(root / f"{script.id}.mp4", draw(script, 256), frame_rate_hz=FRAME_RATE_HZ)
        videos.append(VideoFile(script.id, root / f"{script.id}.mp4"))
    return videos


def shortened(video: VideoFile, root: Path, seconds: float) -> VideoFile:
    """Its first seconds, 256 pixels high, so that every stage can be timed in a minute."""
    frames = VideoFrames(video.path)
    count = min(len(frames), round(seconds * FRAME_RATE_HZ))
    path = root / f"{video.id}_first.mp4"
    write_video(path, frames.read(0, count, resize=256, crop=256), frame_rate_hz=FRAME_RATE_HZ)
    return VideoFile(path.stem, path)


def measure(videos: list[VideoFile], root: Path, settings: SnippetSettings, backbone: str) -> None:
    per_snippet: dict[str, float] = {}
    with worker_pool(0) as pool:
        paths = [video.path for video in videos] * 2
        list(pool.map(partial(decode, settings=settings), paths[:2]))  # processes start, files are cached
        start = time.perf_counter()
        pictures = [frames for _, frames in pool.map(partial(decode, settings=settings), paths)]
        num_frames = sum(map(len, pictures))
        per_snippet["decode"] = (time.perf_counter() - start) / num_frames * FRAMES_PER_SNIPPET
        print(f"decode and resize: {num_frames / (time.perf_counter() - start):.0f} frames/s")

        frames = np.concatenate([picture[:-1] for picture in pictures[: len(videos)]])
        groups = [frames[i : i + GROUP] for i in range(0, len(frames) - GROUP, 10 * GROUP)]
        rates = {}
        for round_number in range(2):
            for name in ("opencv", "tsrnet"):
                compute = partial(flow, method=replace(settings.flow, backend=name))
                if not round_number:
                    list(pool.map(compute, groups[:4]))  # compiled, once a process
                start = time.perf_counter()
                list(pool.map(compute, groups))
                seconds = time.perf_counter() - start
                rates[name] = len(groups) * (GROUP - 1) / seconds
            print(
                f"TV-L1, {settings.crop} x {settings.crop}: ours {rates['tsrnet']:.1f} pairs/s, OpenCV"
                f" {rates['opencv']:.1f}, ratio {rates['tsrnet'] / rates['opencv']:.2f}"
            )
        per_snippet["TV-L1"] = FRAMES_PER_SNIPPET / rates["tsrnet"]

    on_gpu = torch.cuda.is_available()
    device = "cuda" if on_gpu else "cpu"
    if on_gpu:
        many = frames[: 5 * CHUNK + 1]
        flow_fields(many, settings.flow, device)
        start = time.perf_counter()
        flow_fields(many, settings.flow, device)
        rate = (len(many) - 1) / (time.perf_counter() - start)
        per_snippet["TV-L1"] = FRAMES_PER_SNIPPET / rate
        print(f"TV-L1 on {torch.cuda.get_device_name()}: {rate:.0f} pairs/s, {len(many) - 1} at once")

    networks = {stream: Backbone(backbone, stream=stream).eval().to(device) for stream in ("rgb", "flow")}
    size = settings.crop
    inputs = {
        "rgb": np.zeros((BATCH, size, size, 3), np.uint8),
        "flow": np.zeros((BATCH, 10, size, size), np.float16),
    }
    for stream, network in networks.items():
        for part in network.modules():
            if isinstance(part, torch.nn.BatchNorm2d):  # random weights: keep 100 layers from overflowing
                torch.nn.init.constant_(part.weight, 0.2)
        network.features(inputs[stream])
        start = time.perf_counter()
        network.features(inputs[stream])
        per_snippet[f"{backbone} {stream}"] = seconds = (time.perf_counter() - start) / BATCH
        where = "CUDA" if on_gpu else f"{torch.get_num_threads()} threads"
        print(f"{backbone}, {stream}: {1 / seconds:.1f} snippets/s, {where}")

    store = FeatureStore(root / "features")
    spent_s = []
    for some in ([shortened(videos[0], root, 0.4)], videos):  # starting and compiling; then all
        start = time.perf_counter()
        failures = extract(some, store, networks, Extraction(settings), what="the benchmark")
        spent_s.append(time.perf_counter() - start)
        assert not failures, failures
    num_snippets = sum(len(np.load(store.path("rgb", video.id))) for video in videos)
    rate = num_snippets / (spent_s[1] - spent_s[0])
    decode_s, *here_s = per_snippet.values()
    ceiling = 1 / (max(decode_s, sum(here_s)) if on_gpu else decode_s + sum(here_s))
    print(
        f"pipeline: {num_snippets} snippets in {spent_s[1]:.0f} s; without the {spent_s[0]:.0f} s of starting"
        f" and compiling {rate:.2f} snippets/s, {100 * rate / ceiling:.0f} % of its ceiling {ceiling:.2f}"
        f" ({', '.join(f'{name} {1e3 * value:.0f} ms' for name, value in per_snippet.items())} a snippet)"
    )
    hours = 486 * 6 / rate
    print(f"ActivityNet 1.3 (486 h of video) would take {hours / 24:.1f} days on a machine like this")


if __name__ == "__main__":
    main()
