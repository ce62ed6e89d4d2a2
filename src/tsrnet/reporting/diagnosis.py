"""The error analysis of a run: a table, a picture and the numbers, in its folder."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table

from tsrnet.core.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = ("#33a02c", "#b2df8a", "#1f78b4", "#fb9a99", "#e31a1c", "#a6cee3")
_UNITS = {"length": ("s", 1), "coverage": ("%", 100)}
"""The unit and its factor. Coverage is the share of its video that a segment fills."""
Row = tuple[str, str, int | None, float, float | None]


def write_diagnosis(found: Mapping[str, Any], folder: Path) -> None:
    """Write diagnosis.json, diagnosis.csv and diagnosis.png; print the table.

    `found`: a title and the fields of `metrics.diagnosis.Diagnosis`, as in the JSON.
    """
    with atomic_path(folder / "diagnosis.json") as part:
        part.write_text(json.dumps(found, indent=1))
    rows = _rows(found)
    with atomic_path(folder / "diagnosis.csv") as part, part.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["of", "name", "number", "share", "mAP gained without"])
        writer.writerows(rows)
    _draw(found, folder / "diagnosis.png")
    _print(rows, title=f"Errors at tIoU {_range(found['thresholds'])} (%): {found['title']}")


def _rows(found: Mapping[str, Any]) -> list[Row]:
    """For detections: kind, number, share, gain. For missed segments: size, number, share missed."""
    rows: list[Row] = [
        ("detections", name, round(share * found["detections"]), share, found["gain"].get(name))
        for name, share in found["kinds"].items()
    ]
    rows.append(("missed segments", "all", found["segments"], found["missed"], None))
    for what, sizes in found["sizes"].items():
        for size in sizes:
            rows.append((f"missed by {what}", _size(size, what), size["segments"], size["missed"], None))
    return rows


def _size(size: Mapping[str, Any], what: str) -> str:
    unit, factor = _UNITS[what]
    above = f"{factor * size['above']:.3g}"
    span = f"over {above}" if size["to"] is None else f"{above} to {factor * size['to']:.3g}"
    return f"{size['name']}, {span} {unit}"


def _short(size: Mapping[str, Any], what: str) -> str:
    factor = _UNITS[what][1]
    limit = f"> {factor * size['above']:.3g}" if size["to"] is None else f"≤ {factor * size['to']:.3g}"
    return f"{size['name']}\n{limit}"


def _range(thresholds: Sequence[float]) -> str:
    first, last = thresholds[0], thresholds[-1]
    return f"{first:g}" if first == last else f"{first:g} to {last:g}"


def _print(rows: list[Row], *, title: str) -> None:
    table = Table(title=title)
    for name in ("", "", "number", "share", "mAP gained without"):
        table.add_column(name, justify="right" if name else "left")
    for before, (what, name, number, share, gain) in zip([None, *rows], rows, strict=False):
        if before and before[0] != what:
            table.add_section()
        group = "" if before and before[0] == what else what
        table.add_row(
            group, name, f"{number:,}", f"{100 * share:.1f}", "" if gain is None else f"+{100 * gain:.1f}"
        )
    Console().print(table)


def _draw(found: Mapping[str, Any], path: Path) -> None:
    """False positives by rank, what each kind costs, missed segments by size."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 4.2), layout="constrained")
    figure.suptitle(f"{found['title']}, tIoU {_range(found['thresholds'])}")
    ranks, gains, sizes = figure.subplots(1, 3, width_ratios=[4, 4, 5])
    bottom = np.zeros(len(found["by_rank"]))
    names = [f"{k + 1} G" for k in range(len(bottom))]
    for kind, colour in zip(found["kinds"], _COLOURS, strict=True):
        share = 100 * np.array([part[kind] for part in found["by_rank"]])
        ranks.bar(names, share, bottom=bottom, width=0.9, color=colour, label=kind)
        bottom += share
    ranks.set(
        title="What the detections are",
        ylabel="% of detections",
        xlabel="the G best of each class, the next G, ...\n(G: number of its segments)",
        ylim=(0, 100),
    )
    figure.legend(loc="outside lower left", ncols=6, fontsize=9, frameon=False)
    _bars(gains, list(found["gain"]), [100 * value for value in found["gain"].values()], _COLOURS[1:])
    gains.set(title="mAP gained without them", ylabel="percentage points")
    labels: list[str] = []
    for (what, some), colour in zip(found["sizes"].items(), ("#386cb0", "#bf5b17"), strict=False):
        places = len(labels) + bool(labels) + np.arange(len(some))
        _bars(sizes, places, [100 * size["missed"] for size in some], [colour] * len(some))
        if len(some):
            where = (float(places.mean()), 0.94)
            unit = _UNITS[what][0]
            sizes.annotate(
                f"by {what} ({unit})", where, xycoords=("data", "axes fraction"), ha="center", color=colour
            )
        labels += [*[""] * bool(labels), *(_short(size, what) for size in some)]
    sizes.set_xticks(range(len(labels)), labels, fontsize=8)
    sizes.axhline(100 * found["missed"], color="grey", linestyle=":", linewidth=1)
    sizes.set(title="What is missed", ylabel="% of segments", ylim=(0, 112))
    for axes in (ranks, gains, sizes):
        axes.spines[["top", "right"]].set_visible(False)
    with atomic_path(path) as part:
        figure.savefig(part, dpi=120)


def _bars(axes: Axes, names: list[str] | np.ndarray, values: list[float], colours: Sequence[str]) -> None:
    bars = axes.bar(names, values, color=colours, width=0.9)
    axes.bar_label(bars, fmt="%.1f", fontsize=8, padding=1)
    if isinstance(names, list):
        axes.set_xticks(range(len(names)), [name.replace(" ", "\n") for name in names], fontsize=8)
