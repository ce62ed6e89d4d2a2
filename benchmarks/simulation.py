"""Real features and simulated ones on the same annotations: a table and a figure of their statistics.

    python benchmarks/simulation.py --features FOLDER --trimmed FOLDER --annotations FILE [--output FOLDER]

The folders hold rgb/<id>.npy and flow/<id>.npy (trimmed: <Class>_v_<stem>.npy), as tsrnet.extract writes
them; the annotations are in ActivityNet's layout. Writes table.md and simulation.png.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from tsrnet.datasets.records import Segment, VideoRecord
from tsrnet.synthetic.simulated import SimulatedStore, SimulationSettings
from tsrnet.video.time_grid import TimeGrid

STREAMS = ("rgb", "flow")
CUT = 0.8  # a cut is a step of RGB of this length, where the spread of all snippets is 1
LAGS = (1, 2, 3, 4, 6, 9, 12, 18, 30, 60)  # snippets, six a second
MIN_PAIRS = 500
FOLDS = 8
RIDGE = 0.3  # of the mean diagonal of the kernel

Array = npt.NDArray[np.float32]
Statistics = dict[str, float]
REAL, SIMULATED = "real", "SIMULATED"
COLOURS = {REAL: "#222222", SIMULATED: "#d95f02"}


@dataclass
class Videos:
    """Snippets of one stream, the actions in them and where shots begin; and those of trimmed clips."""

    snippets: list[Array]
    actions: list[dict[str, npt.NDArray[np.bool_]]]
    shots: list[npt.NDArray[np.int_]]
    clips: list[Array]
    clip_labels: npt.NDArray[np.str_]


def statistics(videos: Videos) -> Statistics:
    """What is compared. Lengths are relative to the spread of all snippets."""
    everything = np.concatenate(videos.snippets)
    mean, spread = everything.mean(axis=0), float(np.sqrt(everything.var(axis=0).sum()))
    zeros = float((everything == 0).mean())
    videos.snippets = [(x - mean) / spread for x in videos.snippets]
    videos.clips = [(x - mean) / spread for x in videos.clips]
    steps = np.concatenate(
        [np.diff(x, axis=0)[np.diff(s) == 0] for x, s in zip(videos.snippets, videos.shots, strict=True)]
    )
    return {
        "share of zeros": zeros,
        "standard deviation of a feature": spread / np.sqrt(everything.shape[1]),
        "length of the mean": float(np.linalg.norm(mean)) / spread,
        "dimensions of all snippets": dimensions(everything),
        "dimensions of the steps within shots": dimensions(steps),
        "seconds between cuts": len(everything) / 6 / sum(int(s[-1]) + 1 for s in videos.shots),
        **correlations(videos),
        **spreads(videos),
        **recognition(videos),
        **separability(videos),
    }


def dimensions(x: Array) -> float:
    """The participation ratio of the covariance."""
    covariance = np.cov(x.T)
    return float(np.trace(covariance) ** 2 / (covariance**2).sum())


def correlations(videos: Videos) -> Statistics:
    """Of two snippets of a video at some distance, about the mean of all videos: all, and of one shot."""
    found = {}
    for lag in LAGS:
        halves, same = [], []
        for x, shot in zip(videos.snippets, videos.shots, strict=True):
            halves.append(0.5 * ((x[lag:] - x[:-lag]) ** 2).sum(axis=1))
            same.append(shot[lag:] == shot[:-lag])
        half, within = np.concatenate(halves), np.concatenate(same)
        found[f"correlation at {lag / 6:.2f} s"] = 1 - float(half.mean())
        if within.sum() > MIN_PAIRS:
            found[f"correlation at {lag / 6:.2f} s within shots"] = 1 - float(half[within].mean())
    return found


def spreads(videos: Videos) -> Statistics:
    """Root mean square distance of snippets from the mean of their class, video and shot."""
    labels = [next(iter(actions)) for actions in videos.actions]
    everything = np.concatenate(videos.snippets)
    lengths = [len(x) for x in videos.snippets]
    of_video = np.repeat(np.arange(len(lengths)), lengths)
    groups = {
        "class": np.repeat(np.unique(labels, return_inverse=True)[1], lengths),
        "video": of_video,
        "shot": 1000 * of_video + np.concatenate(videos.shots),
    }
    found = {}
    for name, of in groups.items():
        _, index, counts = np.unique(of, return_inverse=True, return_counts=True)
        sums = np.zeros((len(counts), everything.shape[1]), np.float32)
        np.add.at(sums, index, everything)
        distances = everything - (sums / counts[:, None])[index]
        found[f"spread within a {name}"] = float(np.sqrt((distances**2).sum(axis=1).mean()))
    return found


def recognition(videos: Videos) -> Statistics:
    """How well ridge regression tells the class, leaving one video out; and trimmed against untrimmed."""
    actions, backgrounds, of_video, labels = [], [], [], []
    for number, (x, of) in enumerate(zip(videos.snippets, videos.actions, strict=True)):
        background = ~np.any(list(of.values()), axis=0)
        for name, inside in of.items():
            if min(inside.sum(), background.sum()) >= 3:
                actions.append(x[inside].mean(axis=0))
                backgrounds.append(x[background].mean(axis=0))
                of_video.append(number)
                labels.append(name)
    action, video, label = np.stack(actions), np.array(of_video), np.array(labels)

    def accuracy(means: Array) -> float:
        told = [ridge(means[video != v], label[video != v], means[video == v]) for v in np.unique(video)]
        return float(np.mean(np.concatenate(told) == label))

    clips = np.stack([clip.mean(axis=0) for clip in videos.clips])
    classes, shifts = np.unique(label), []
    for name in classes:
        ours, theirs = clips[videos.clip_labels == name], action[label == name]
        chance = ours.var(axis=0, ddof=1).sum() / len(ours) + theirs.var(axis=0, ddof=1).sum() / len(theirs)
        shifts.append(((ours.mean(axis=0) - theirs.mean(axis=0)) ** 2).sum() - chance)
    return {
        "class told by action": accuracy(action),
        "class told by background": accuracy(np.stack(backgrounds)),
        "class told by trimmed clips": float(np.mean(ridge(clips, videos.clip_labels, action) == label)),
        "shift of a class, trimmed": float(np.sqrt(max(0.0, np.mean(shifts)))),
    }


def ridge(x: Array, labels: npt.NDArray[np.str_], asked: Array) -> npt.NDArray[np.str_]:
    classes = np.unique(labels)
    targets = (labels[:, None] == classes).astype(np.float32)
    kernel = x @ x.T
    kernel[np.diag_indices_from(kernel)] += RIDGE * np.trace(kernel) / len(kernel)
    scores = asked @ x.T @ np.linalg.solve(kernel, targets - targets.mean(axis=0)) + targets.mean(axis=0)
    return np.asarray(classes[scores.argmax(axis=1)])


def separability(videos: Videos) -> Statistics:
    """Area under the ROC of snippets inside segments against outside, in videos that were left out."""
    classes = sorted({label for actions in videos.actions for label in actions})
    targets = []
    for x, actions in zip(videos.snippets, videos.actions, strict=True):
        columns = [actions.get(label, np.zeros(len(x), bool)) for label in classes]
        targets.append(np.stack([*columns, np.any(columns, axis=0)], axis=1).astype(np.float32))
    rest = np.concatenate(targets).mean(axis=0)
    fold = np.arange(len(targets)) % FOLDS
    products = []
    for left_out in range(FOLDS):
        x = np.concatenate([v for v, f in zip(videos.snippets, fold, strict=True) if f == left_out])
        y = np.concatenate([t for t, f in zip(targets, fold, strict=True) if f == left_out]) - rest
        products.append((x.T @ x, x.T @ y))
    any_action, own_class = [], []
    for left_out in range(FOLDS):
        others = [p for f, p in enumerate(products) if f != left_out]
        covariance, moments = sum(p[0] for p in others), sum(p[1] for p in others)
        covariance[np.diag_indices_from(covariance)] += np.trace(covariance) / 600
        weights = np.linalg.solve(covariance, moments)
        for number in np.flatnonzero(fold == left_out):
            scores, inside = videos.snippets[number] @ weights, targets[number] > 0
            any_action.append(area(scores[:, -1], inside[:, -1]))
            own = [classes.index(label) for label in videos.actions[number]]
            own_class += [area(scores[:, i], inside[:, i]) for i in own]
    return {
        "ROC area inside / outside, any action": float(np.nanmean(any_action)),
        "ROC area inside / outside, the class": float(np.nanmean(own_class)),
    }


def area(scores: Array, inside: npt.NDArray[np.bool_]) -> float:
    pairs = scores[inside, None] > scores[None, ~inside]
    return float(pairs.mean()) if pairs.size else np.nan


def shots_of(rgb: list[Array]) -> list[npt.NDArray[np.int_]]:
    spread = np.sqrt(np.concatenate(rgb).var(axis=0).sum())
    steps = [np.linalg.norm(np.diff(x, axis=0), axis=1) for x in rgb]
    return [np.concatenate([[0], np.cumsum(step > CUT * spread)]) for step in steps]


def compare(arguments: argparse.Namespace) -> dict[str, list[Statistics]]:
    """Statistics of the real features (one) and of simulated ones (one for each seed), for each stream."""
    database = json.loads(arguments.annotations.read_text())["database"]
    ids = [i for i, v in sorted(database.items()) if v["subset"] == "training"]
    names = sorted(path.stem for path in (arguments.trimmed / "rgb").glob("*.npy"))
    clip_labels = np.array([name.split("_v_")[0] for name in names])

    def load(folder: Path, stream: str, stems: list[str]) -> list[Array]:
        return [np.load(folder / stream / f"{stem}.npy").astype(np.float32) for stem in stems]

    real = {s: (load(arguments.features, s, ids), load(arguments.trimmed, s, names)) for s in STREAMS}
    records, actions = [], []
    for video_id, x in zip(ids, real["rgb"][0], strict=True):
        segments = tuple(
            Segment(a["segment"][0], a["segment"][1], a["label"]) for a in database[video_id]["annotations"]
        )
        labels = tuple(dict.fromkeys(s.label for s in segments))
        records.append(VideoRecord(video_id, "training", len(x) / 6, labels, segments))
        of_label = {name: [(s.start_s, s.end_s) for s in segments if s.label == name] for name in labels}
        actions.append({label: TimeGrid().inside(times, len(x)) for label, times in of_label.items()})
    clips = [
        VideoRecord(name, "training", len(x) / 6, (label,), ())
        for name, label, x in zip(names, clip_labels.tolist(), real["rgb"][1], strict=True)
    ]
    sets = [real]
    for seed in range(arguments.seeds):
        settings = SimulationSettings(seed, real["rgb"][0][0].shape[1], shot_s=arguments.shot_s)
        untrimmed, trimmed = (
            SimulatedStore(videos, settings, trimmed=videos is clips) for videos in (records, clips)
        )
        sets.append(
            {s: ([untrimmed.read(s, i) for i in ids], [trimmed.read(s, n) for n in names]) for s in STREAMS}
        )
    found: dict[str, list[Statistics]] = {stream: [] for stream in STREAMS}
    for one in sets:
        shots = shots_of(one["rgb"][0])
        for stream in STREAMS:
            found[stream].append(
                statistics(Videos(one[stream][0], actions, shots, one[stream][1], clip_labels))
            )
    return found


def table(found: dict[str, list[Statistics]]) -> str:
    lines = [
        "| | RGB, real | RGB, SIMULATED | flow, real | flow, SIMULATED |",
        "|---|---|---|---|---|",
    ]
    for row in found["rgb"][0]:
        cells = []
        for stream in STREAMS:
            real, *simulated = (one.get(row, np.nan) for one in found[stream])
            values = (real, float(np.mean(simulated)))
            cells += [f"{round(v, 2) + 0.0:.2f}" if v < 10 else f"{v:.0f}" for v in values]
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def draw(found: dict[str, list[Statistics]], file: Path) -> None:
    """Correlation over time above, spread and the rest below; RGB left, flow right."""
    figure = Figure(figsize=(9, 7.5), layout="constrained")
    axes = figure.subplots(2, 2, sharex="row", sharey="row")
    bars = list(spreads_and_shares(found["rgb"][0]))
    for column, (stream, title) in enumerate(zip(STREAMS, ("RGB", "flow"), strict=True)):
        curves, shares = axes[0, column], axes[1, column]
        real, *simulated = found[stream]
        means = {key: float(np.mean([one.get(key, np.nan) for one in simulated])) for key in real}
        for side, (name, values) in enumerate({REAL: real, SIMULATED: means}.items()):
            for end, style in ((" s within shots", "-"), (" s", "--")):
                points = [
                    (lag / 6, values[key])
                    for lag in LAGS
                    if (key := f"correlation at {lag / 6:.2f}{end}") in values
                ]
                what = "within shots" if style == "-" else "cuts included"
                curves.plot(*zip(*points, strict=True), style, color=COLOURS[name], label=f"{name}, {what}")
            places = np.arange(len(bars)) + 0.38 * (side - 0.5)
            shares.barh(places, [values[b] for b in bars], 0.36, color=COLOURS[name])
        curves.set(title=title, xlabel="distance in time (s)", xscale="log", ylim=(-0.1, 1))
        curves.set_xticks([0.2, 0.5, 1, 2, 5, 10], ["0.2", "0.5", "1", "2", "5", "10"])
        curves.grid(alpha=0.3)
        shares.set(xlabel="fraction (of a spread: of that of all snippets)", xlim=(0, 1))
        shares.set_yticks(range(len(bars)), bars)
        shares.grid(axis="x", alpha=0.3)
    axes[0, 0].set_ylabel("correlation of two snippets of a video")
    axes[0, 1].legend(fontsize=8)
    axes[1, 0].invert_yaxis()
    figure.savefig(file, dpi=80)


def spreads_and_shares(one: Statistics) -> Statistics:
    return {key: v for key, v in one.items() if key.startswith(("spread", "class", "shift", "ROC", "share"))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name in ("features", "trimmed", "annotations"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=Path())
    parser.add_argument("--seeds", type=int, default=3, help="simulations to average over")
    parser.add_argument("--shot-s", type=float, default=1.6, help="mean seconds between cuts, simulated")
    arguments = parser.parse_args()
    for needed in (arguments.annotations, arguments.features / "rgb", arguments.trimmed / "flow"):
        if not needed.exists():
            parser.error(f"got {needed}, which does not exist; see the first lines of --help")
    found = compare(arguments)
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "table.md").write_text(table(found))
    print(table(found), end="")
    draw(found, arguments.output / "simulation.png")


if __name__ == "__main__":
    main()
