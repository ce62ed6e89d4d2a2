"""A picture of one video over time: frames, ground truth, detections, scores, attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tsrnet.core.errors import one_line

_LONGEST_LABEL, _LONGEST_TITLE = 60, 130
STREAM_COLOURS = {"rgb": "#c44e52", "flow": "#4c72b0"}


@dataclass(frozen=True)
class Detection:
    """A segment of a class in seconds, with a score in [0, 1]; a segment of the ground truth has score 1."""

    label: str
    start_s: float
    end_s: float
    score: float


@dataclass(frozen=True)
class Curve:
    """A named function of time: `times_s` (n,), `values` (n,)."""

    name: str
    times_s: npt.NDArray[np.floating]
    values: npt.NDArray[np.floating]


@dataclass(frozen=True)
class Timeline:
    """What is drawn of a video; curves of class scores belong to the class `top`.

    `strip`: frames (h, w, 3) of one size, evenly spaced in time.
    """

    title: str
    duration_s: float
    strip: Sequence[npt.NDArray[np.uint8]]
    classes: Sequence[str]
    truth: Sequence[Detection]
    detections: Sequence[Detection]
    score: Curve
    thresholds: tuple[float, ...]
    top: str
    attention: Sequence[Curve]
    activations: Sequence[Curve]


def draw_timeline(timeline: Timeline, path: Path) -> None:
    """Write the picture as PNG."""
    with matplotlib.rc_context({"text.parse_math": False}):  # a name may have a $
        _draw(timeline, path)


def _draw(timeline: Timeline, path: Path) -> None:
    labels = sorted({bar.label for bar in (*timeline.truth, *timeline.detections)})
    # Missing parts take no room: frames of a simulation, the ground truth of your own video.
    rows_of = [("ground truth", timeline.truth)] * bool(timeline.truth) + [
        ("detections", timeline.detections)
    ]
    frames = [1.05] * bool(timeline.strip)
    heights = (*frames, *[0.35 + 0.22 * max(1, len(labels))] * len(rows_of), 1.0, 1.0, 1.0)
    # Fixed margins: to find them, a layout engine would draw every picture twice, half of the time.
    width, height = 12.0, sum(heights) + 0.22 * len(heights) + 0.7
    longest = max((len(_short(label)) for label in labels), default=0)
    figure = Figure(figsize=(width, height))
    axes: list[Axes] = list(figure.subplots(len(heights), 1, height_ratios=heights))
    figure.subplots_adjust(
        left=max(0.45, 0.15 + 0.07 * longest) / width,
        right=1 - 0.15 / width,
        bottom=0.45 / height,
        top=1 - 0.5 / height,
        hspace=0.25 * len(heights) / sum(heights),
    )
    figure.suptitle(one_line(timeline.title, _LONGEST_TITLE), fontsize=11, y=1 - 0.08 / height, va="top")
    if timeline.strip:
        pictures = np.concatenate(list(timeline.strip), axis=1)
        axes[0].imshow(pictures, extent=(0, timeline.duration_s, 0, 1), aspect="auto")
        axes[0].set_yticks([])
    for axis, (name, bars) in zip(axes[len(frames) :], rows_of, strict=False):
        _bars(axis, bars, labels, timeline.classes)
        axis.set_title(name, fontsize=9, loc="left", pad=2)
    score, activation, attention = axes[-3:]
    top = _short(timeline.top)
    _curves(score, [timeline.score], f"{timeline.score.name} of {top}", {})
    for threshold in timeline.thresholds:
        score.axhline(threshold, color="black", linewidth=0.8, linestyle="--")
    _curves(activation, timeline.activations, f"class activation of {top} (sigmoid)", STREAM_COLOURS)
    _curves(attention, timeline.attention, "attention a x n (1: same as the mean)", STREAM_COLOURS)
    for axis in (score, activation):
        axis.set_ylim(0, 1)
    attention.set_ylim(bottom=0)
    for index, axis in enumerate(axes):
        axis.set_xlim(0, timeline.duration_s)
        axis.tick_params(labelsize=8, labelbottom=index == len(axes) - 1)
        if index >= len(frames):
            for bar in timeline.truth:
                axis.axvspan(bar.start_s, bar.end_s, color="0.9", zorder=0)
    axes[-1].set_xlabel("seconds", fontsize=9)
    figure.savefig(path, dpi=100)


def _bars(axis: Axes, bars: Sequence[Detection], labels: Sequence[str], classes: Sequence[str]) -> None:
    palette = matplotlib.colormaps["tab20" if len(classes) > 10 else "tab10"]
    for bar in bars:
        row = labels.index(bar.label)
        axis.barh(
            row,
            bar.end_s - bar.start_s,
            left=bar.start_s,
            height=0.8,
            color=palette(list(classes).index(bar.label) % palette.N),
            alpha=0.3 + 0.7 * min(1.0, bar.score),
        )
    axis.set_yticks(range(len(labels)), [_short(label) for label in labels], fontsize=8)
    axis.set_ylim(-0.6, max(1, len(labels)) - 0.4)


def _short(label: str) -> str:
    return one_line(label, _LONGEST_LABEL)


def _curves(axis: Axes, curves: Sequence[Curve], title: str, colours: dict[str, str]) -> None:
    for curve in curves:
        axis.plot(
            curve.times_s,
            curve.values,
            label=curve.name,
            color=colours.get(curve.name, "#333333"),
            linewidth=1.2,
        )
    axis.set_title(title, fontsize=9, loc="left", pad=2)
    if len(curves) > 1:
        axis.legend(fontsize=7, loc="upper right")
