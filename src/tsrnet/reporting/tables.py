"""Prints the metrics of a run as tables."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tsrnet.core.wording import counted

if TYPE_CHECKING:  # matplotlib takes a third of a second to import
    from tsrnet.reporting.timeline import Detection


def print_metrics(metrics: Mapping[str, Any]) -> None:
    """Print what metrics.json holds, in percent."""
    console = Console()
    kind = f"{metrics.get('label')}, " * bool(metrics.get("label"))
    videos = counted(metrics["videos"], "test video")
    tested = f"{kind}{videos}, seed {metrics['seed']}, protocol: {metrics['protocol']}"
    recognition = Table(title=f"Recognition (%): {tested}")
    names = list(next(iter(metrics["recognition"].values())))
    for name in ("stream", *names):
        recognition.add_column(name, justify="left" if name == "stream" else "right")
    for stream, figures in metrics["recognition"].items():
        recognition.add_row(stream, *(f"{100 * figures[name]:.1f}" for name in names))
    console.print(recognition)
    if metrics["detection"]:
        detection = Table(title=f"Detection mAP (%) at tIoU: {tested}")
        means = metrics["detection"]["mAP"]
        for name in (*means, "average"):
            detection.add_column(name, justify="right")
        average = metrics["detection"]["average_mAP"]
        detection.add_row(*(f"{100 * value:.1f}" for value in (*means.values(), average)))
        console.print(detection)
        recall = metrics["detection"]["average_recall"]
        console.print(
            f"Average recall (%) of the {', '.join(recall)} best detections of a video:"
            f" {', '.join(f'{100 * value:.1f}' for value in recall.values())}",
            highlight=False,
        )
        _print_ties(console, metrics["detection"])
    if metrics["attention"]:
        attention = Table(title="Attention inside and outside the true segments (1: mean of the video)")
        for name in ("stream", "inside", "outside", "ratio"):
            attention.add_column(name, justify="left" if name == "stream" else "right")
        for stream, row in metrics["attention"].items():
            attention.add_row(stream, *(f"{row[name]:.2f}" for name in ("inside", "outside", "ratio")))
        console.print(attention)


def print_detections(
    video: str, detections: Sequence[Detection], probabilities: Mapping[str, float], *, most: int = 10
) -> None:
    """Print the best detections of a video and its most likely classes."""
    likely = ", ".join(f"{escape(name)} {value:.2f}" for name, value in list(probabilities.items())[:3])
    title = f"{escape(video)}: {likely}"
    if not detections:
        Console().print(f"{title}; no segment is above the threshold")
        return
    table = Table("start", "end", "class", "score", title=title)
    for one in detections[:most]:
        table.add_row(f"{one.start_s:.1f} s", f"{one.end_s:.1f} s", escape(one.label), f"{one.score:.2f}")
    Console().print(table)
    if len(detections) > most:
        print(f"and {len(detections) - most} more")


def print_counts(title: str, columns: Mapping[str, Mapping[str, int]]) -> None:
    """Print a table of counts: column -> row -> count, the same rows in each."""
    table = Table(title=title)
    for name in ("", *columns):
        table.add_column(name, justify="right" if name else "left")
    for row in next(iter(columns.values())):
        table.add_row(row, *(f"{counts[row]:,}" for counts in columns.values()))
    Console().print(table)


def print_failures(reasons: Mapping[str, str]) -> None:
    """Print a table of failures with their reasons; nothing if there are none."""
    if not reasons:
        return
    table = Table("video", "reason", title=f"{counted(len(reasons), 'video')} failed")
    for name, reason in sorted(reasons.items()):
        table.add_row(escape(name), escape(reason))
    Console().print(table)


def print_score(result: Mapping[str, Any], *, per_class: bool) -> None:
    """Print what `tsrnet.score` found, in percent, after a line for each warning."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    for reason, count in result["warnings"].items():
        console.print(f"warning: {count:,} {escape(reason)}", highlight=False)
    title = (
        f"{result['task'].capitalize()} (%): {result['protocol']}, {result['subset']},"
        f" {counted(result['videos'], 'video')}, {counted(result['ground_truth_segments'], 'annotation')},"
        f" {counted(result['predictions'], 'prediction')}"
    )
    if result["task"] == "detection":
        columns = {**result["mAP"], "average": result["average_mAP"]}
        rows = {label: (*values.values(), fmean(values.values())) for label, values in result["AP"].items()}
    else:
        columns = {name: value for name, value in result.items() if name == "mAP" or "hit@" in name}
        rows = {label: (value,) for label, value in result["AP"].items()}
    table = Table(title=title, title_justify="left", box=SIMPLE, padding=(0, 0, 0, 1))
    for name in ("", *columns):
        table.add_column(name, justify="right" if name else "left")
    for label, values in rows.items() if per_class else ():
        table.add_row(escape(label), *(f"{100 * value:.2f}"[:5] for value in values))
    name = "mAP" if result["task"] == "detection" else "all"
    table.add_row(name, *(f"{100 * value:.2f}"[:5] for value in columns.values()))
    console.print(table)
    _print_ties(console, result)


def _print_ties(console: Console, metrics: Mapping[str, Any]) -> None:
    """Say how far the order of ties could move a mAP, if the table would show it."""
    found = metrics.get("tie_sensitivity", 0.0)
    most = max(found.values()) if isinstance(found, Mapping) else found
    if most >= 0.00005:
        console.print(
            f"Ties are ordered as by the official evaluator on this machine; another order moves no mAP by"
            f" more than {100 * most:.2f} (tie_sensitivity).",
            highlight=False,
        )


def print_stages(stages: Sequence[Any], root: str) -> None:
    """Print a table of stages (`pipeline.stages.StoredStage`)."""
    total = sum(stage.num_bytes for stage in stages) / 1e6
    table = Table("stage", "", title=f"{len(stages)} stages in {root}, {total:,.1f} MB")
    for name in ("MB", "days"):
        table.add_column(name, justify="right")
    for stage in stages:
        state = "finished" if stage.finished else "unfinished"
        table.add_row(stage.key, state, f"{stage.num_bytes / 1e6:,.1f}", f"{stage.age_days:.1f}")
    Console(width=None if sys.stdout.isatty() else 120).print(table)
