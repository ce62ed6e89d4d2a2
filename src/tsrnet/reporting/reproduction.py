"""A table of the paper beside what runs of ours gave: Markdown and a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Literal

from tsrnet.core.files import atomic_path
from tsrnet.core.wording import counted

Metrics = Mapping[str, Any]


@dataclass(frozen=True)
class Method:
    """A row: what tsrnet.train is given for it, and the paper's figures in percent, where it has them.

    `besides`: a dataset, or "simulated" for a rehearsal -> what it is given, too.
    """

    overrides: tuple[str, ...]
    besides: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    paper: tuple[float | None, ...] = ()


@dataclass(frozen=True)
class Experiment:
    """What a table or figure of the paper compares.

    `datasets`: those it can be asked of, the paper's first. `columns`: title -> place of the figure in
    metrics.json, as `detection/mAP/0.50`, or `detection/mAP/0.10:0.70` for a mean; of `fusion|joint`, the one
    that is there. `plot`: "lines" or "bars" over the columns, or, for many methods, a "ranking": the
    last column.
    """

    title: str
    datasets: tuple[str, ...]
    columns: Mapping[str, str]
    methods: Mapping[str, Method]
    plot: Literal["lines", "bars", "ranking"] = "bars"

    def __post_init__(self) -> None:
        for name, method in self.methods.items():
            if method.paper and len(method.paper) != len(self.columns):
                raise ValueError(f"{name}: got {len(method.paper)} figures, need {len(self.columns)}")


def percent(metrics: Metrics, place: str) -> float:
    """The figure at a place of metrics.json, in percent."""
    *path, last = place.split("/")
    node: Any = metrics
    for key in path:
        node = node[next((name for name in key.split("|") if name in node), key)]
    first, _, end = last.partition(":")
    values = [value for key, value in node.items() if first <= key <= end] if end else [node[last]]
    return 100 * fmean(values)


@dataclass(frozen=True)
class Cell:
    """Mean and, of several seeds, standard deviation."""

    mean: float
    deviation: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> Cell:
        return cls(fmean(values), stdev(values) if len(values) > 1 else None)

    def __str__(self) -> str:
        return f"{self.mean:.1f}" + (f" ± {self.deviation:.1f}" if self.deviation is not None else "")


@dataclass(frozen=True)
class Reproduction:
    """An experiment and what its runs gave: method -> seed -> metrics.json, or None where there is none.

    With `training_s` in it: the seconds that its stages took, or None.
    """

    experiment: Experiment
    dataset: str
    runs: Mapping[str, Mapping[int, Metrics | None]]

    def cells(self, method: str) -> list[Cell]:
        """One a column, over the seeds that have run; empty where none has."""
        found = [metrics for metrics in self.runs[method].values() if metrics]
        if not found:
            return []
        return [
            Cell.of([percent(metrics, place) for metrics in found])
            for place in self.experiment.columns.values()
        ]

    def training(self, method: str) -> str:
        """Seconds that the stages of a run took, the mean of the seeds that say it."""
        runs = [metrics for metrics in self.runs[method].values() if metrics]
        found = [metrics["training_s"] for metrics in runs if metrics["training_s"] is not None]
        return f"{fmean(found):.0f}" if found else "-"

    def unfinished(self, method: str) -> str:
        """What of the seeds is missing, in words; empty where nothing is."""
        seeds = self.runs[method]
        missing = [str(seed) for seed, metrics in seeds.items() if not metrics]
        return f"{len(seeds) - len(missing)} of {len(seeds)} seeds" if missing else ""

    @property
    def label(self) -> str:
        """What the figures are of, as "SIMULATED features"; empty for a dataset as it is published."""
        some = next((m for seeds in self.runs.values() for m in seeds.values() if m), None)
        return str(some.get("label", "")) if some else ""

    @property
    def protocol(self) -> str:
        """Which rule, which videos and which seeds the figures are of."""
        some = next((m for seeds in self.runs.values() for m in seeds.values() if m), None)
        seeds = ", ".join(str(seed) for seed in next(iter(self.runs.values())))
        if some is None:
            return "nothing has run"
        label = f"{self.label}; " * bool(self.label)
        missing = f", {some['missing']} of them missing" if some["missing"] else ""
        videos = counted(some["videos"], "test video")
        return f"{label}protocol {some['protocol']}, {videos}{missing}; seeds {seeds}"

    def markdown(self) -> str:
        """A row of the paper's and one of ours a method; mean ± standard deviation over seeds, percent."""
        columns = list(self.experiment.columns)
        lines = [
            f"**{self.experiment.title}.** Percent. Ours: {self.protocol}; mean ± standard deviation.",
            "",
            f"| | | {' | '.join(columns)} | training, s |",
            f"|---|---|{'---|' * len(columns)}---|",
        ]
        label = f"{self.label}, " * bool(self.label)
        for name, method in self.experiment.methods.items():
            if method.paper:
                cells = ["-" if value is None else f"{value:g}" for value in method.paper]
                lines.append(f"| {name} | paper, {self.experiment.datasets[0]} | {' | '.join(cells)} | - |")
            unfinished = self.unfinished(name)
            where = f"ours, {label}{self.dataset}{f' (**{unfinished}**)' if unfinished else ''}"
            shown = [str(cell) for cell in self.cells(name)] or ["-"] * len(columns)
            lines.append(f"| {name} | {where} | {' | '.join(shown)} | {self.training(name)} |")
        return "\n".join(lines) + "\n"

    def draw(self, path: Path) -> None:
        """Draw our numbers with their deviations, and the paper's: dashed (lines) or as marks (bars)."""
        from matplotlib.figure import Figure

        methods = self.experiment.methods
        rows = []
        for name, method in methods.items():
            unfinished = self.unfinished(name)
            paper = [float("nan") if value is None else value for value in method.paper]
            rows.append((name + f" ({unfinished})" * bool(unfinished), self.cells(name), paper))
        ranking = self.experiment.plot == "ranking"
        figure = Figure(figsize=(10, 1.5 + 0.25 * len(rows) if ranking else 5), layout="constrained")
        axes = figure.add_subplot()
        _PLOTS[self.experiment.plot](axes, list(self.experiment.columns), [row for row in rows if row[1]])
        axes.set_title(f"{self.experiment.title}\nours: {self.dataset}, {self.protocol}", fontsize=9)
        axes.grid(axis="x" if ranking else "y", alpha=0.3)
        if not ranking:
            axes.set(ylabel="percent", ylim=(0, 102))
            marks = "dashed" if self.experiment.plot == "lines" else "black marks"
            has_paper = any(method.paper for method in methods.values())
            where = f"{marks}: the paper, {self.experiment.datasets[0]}" if has_paper else None
            figure.legend(loc="outside right upper", fontsize=8, title=where, title_fontsize=8)
        with atomic_path(path) as part:
            figure.savefig(part, dpi=120)


Rows = Sequence[tuple[str, Sequence[Cell], Sequence[float]]]
"""Label, our numbers and the paper's of each method."""


def _lines(axes: Any, columns: Sequence[str], rows: Rows) -> None:
    places = range(len(columns))
    for number, (label, cells, paper) in enumerate(rows):
        means, deviations = _numbers(cells)
        axes.errorbar(places, means, deviations, color=f"C{number}", marker="o", capsize=2, label=label)
        if paper:
            axes.plot(places, paper, color=f"C{number}", linestyle="--", alpha=0.6)
    axes.set_xticks(places, columns)


def _bars(axes: Any, columns: Sequence[str], rows: Rows) -> None:
    width = 0.8 / max(len(rows), 1)
    for number, (label, cells, paper) in enumerate(rows):
        means, deviations = _numbers(cells)
        places = [i + (number - (len(rows) - 1) / 2) * width for i in range(len(columns))]
        axes.bar(places, means, width, yerr=deviations, color=f"C{number}", capsize=2, label=label)
        if paper:
            axes.scatter(places, paper, color="black", marker="_", s=120, zorder=3)
    axes.set_xticks(range(len(columns)), columns)


def _ranking(axes: Any, columns: Sequence[str], rows: Rows) -> None:
    """One bar per method, for tables with many of them: the last column."""
    means, deviations = _numbers([cells[-1] for _, cells, _ in rows])
    axes.barh([label for label, _, _ in rows], means, xerr=deviations, capsize=2)
    axes.invert_yaxis()
    axes.set(xlabel=f"{columns[-1]}, percent", xlim=(0, 102))


_PLOTS = {"lines": _lines, "bars": _bars, "ranking": _ranking}


def _numbers(cells: Sequence[Cell]) -> tuple[list[float], list[float]]:
    return [cell.mean for cell in cells], [cell.deviation or 0.0 for cell in cells]
