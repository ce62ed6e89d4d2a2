"""The end of a multirun: a table of its runs, and a picture if one or two values were swept."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, stdev
from typing import Annotated, Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from pydantic import Field
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tsrnet.core.errors import UserError
from tsrnet.core.files import atomic_path
from tsrnet.core.jobs import FAILED, failed_jobs, failure, is_running, wait_for_jobs, when_interrupted
from tsrnet.core.reading import as_kind, read_json_as, read_yaml
from tsrnet.core.settings import Number
from tsrnet.core.wording import counted

_SEED = "seed"


@dataclass(frozen=True)
class _Recognition:
    accuracy: Number


@dataclass(frozen=True)
class _Detection:
    mAP: dict[str, Number] = field(default_factory=dict)  # noqa: N815 - as the file has it
    average_mAP: Number | None = None  # noqa: N815


@dataclass(frozen=True)
class _Metrics:
    """What a sweep reads of metrics.json."""

    protocol: str
    videos: int
    recognition: Annotated[dict[str, _Recognition], Field(min_length=1)]
    detection: _Detection | None
    label: str = ""

    @property
    def figures(self) -> dict[str, float]:
        """The figures of the last stream, or of the fusion of both."""
        figures = {"accuracy": list(self.recognition.values())[-1].accuracy}
        if self.detection is None or self.detection.average_mAP is None:
            return figures
        mean = self.detection.mAP
        shown = [name for name in ("0.10", "0.30", "0.50", "0.70", "0.75", "0.95") if name in mean]
        return {
            **figures,
            **{f"mAP@{name}": mean[name] for name in shown},
            "average mAP": self.detection.average_mAP,
        }


@dataclass(frozen=True)
class Row:
    """Runs that differ in their seed only: swept key -> value, figure -> one value per seed."""

    swept: Mapping[str, str]
    figures: Mapping[str, Sequence[float]]


class SweepReport(Callback):
    """Hydra calls it at the beginning and the end of a multirun of a command that writes metrics.json."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        folder = Path(config.hydra.sweep.dir)
        when_interrupted.append(lambda: _report_interrupted(folder))

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        report_sweep(Path(config.hydra.sweep.dir))


def report_sweep(folder: Path) -> bool:
    """Print and write sweep.csv and sweep.png of the runs below a folder; list the jobs that failed.

    False where no run has finished.
    """
    console = Console(width=None if os.isatty(1) else 120)
    jobs = [path for path in sorted(folder.iterdir(), key=_number) if (path / ".hydra").is_dir()]
    for job in jobs:
        if is_running(job):
            console.print(f"still running: {escape(str(job))}")
        elif said := failure(job):
            failed_jobs.append(job)
            reason = said.splitlines()[-1]  # the message of a stack trace
            console.print(f"failed: {escape(str(job))}: {escape(reason)} (details in its {FAILED})")
    found: dict[Path, _Metrics] = {}
    for job in jobs:
        if (job / "metrics.json").is_file() and not (job / FAILED).is_file():
            try:
                found[job] = read_json_as(_Metrics, job / "metrics.json")
            except UserError as error:
                console.print(f"left out: {escape(str(error))}")
                failed_jobs.append(job)
    rows = _rows(found)
    if not rows:
        return False
    with atomic_path(folder / "sweep.csv") as part, part.open("w", newline="") as file:
        writer = csv.writer(file)
        names = list(rows[0].figures)
        writer.writerow([*rows[0].swept, "seeds", *names, *(f"{name} std" for name in names)])
        for row in rows:
            means = [fmean(values) for values in row.figures.values()]
            spread = [stdev(values) if len(values) > 1 else 0.0 for values in row.figures.values()]
            writer.writerow([*row.swept.values(), len(next(iter(row.figures.values()))), *means, *spread])
    some = next(iter(found.values()))
    what = f"{some.label}, " * bool(some.label) + f"{some.protocol}, {counted(some.videos, 'test video')}"
    table = Table(*rows[0].swept, title=f"{len(rows)} settings, percent, ± deviation of seeds: {what}")
    for name in rows[0].figures:
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(*map(escape, row.swept.values()), *map(_cell, row.figures.values()))
    console.print(table)
    drawn = _draw(rows, folder / "sweep.png", title=what)
    print(f"sweep folder: {folder} (sweep.csv{', sweep.png' if drawn else ''})")
    return True


def _report_interrupted(folder: Path) -> None:
    """Wait for the jobs that still run, then report."""
    wait_for_jobs(
        folder, report=lambda n: print(f"waiting for {n} jobs", end="\r", file=sys.stderr, flush=True)
    )
    report_sweep(folder)


def _number(path: Path) -> tuple[int, str]:
    return (int(path.name) if path.name.isdecimal() else -1, path.name)


def _cell(values: Sequence[float]) -> str:
    deviation = f" ±{100 * stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * fmean(values):.1f}{deviation}"


def _rows(jobs: Mapping[Path, _Metrics]) -> list[Row]:
    overrides = [_overrides(job / ".hydra" / "overrides.yaml") for job in jobs]
    keys = list(dict.fromkeys(key for some in overrides for key in some))
    swept = [key for key in keys if len({some.get(key) for some in overrides}) > 1 and key != _SEED]
    figures: dict[tuple[str, ...], dict[str, list[float]]] = {}
    for metrics, some in zip(jobs.values(), overrides, strict=True):
        found = figures.setdefault(tuple(some.get(key, "") for key in swept), {})
        for name, value in metrics.figures.items():
            found.setdefault(name, []).append(value)
    return [Row(dict(zip(swept, values, strict=True)), found) for values, found in figures.items()]


def _overrides(path: Path) -> dict[str, str]:
    texts: list[str] = as_kind(list[str], read_yaml(path), path)
    return {key: value for key, _, value in (text.partition("=") for text in texts)}


def _draw(rows: Sequence[Row], path: Path, *, title: str) -> bool:
    """Lines over one swept number, a map of the average mAP over two; False for anything else."""
    swept = list(rows[0].swept)
    try:
        points = [tuple(float(value) for value in row.swept.values()) for row in rows]
    except ValueError:
        return False
    if len(swept) not in (1, 2) or len(rows) < 2:
        return False
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    if len(swept) == 1:
        order = sorted(range(len(rows)), key=lambda i: points[i])
        for name in rows[0].figures:
            values = [[100 * value for value in rows[i].figures[name]] for i in order]
            axes.errorbar(
                [points[i][0] for i in order],
                [fmean(some) for some in values],
                [stdev(some) if len(some) > 1 else 0.0 for some in values],
                marker="o",
                capsize=2,
                label=name,
            )
        axes.set(xlabel=swept[0], ylabel="percent", ylim=(0, 102), title=title)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    else:
        name = list(rows[0].figures)[-1]
        columns, lines = (sorted({point[i] for point in points}) for i in range(2))
        means = {point: 100 * fmean(row.figures[name]) for point, row in zip(points, rows, strict=True)}
        table = [[means.get((x, y), float("nan")) for x in columns] for y in lines]
        axes.imshow(table, origin="lower", aspect="auto", cmap="viridis")
        for (x, y), value in means.items():
            axes.text(columns.index(x), lines.index(y), f"{value:.1f}", ha="center", color="white")
        axes.set(xlabel=swept[0], ylabel=swept[1], title=f"{name} (%): {title}")
        axes.set_xticks(range(len(columns)), [f"{value:g}" for value in columns])
        axes.set_yticks(range(len(lines)), [f"{value:g}" for value in lines])
    with atomic_path(path) as part:
        figure.savefig(part, dpi=120)
    return True
