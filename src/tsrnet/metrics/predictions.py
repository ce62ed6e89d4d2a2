"""Reads predictions of any method: ActivityNet's submission format and THUMOS14's lines of text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import chain
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from tsrnet.core.errors import UserError
from tsrnet.core.reading import read_json, reading
from tsrnet.core.settings import as_number, shown
from tsrnet.metrics.detection import Segments

_PREFIX = "v_"
Row = tuple[int, float, float, float]  # class, start, end, score


@dataclass(frozen=True)
class GroundTruth:
    """What predictions are scored against.

    `videos`: ids by index. `labels`: those of the videos, as segments of which only video and class count.
    `ignored`: ids that are left out on both sides, with the reason. `numbers`: the names of the classes in
    THUMOS14's text format. `subset`: the name of the subset; `elsewhere`: id -> subset of the videos of the
    other subsets. `only`: the file that lists the videos to score; predictions for videos that neither it nor
    the ground truth has are left out, and so are classes that the ground truth lacks.
    """

    classes: tuple[str, ...]
    videos: tuple[str, ...]
    segments: Segments
    labels: Segments
    ambiguous: Segments
    ignored: Mapping[str, str]
    numbers: Mapping[str, str]
    subset: str
    elsewhere: Mapping[str, str]
    only: str = ""


@dataclass(frozen=True)
class Predictions:
    """`segments` with indices of the ground truth; videos that it lacks come after. `warnings`: counts."""

    segments: Segments
    warnings: Mapping[str, int]


def read_predictions(path: Path, truth: GroundTruth, *, classify: bool, swap: bool) -> Predictions:
    """The predictions of a .json file, or of a text file with `video start end class score` per line.

    Args:
        path: the file.
        truth: for the indices of classes and videos.
        classify: the predictions are labels of videos, without segments.
        swap: correct an inverted segment, as THUMOS14's toolkits do; otherwise it is an error.

    Raises:
        UserError: a prediction cannot be scored. The message has the file, the video and what is needed.
    """
    labels = {label: index for index, label in enumerate(truth.classes)}
    unknown: Counter[str] = Counter()
    by_video: Mapping[str, Sequence[Row]]
    if path.suffix.lower() == ".json":
        by_video = _submission(path, labels, unknown, classify)
    else:
        by_video = _lines(path, labels | {truth.numbers[c]: labels[c] for c in truth.numbers}, unknown)
    warnings: Counter[str] = Counter()
    if truth.only and unknown and any(row[0] >= 0 for rows in by_video.values() for row in rows):
        # a few videos need not show every class, and the mean is over the classes that they show
        by_video = {video: [row for row in rows if row[0] >= 0] for video, rows in by_video.items()}
        warnings[f"predictions left out, no video of {truth.only} shows their class"] = unknown.total()
    elif unknown:
        label = min(unknown)
        nearest = get_close_matches(label[:100], truth.classes, n=3, cutoff=0)
        raise UserError(
            f"{path}: got label {shown(label)} ({sum(unknown.values())} predictions of"
            f" {len(unknown)} unknown labels), need one of the ground truth's {len(truth.classes)};"
            f" nearest: {', '.join(map(shown, nearest))}"
        )
    names = _names(path, by_video, truth, warnings)
    kept = {names[video]: rows for video, rows in by_video.items() if video in names}
    index = {video: number for number, video in enumerate(truth.videos)}
    for video in kept:
        index.setdefault(video, len(index))
    table = np.fromiter(
        chain.from_iterable(chain.from_iterable(kept.values())), np.float64, 4 * sum(map(len, kept.values()))
    ).reshape(-1, 4)
    videos = np.repeat([index[v] for v in kept], [len(rows) for rows in kept.values()]).astype(np.int64)
    segments = Segments(videos, table[:, 0].astype(np.int64), table[:, 1], table[:, 2], table[:, 3])
    segments = _checked(path, segments, list(index), warnings, swap)
    for video in list(index)[len(truth.videos) :]:
        warnings[_outside(video, truth)] += len(kept[video])
    if not len(segments):
        warnings["the file has no predictions: every ground truth is missed"] = 1
    return Predictions(segments, {reason: count for reason, count in warnings.items() if count})


def _submission(
    path: Path, labels: Mapping[str, int], unknown: Counter[str], classify: bool
) -> dict[str, Sequence[Row]]:
    def compact(entry: dict[str, Any]) -> Any:
        """Turn a prediction into a tuple as soon as it is read: a file of 500 MB must fit into memory."""
        try:
            label, score = entry["label"], entry["score"]
            start_s, end_s = (0.0, 1.0) if classify else entry["segment"]
            if not all(type(value) in (float, int) for value in (start_s, end_s, score)):
                return entry
            if label not in labels:
                unknown[str(label)] += 1
                return (-1, start_s, end_s, score)
            return (labels[label], start_s, end_s, score)
        except (KeyError, TypeError, ValueError):
            return entry

    content = read_json(path, entry=compact)
    results = content.get("results") if isinstance(content, dict) else None
    if not isinstance(results, dict):
        raise UserError(f'{path}: lacks "results"; need {{"results": {{video id: [predictions]}}}}')
    needed = "label and score" if classify else "label, score and segment [start, end]"
    for video, rows in results.items():
        if not isinstance(rows, list):
            raise UserError(f"{path}: video {shown(video)}: got {shown(rows)}, need a list of predictions")
        for number, row in enumerate(rows):
            if type(row) is not tuple:
                raise UserError(
                    f"{path}: video {shown(video)}, prediction {number + 1}: got {shown(row, 120)}, need"
                    f" {needed} as numbers"
                )
    return results


def _lines(path: Path, labels: Mapping[str, int], unknown: Counter[str]) -> dict[str, list[Row]]:
    by_video: dict[str, list[Row]] = {}
    need = reading(path, "lines of text", do="need such lines, or .json")
    with need, path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            fields = line.split()
            if not fields:
                continue
            try:
                video, start_s, end_s, *name, score = fields
                row = (as_number(start_s), as_number(end_s), as_number(score))
            except ValueError as error:
                raise UserError(
                    f"{path}, line {number}: got {shown(line.strip())}, need: video start end class score"
                ) from error
            label = " ".join(name)
            if label not in labels:
                unknown[label] += 1
            by_video.setdefault(video.removesuffix(".mp4"), []).append((labels.get(label, -1), *row))
    return by_video


def _names(
    path: Path, by_video: Mapping[str, Sequence[Row]], truth: GroundTruth, warnings: Counter[str]
) -> dict[str, str]:
    """The names of the videos in the ground truth; videos that it leaves out are counted, not returned."""
    known = {*truth.videos, *truth.ignored, *truth.elsewhere}
    names: dict[str, str] = {}
    spelling: dict[str, str] = {}
    for video, rows in by_video.items():
        name = video
        if video not in known and video.removeprefix(_PREFIX) in known:
            name = video.removeprefix(_PREFIX)
            warnings[f"videos are called {_PREFIX}<id>: read as <id>"] += 1
        elif video not in known and PurePath(video).stem in known:  # as tsrnet.detect calls them
            name = PurePath(video).stem
            warnings[f"videos are called <id>{PurePath(video).suffix}: read as <id>"] += 1
        if name in spelling:
            raise UserError(
                f"{path}: {shown(spelling[name])} and {shown(video)} are the same video; join the two"
            )
        spelling[name] = video
        if name in truth.ignored:
            warnings[f"predictions left out, {truth.ignored[name]}"] += len(rows)
        elif truth.only and name not in known:
            warnings[f"predictions left out, {truth.only} does not list the video"] += len(rows)
        else:
            names[video] = name
    return names


def _outside(video: str, truth: GroundTruth) -> str:
    """Why all predictions for a video are false positives."""
    if video in truth.elsewhere:
        subset = truth.elsewhere[video]
        return (
            f"predictions for videos of the subset {subset!r}, not {truth.subset!r}: false positives; give"
            f" subset={subset} to score them"
        )
    return "predictions for videos without ground truth: false positives"


def _checked(
    path: Path, segments: Segments, videos: Sequence[str], warnings: Counter[str], swap: bool
) -> Segments:
    """The segments; UserError for numbers that cannot be ranked or measured."""

    def refuse(bad: Any, need: str) -> None:
        if bad.any():
            row = bad.argmax()
            video, (start_s, end_s, score) = shown(videos[segments.video[row]]), numbers[:, row]
            raise UserError(
                f"{path}: video {video}: got segment [{start_s:g}, {end_s:g}] with score {score:g}"
                f" ({bad.sum()} such predictions), need {need}"
            )

    numbers = np.stack([segments.start_s, segments.end_s, segments.score])
    refuse(~np.isfinite(numbers).all(axis=0), "finite numbers")
    inverted = segments.start_s > segments.end_s
    if swap:
        warnings["segments with start after end: start and end were swapped"] = int(inverted.sum())
        bounds = np.sort(numbers[:2], axis=0)
        segments = replace(segments, start_s=bounds[0], end_s=bounds[1])
    else:
        refuse(inverted, "start <= end")
    warnings["segments that start before 0 s: they are scored unchanged"] = int((segments.start_s < 0).sum())
    return segments
