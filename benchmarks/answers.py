"""How long commands take to answer, in fresh processes, beside what they cannot do without.

    python benchmarks/answers.py [help score train detect demo ...] [--data DIR] [--repeats 3]

help: `--help` of every command, against importing Hydra. score: 32,247 drawn detections in 4,926 of 19,994
videos, against the official evaluator's loop in Python, whose figures must be equal. train: to the first step
on ready features, against importing torch, torchvision and Lightning. detect: a video of one minute, of
1280 x 720, features=fast, to the first line and to the end, against its duration. demo: the second run
against the first. The small run that train and detect need is made first and kept in DIR, as the demo's data
are (minutes). The best of the repeats counts.
"""

from __future__ import annotations

import argparse
import json
import os
import runpy
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from tsrnet.__main__ import VERBS

ROOT = Path(__file__).parents[1]
SMALL = (
    "dataset.num_train=6",
    "dataset.num_test=6",
    "trimmed.clips_per_class=1",
    "features=fast",
    "trainer.max_steps=20",
    "teacher.max_steps=20",
    "report.timelines=0",
    "logger=csv",
)
FIRST_STEP = """
import os, runpy
from tsrnet.training.module import TSRNetModule
def step(*_):
    print("first step", flush=True)
    os._exit(0)
TSRNetModule.training_step = step
runpy.run_module("tsrnet.train", run_name="__main__", alter_sys=True)
"""
Row = tuple[str, float, str, float]  # what, seconds, against what, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", default=list(PARTS))
    parser.add_argument("--data", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.data or Path(temporary)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        rows = [row for part in arguments.parts for row in PARTS[part](folder, arguments.repeats)]
    print(f"\n| {os.cpu_count()} cores | s | against | s | ratio |\n|---|---|---|---|---|")
    for what, seconds, other, floor in rows:
        print(f"| {what} | {seconds:.2f} | {other} | {floor:.2f} | {seconds / floor:.2f} |")


def taken(
    command: Sequence[str], folder: Path, *, repeats: int = 1, until: str | None = None, fails: bool = False
) -> float:
    """Seconds that a Python command takes, or takes to print a line with `until`; the best of some."""
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        with subprocess.Popen(
            [sys.executable, *command],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            assert process.stdout is not None
            lines, seen = [], None
            for line in process.stdout:
                lines.append(line)
                if until is not None and seen is None and until in line:
                    seen = time.perf_counter() - start
        assert fails or process.returncode == 0, "".join(lines[-20:])
        assert until is None or seen is not None, "".join(lines[-20:])
        best = min(best, time.perf_counter() - start if seen is None else seen)
    return best


def help_of_all(folder: Path, repeats: int) -> Iterator[Row]:
    floor = taken(["-c", "import hydra"], folder, repeats=repeats)
    times = {verb: taken(["-m", f"tsrnet.{verb}", "--help"], folder, repeats=repeats) for verb in VERBS}
    slowest = max(times, key=times.__getitem__)
    yield f"`--help`, the slowest of {len(VERBS)} commands ({slowest})", times[slowest], "import hydra", floor


def score(folder: Path, repeats: int) -> Iterator[Row]:
    truth, found = _drawn_benchmark()
    (folder / "truth.json").write_text(json.dumps({"database": truth}))
    (folder / "found.json").write_text(json.dumps({"results": found}))
    command = ["-m", "tsrnet.score", "predictions=found.json", "ground_truth=truth.json"]
    seconds = taken([*command, "protocol=activitynet", "output=ours.json"], folder, repeats=repeats)
    start = time.perf_counter()
    average_precision = runpy.run_path(str(ROOT / "tests" / "metrics" / "golden_activitynet.py"))[
        "average_precision"
    ]
    truth = {video: entry for video, entry in truth.items() if entry["subset"] == "validation"}
    labels = sorted({row["label"] for entry in truth.values() for row in entry["annotations"]})
    targets = {label: [] for label in labels}
    rows = {label: [] for label in labels}
    for video, entry in truth.items():
        for one in entry["annotations"]:
            targets[one["label"]].append((video, *one["segment"]))
    for video, some in found.items():
        for one in some:
            rows[one["label"]].append((video, *one["segment"], one["score"]))
    ours = json.loads((folder / "ours.json").read_text())["AP"]
    for label in labels[:10]:
        for name, value in ours[label].items():
            expected = average_precision(
                targets[label], rows[label], float(name), lambda v: list(np.array(v).argsort())
            )
            assert abs(value - expected) < 1e-12, (label, name)
    spent = (time.perf_counter() - start) * len(labels) / 10
    yield (
        "`score`, 32,247 detections, from files",
        seconds,
        "the official loop (of 10 classes, times 20)",
        spent,
    )


def _drawn_benchmark() -> tuple[dict, dict]:
    """Of the size of ActivityNet 1.3: 4,926 videos of the validation set among 19,994, 200 classes."""
    rng = np.random.default_rng(0)
    truth, found = {}, {}
    for number in range(19_994):
        scored = number < 4_926
        starts = np.sort(rng.uniform(0, 100, 1 + int(rng.random() < (2728 / 4926 if scored else 0.54))))
        label = f"class {number % 200}"
        rows = [{"label": label, "segment": [s, s + 15.0]} for s in starts.round(2).tolist()]
        entry = {"duration": 120.0, "subset": "validation" if scored else "training", "annotations": rows}
        truth[f"video_{number}"] = entry
    videos = [f"video_{number}" for number in rng.integers(4_926, size=32_247)]
    for video in videos:
        target = truth[video]["annotations"][0]
        start, end = target["segment"] + rng.normal(0, 4, 2)
        row = {"label": target["label"], "segment": [min(start, end), max(start, end)], "score": rng.random()}
        found.setdefault(video, []).append(row)
    return truth, found


def _small_run(folder: Path) -> list[str]:
    """The command of a small run that is finished after this, to be continued from its features."""
    command = ["-m", "tsrnet.train", *SMALL, f"paths.data={folder}/data"]
    if not (folder / "run" / "metrics.json").is_file():
        taken([*command, "hydra.run.dir=run"], folder)
    return command


def train(folder: Path, repeats: int) -> Iterator[Row]:
    _, _, *overrides = _small_run(folder)
    modules = "import torch, torchvision, pytorch_lightning"
    floor = taken(["-c", modules], folder, repeats=repeats)
    # Another seed: the features are ready, the stages are not.
    own = [*overrides, "seed=7", "hydra.run.dir=first_step"]
    seconds = taken(["-c", FIRST_STEP, *own], folder, repeats=repeats, until="first step", fails=True)
    yield "`train` to its first step", seconds, modules, floor


def detect(folder: Path, repeats: int) -> Iterator[Row]:
    from tsrnet.video.writer import write_video

    _small_run(folder)
    video = folder / "minute.mp4"
    rng = np.random.default_rng(0)
    still = rng.integers(0, 255, (720, 1280 + 1800, 3), np.uint8)
    write_video(video, (still[:, k : k + 1280] for k in range(1800)), frame_rate_hz=30)
    command = ["-m", "tsrnet.detect", "run=run", f"video={video}"]
    first = taken([*command, "output=first"], folder, until="starting")
    total = taken([*command, f"output=found_{time.time():.0f}"], folder)
    yield "`detect`, one minute of 720p, features=fast: first line", first, "a second", 1.0
    yield "to the end", total, "its duration", 60.0


def demo(folder: Path, repeats: int) -> Iterator[Row]:
    command = ["-m", "tsrnet.train", "logger=csv", f"paths.data={folder}/demo"]
    first = taken([*command, "hydra.run.dir=demo_first"], folder)
    second = taken([*command, "hydra.run.dir=demo_second"], folder)
    yield "second `make demo`", second, "the first, if it was not there", first


PARTS = {"help": help_of_all, "score": score, "train": train, "detect": detect, "demo": demo}

if __name__ == "__main__":
    main()
