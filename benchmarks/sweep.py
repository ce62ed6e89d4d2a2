"""A sweep on two cores: Hydra's joblib launcher against one process.

    python benchmarks/sweep.py --data DIR [--alphas 10 30 100] [--betas 0 0.01 0.1] [--seeds 0 1]

DIR has, or gets, the demo's videos and features (minutes). Each way trains every setting in its own folder of
stages. It fails if the two ways give different metrics, or train a network that no setting uses.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--alphas", nargs="+", default=["10", "30", "100"])
    parser.add_argument("--betas", nargs="+", default=["0", "0.01", "0.1"])
    parser.add_argument("--seeds", nargs="+", default=["0", "1"])
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("settings", nargs="*", help="other keys of tsrnet.train, the same for all")
    given = parser.parse_args()
    data = given.data.absolute()
    common = [f"paths.data={data}", "logger=csv", "report.timelines=0", *given.settings]
    run([*common, "trainer.max_steps=1", "teacher.max_steps=1", f"hydra.run.dir={data}/first"])
    swept = [
        f"loss.alpha={','.join(given.alphas)}",
        f"loss.beta={','.join(given.betas)}",
        f"seed={','.join(given.seeds)}",
        f"trainer.max_steps={given.steps}",
        f"teacher.max_steps={given.steps}",
    ]
    number = len(given.alphas) * len(given.betas) * len(given.seeds)
    seconds, found = {}, {}
    for way, launcher in (("one process", []), ("joblib", ["hydra/launcher=joblib"])):
        folder = data / f"sweep {way} {time.time():.0f}".replace(" ", "_")
        own = [f"hydra.sweep.dir={folder}", f"paths.stages={folder}/stages", *launcher]
        seconds[way] = run(["-m", *common, *swept, *own])
        metrics = [json.loads((folder / str(k) / "metrics.json").read_text()) for k in range(number)]
        used = {stage for one in metrics for stage in one["stages"]}
        made = {path.name for path in (folder / "stages").glob("*-*") if path.is_dir()}
        networks = {name for name in made if name.startswith("tsrnet-")}
        assert networks <= used, f"trained and not used: {networks - used}"
        found[way] = [one["recognition"] for one in metrics]
    assert found["one process"] == found["joblib"], "the two ways give different metrics"
    ratio = seconds["one process"] / seconds["joblib"]
    print(f"\n| {number} settings, {os.cpu_count()} cores | s | ratio |\n|---|---|---|")
    print(f"| one process | {seconds['one process']:.0f} | 1 |")
    print(f"| hydra/launcher=joblib | {seconds['joblib']:.0f} | {ratio:.2f} |")


def run(arguments: list[str]) -> float:
    start = time.perf_counter()
    command = [sys.executable, "-m", "tsrnet.train", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, (result.stdout + result.stderr)[-3000:]
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
