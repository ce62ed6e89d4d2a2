"""Writes golden_activitynet.json: made-up detections, and the AP that ActivityNet's evaluator gives them.

`average_precision` follows the official evaluator one detection at a time, in plain Python, and shares no
code with the package. `python tests/metrics/golden_activitynet.py` writes the file again.

Numpy's argsort, by which the official evaluator ranks, is not stable: with AVX2 or AVX-512 it reorders equal
scores in arrays of four. So the ties here are of a kind whose order does not change the result, and `main`
checks that: it ranks them in 200 random orders.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

FILE = Path(__file__).with_name("golden_activitynet.json")
THRESHOLDS = [float(threshold) for threshold in np.linspace(0.5, 0.95, 10)]
SUBSET = "validation"
Row = tuple[str, float, float, float]  # video, start, end, score
Sort = Callable[[Sequence[float]], list[int]]

TRUTH = {
    "Jump": [*((f"v{i:02}", 0, 20) for i in range(1, 11)), ("v11", 1.7, 21.9)],
    "Run": [
        *(("v01", 30, 40), ("v02", 0, 10), ("v02", 10, 20), ("v02", 40, 50)),
        *(("v03", 0, 10), ("v03", 2, 12), ("v09", 5, 5), ("v12", 12.35, 17.4)),
    ],
    "Throw": [*((f"v{i:02}", 5, 9) for i in range(4, 9)), ("v11", 0.3, 7.1), ("v11", 8.2, 19.6)],
    "Wave": [("v06", 1, 2), ("v10", 3, 30.5)],  # has no detection
}
TRAINING = {"Jump": [("v13", 0, 20)]}
DETECTIONS: dict[str, list[Row]] = {
    "Jump": [
        # Overlaps of exactly 0.50, 0.55, ..., 0.95, the best of them not first.
        *((f"v{i + 1:02}", 0, 10 + i, (1 + 7 * i % 10) / 16) for i in range(10)),
        *(("v11", 1.9, 20.8, 0.55), ("v11", 1.9, 20.8, 0.55)),  # a duplicate: one of the two is false
        ("v12", 12.35, 17.4, 0.6),  # the video has another class
        ("v13", 0, 20, 0.9),  # the video is in another subset
    ],
    "Run": [
        *(("v01", 30, 40, 0.9), ("v01", 30, 40, 0.9), ("v01", 30, 39, 0.8)),
        # Overlaps of exactly 0.5 with two segments: each of the first two takes one, the third none.
        *(("v02", 0, 20, 0.7), ("v02", 0, 20, 0.7), ("v02", 0, 20, 0.5), ("v02", 40, 50, 0.4)),
        *(("v03", 0, 10, 0.85), ("v03", 0, 10, 0.75)),  # the best is taken, the next overlaps by 2/3
        ("v09", 5, 5, 0.3),  # 0/0 is a match
        *(("v12", 12.6, 17.9, 0.41), ("v10", 0, 20, 0.2)),
    ],
    "Throw": [
        # A true and a false one tie at 0.9. Behind a false one and before enough true ones, both orders
        # give the same interpolated precision.
        *(("v01", 0, 5, 1.0), ("v04", 5, 9, 0.9), ("v10", 5, 9, 0.9)),
        *(("v05", 5, 9, 0.8), ("v06", 5, 9, 0.8), ("v07", 5, 9, 0.8), ("v08", 5, 9, 0.7)),
        *(("v11", 0.9, 7.3, 0.37), ("v11", 7.9, 17.7, 0.38), ("v11", 0.3, 19.6, 0.36)),
    ],
}


def stable(values: Sequence[float]) -> list[int]:
    """Order of rising values; equal ones and NaN as numpy's stable argsort has them."""
    return sorted(range(len(values)), key=lambda i: (math.isnan(values[i]), values[i], i))


def tiou(found: Row, start_s: float, end_s: float) -> float:
    """NaN for two segments without length, as in the official evaluator."""
    intersection = max(min(found[2], end_s) - max(found[1], start_s), 0.0)
    union = (end_s - start_s) + (found[2] - found[1]) - intersection
    return intersection / union if union else math.nan


def average_precision(
    truth: Sequence[tuple[str, float, float]], found: Sequence[Row], threshold: float, argsort: Sort = stable
) -> float:
    """Of one class: match in order of falling score, then the area under the interpolated precision."""
    locked: set[int] = set()
    hits: list[bool] = []
    for row in argsort([one[3] for one in found])[::-1]:
        here = [i for i, one in enumerate(truth) if one[0] == found[row][0]]
        overlaps = [tiou(found[row], *truth[i][1:]) for i in here]
        hit = False
        for best in argsort(overlaps)[::-1]:
            if overlaps[best] < threshold:
                break
            if here[best] not in locked:
                locked.add(here[best])
                hit = True
                break
        hits.append(hit)
    recall, precision = [0.0], [0.0]
    for rank in range(1, len(hits) + 1):
        recall.append(sum(hits[:rank]) / len(truth))
        precision.append(sum(hits[:rank]) / rank)
    recall.append(1.0)
    precision.append(0.0)
    for i in reversed(range(len(precision) - 1)):
        precision[i] = max(precision[i], precision[i + 1])
    return math.fsum((recall[i] - recall[i - 1]) * precision[i] for i in range(1, len(recall)))


def by_class(argsort: Sort = stable) -> dict[str, list[float]]:
    """Class -> AP at each threshold."""
    return {
        label: [average_precision(rows, DETECTIONS.get(label, []), t, argsort) for t in THRESHOLDS]
        for label, rows in TRUTH.items()
    }


def content() -> dict[str, Any]:
    """Annotations and detections in ActivityNet's layouts, and the AP."""
    database: dict[str, Any] = {}
    for subset, truth in ((SUBSET, TRUTH), ("training", TRAINING)):
        for label, segments in truth.items():
            for video, *segment in segments:
                entry = database.setdefault(video, {"duration": 60.0, "subset": subset, "annotations": []})
                entry["annotations"].append({"label": label, "segment": segment})
    results: dict[str, Any] = {}
    for label, rows in DETECTIONS.items():
        for video, start_s, end_s, score in rows:
            results.setdefault(video, []).append(
                {"label": label, "segment": [start_s, end_s], "score": score}
            )
    return {"database": database, "results": results, "AP": by_class()}


def main() -> None:
    rng = random.Random(0)

    def shuffled(values: Sequence[float]) -> list[int]:
        ties = [rng.random() for _ in values]
        return sorted(stable(values), key=lambda i: (math.isnan(values[i]), values[i], ties[i]))

    wanted = by_class()
    for _ in range(200):
        for label, values in by_class(shuffled).items():
            assert all(abs(a - b) < 1e-12 for a, b in zip(values, wanted[label], strict=True)), label
    FILE.write_text(json.dumps(content()).replace(', "v', ',\n"v') + "\n")


if __name__ == "__main__":
    main()
