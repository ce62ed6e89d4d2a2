"""Speed of the presets of conf/features, from the file to features, in seconds of video a second.

    python benchmarks/features.py [FOLDER OF VIDEOS] [--videos 2] [--seconds 5] [--cores 2] [--only fast ...]

Without a folder, videos of the demo are drawn. The weights are random: speed does not depend on them. What
starting and compiling take is measured on 0.4 s of video before and taken off.
"""

from __future__ import annotations

import argparse
import math
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import hydra
import torch
from extract import drawn, shortened
from torchvision.models import get_model

from tsrnet.core.cli import conf_folder
from tsrnet.core.settings import settings_of
from tsrnet.features.backbone import Backbone
from tsrnet.features.extractor import Extraction, extract
from tsrnet.features.store import FeatureStore
from tsrnet.video.snippets import SnippetSettings
from tsrnet.video.time_grid import TimeGrid
from tsrnet.video.video_file import VideoFile, videos_of_folder

_MIN_S = 20.0
"""A measurement takes at least this, or the videos are taken again."""
RGB = ("stream=rgb",)
ROWS: dict[str, tuple[str, ...]] = {
    "resnet101": (),
    "efficientnet_lite0": (),
    "efficientnet_lite0 flow.method=dis": ("features.flow.method=dis",),
    "efficientnet_lite0 flow.method=raft_small": ("features.flow.method=raft_small",),
    "efficientnet_lite0 flow.method=raft_large": ("features.flow.method=raft_large",),
    "efficientnet_lite0 stream=rgb": RGB,
    "fast": (),
    "fast stream=rgb": RGB,
    "r2plus1d_18 stream=rgb": RGB,
    "s3d stream=rgb": RGB,
    "mvit_v2_s stream=rgb": RGB,
    "swin3d_t stream=rgb": RGB,
}
"""Title -> overrides beside features=<its first word>."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--videos", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=list(ROWS), help="titles of rows, or first words")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.cores])
    torch.set_num_threads(arguments.cores)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        videos = videos_of_folder(arguments.folder) if arguments.folder else drawn(root, arguments.videos)
        videos = [shortened(video, root, arguments.seconds) for video in videos[: arguments.videos]]
        short = [shortened(videos[0], root, 0.4)]
        speeds: dict[str, float] = {}
        for title, overrides in ROWS.items():
            if title in arguments.only or title.split()[0] in arguments.only:
                speeds[title] = speed(title.split()[0], overrides, short, videos, root, arguments.cores)
        device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{arguments.cores} cores"
        print(f"\n| features, {device} | seconds of video a second | against resnet101 |\n|---|---|---|")
        for title, value in speeds.items():
            ratio = f"{value / speeds['resnet101']:.1f}" if "resnet101" in speeds else ""
            print(f"| `{title}` | {value:.2f} | {ratio} |")


def speed(
    preset: str,
    overrides: tuple[str, ...],
    short: list[VideoFile],
    videos: list[VideoFile],
    root: Path,
    cores: int,
) -> float:
    with hydra.initialize_config_dir(str(conf_folder()), version_base="1.3"):
        config = hydra.compose("extract", [f"features={preset}", *overrides])
    node = config.features
    if node.flow.method.startswith("raft"):
        node.flow.weights = str(root / f"{node.flow.method}.pt")
        torch.save(get_model(node.flow.method).state_dict(), node.flow.weights)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    networks = {}
    for stream in config.stream.names:
        networks[stream] = Backbone(node.backbone, stream=stream).eval().to(device)
        for part in networks[stream].modules():
            if isinstance(part, torch.nn.BatchNorm2d):  # random weights: keep 100 layers from overflowing
                torch.nn.init.constant_(part.weight, 0.2)
    settings = Extraction(settings_of(SnippetSettings, node, where="features"), workers=cores)

    def spent_s(some: list[VideoFile]) -> tuple[float, float]:
        """What extraction takes, and the seconds of video."""
        store = FeatureStore(root / f"features {time.monotonic()}")
        start = time.perf_counter()
        failures = extract(some, store, networks, settings, what=preset)
        taken_s = time.perf_counter() - start
        assert not failures, failures
        stream = config.stream.names[0]
        return taken_s, sum(len(store.read(stream, video.id)) for video in some) / TimeGrid().rate_hz

    spent_s(short)  # compiles, fills the file cache
    start_s = spent_s(short)[0]
    net_s, copies = 0.0, 1
    while net_s < _MIN_S:
        many = [replace(video, id=f"{video.id}_{k}") for k in range(copies) for video in videos]
        taken_s, video_s = spent_s(many)
        net_s = taken_s - start_s
        # At least twice as many: a start that took long by chance would leave no time at all.
        copies = max(2 * copies, math.ceil(1.2 * copies * _MIN_S / max(net_s, 1)))
    return video_s / net_s


if __name__ == "__main__":
    main()
