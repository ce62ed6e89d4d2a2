"""The rules of other papers against loops over snippets and thresholds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tsrnet.core.cli import conf_folder
from tsrnet.core.errors import UserError
from tsrnet.core.settings import settings_of
from tsrnet.localization.rule import DetectedRuns, Floats, VideoScores, contrast, upsampled
from tsrnet.localization.settings import LocalizationSettings, RuleSettings

Row = tuple[int, float, float, float]
"""Class, start, stop, score."""


def video(seed: int, *, streams: int) -> VideoScores:
    rng = np.random.default_rng(seed)
    time = int(rng.integers(1, 25))
    logits = rng.normal(size=(streams, 4))
    smooth = np.cumsum(rng.normal(size=(streams, time, 4)), axis=1)
    return VideoScores(
        np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True),
        rng.random((streams, time)),
        smooth - smooth.mean(axis=1, keepdims=True) + rng.normal(size=(streams, 1, 4)),
        rate_hz=float(rng.choice([1.5625, 6.0])),
    )


def spans(passed: list[bool]) -> list[tuple[int, int]]:
    found, start = [], None
    for i, inside in enumerate([*passed, False]):
        if inside and start is None:
            start = i
        elif not inside and start is not None:
            found.append((start, i))
            start = None
    return found


def fine(values: Floats, factor: int = 24) -> list[float]:
    """Lines through (i, values[i]), at 0, 1 / factor, ..., beyond the last as before it."""
    if len(values) == 1:
        return [float(values[0])] * factor
    found = []
    for k in range(len(values) * factor):
        i = min(k // factor, len(values) - 2)
        found.append(float(values[i] + (values[i + 1] - values[i]) * (k / factor - i)))
    return found


def outer_inner(values: list[float], start: int, stop: int) -> float:
    """With inclusive bounds and `int` as in the released code."""
    last, length = stop - 1, stop - start
    first, end = max(0, int(start - 0.25 * length)), min(len(values) - 1, int(last + 0.25 * length))
    around = [values[i] for i in range(first, start)] + [values[i] for i in range(last + 1, end + 1)]
    inside = sum(values[start:stop]) / length
    return inside - (sum(around) / len(around) if around else 0.0)


def sigmoid(x: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-x)))


def nms(rows: list[Row], bound: float, extra: float) -> list[Row]:
    kept: list[Row] = []
    for row in sorted(rows, key=lambda row: -row[3]):
        if all(tiou(row, other, extra) <= bound for other in kept):
            kept.append(row)
    return kept


def tiou(one: Row, other: Row, extra: float) -> float:
    both = max(0.0, min(one[2], other[2]) - max(one[1], other[1]) + extra)
    return both / (one[2] - one[1] + other[2] - other[1] + 2 * extra - both)


def reference_stpn(v: VideoScores) -> list[Row]:
    found = []
    for label in range(4):
        rows = []
        for own in range(len(v.weights)):
            if v.probabilities[own, label] > 0.1:
                other = len(v.weights) - 1 - own
                signal = fine(v.weights[own] * sigmoid(v.activations[own, :, label]))
                both = 0.5 * v.activations[own, :, label] + 0.5 * v.activations[other, :, label]
                score = fine(v.weights[own] * both)
                for start, stop in spans([value >= 0.05 for value in signal]):
                    rows.append((label, start, stop, float(np.mean(score[start:stop]))))
        found += [(label, a / 24, b / 24, s) for _, a, b, s in nms(rows, 0.5, 0.0)]
    return found


def reference_untrimmednet(v: VideoScores) -> list[Row]:
    found, p = [], v.probabilities.mean(axis=0)
    for label in range(4):
        if p[label] > 0.1:
            f = sigmoid(v.activations[:, :, label]).mean(axis=0)
            f = [(f[i] + f[min(i + 1, len(f) - 1)]) / 2 for i in range(len(f))]
            for start, stop in spans([value > 0.5 * max(f) for value in f]):
                found.append((label, start, stop, float(np.mean(f[start:stop]) + 0.2 * p[label])))
    return found


def reference_wtalc(v: VideoScores) -> list[Row]:
    found = []
    for label in range(4):
        a = v.activations[:, :, label].mean(axis=0)
        pooled = float(np.mean(sorted(a)[-max(1, len(a) // 8) :]))
        bound = max(a) - (max(a) - min(a)) * 0.5
        for start, stop in spans([value > bound and pooled > 0 for value in a]):
            if stop - start >= 2:
                found.append((label, start, stop, float(max(a[start:stop]) + 0.7 * pooled)))
    return found


def reference_basnet(v: VideoScores) -> list[Row]:
    found = []
    for label in range(4):
        if v.probabilities.mean(axis=0)[label] >= 0.25:
            a = v.activations[:, :, label].mean(axis=0)
            low, high = max(min(a), 0), max(max(a), 0)
            scaled = fine((a - low) / (high - low if high > low else 1))
            rows = []
            for step in range(10):
                kept = [value if value >= 0.025 * step else 0.0 for value in scaled]
                for start, stop in spans([value > 0 for value in kept]):
                    rows.append((label, start, stop, outer_inner(kept, start, stop) + 0.2))
            found += [(label, a / 24, b / 24, s) for _, a, b, s in nms(rows, 0.7, 24 * v.rate_hz)]
    return found


def reference_co2net(v: VideoScores) -> list[Row]:
    p, attention = v.probabilities.mean(axis=0), v.weights.mean(axis=0)
    labels = [label for label in range(4) if p[label] >= 0.2] or [int(np.argmax(p))]
    found = []
    for label in labels:
        values = (attention * v.activations[:, :, label].mean(axis=0)).tolist()
        left = [
            [label, start, stop, outer_inner(values, start, stop) + 0.2 * p[label]]
            for threshold in np.linspace(0.1, 0.9, 10).round(4)
            for start, stop in spans((attention > threshold).tolist())
        ]
        while left:
            best = max(left, key=lambda row: row[3])
            left.remove(best)
            found.append((label, best[1], best[2], float(best[3])))
            for row in left:
                row[3] *= np.exp(-(tiou((0, best[1], best[2], 0), (0, row[1], row[2], 0), 1.0) ** 2) / 0.3)
    return found


REFERENCES: dict[str, Callable[[VideoScores], list[Row]]] = {
    "stpn": reference_stpn,
    "untrimmednet": reference_untrimmednet,
    "wtalc": reference_wtalc,
    "basnet": reference_basnet,
    "co2net": reference_co2net,
}
every_rule = pytest.mark.parametrize("name", REFERENCES)


def rule_of(name: str) -> RuleSettings:
    """The settings of conf/localization/<name>.yaml."""
    path: Path = conf_folder() / "localization" / f"{name}.yaml"
    settings = settings_of(LocalizationSettings, yaml.safe_load(path.read_text()), where="localization")
    assert settings.rule
    return settings.rule


def rows_of(runs: DetectedRuns) -> list[Row]:
    return sorted(zip(*(column.tolist() for column in vars(runs).values()), strict=True))


@every_rule
@pytest.mark.parametrize("streams", [1, 2])
def test_a_rule_against_a_loop(name: str, streams: int) -> None:
    found = 0
    for seed in range(120):
        v = video(seed, streams=streams)
        expected, actual = sorted(REFERENCES[name](v)), rows_of(rule_of(name).detect(v))
        np.testing.assert_allclose(
            np.reshape(actual, (-1, 4)), np.reshape(expected, (-1, 4)), rtol=1e-6, atol=1e-6
        )
        found += len(expected)
    assert found > 120


@every_rule
def test_settings_in_the_file_are_the_defaults(name: str) -> None:
    by_name = settings_of(LocalizationSettings, {"rule": name}, where="localization").rule
    assert by_name == rule_of(name)


@every_rule
def test_a_video_of_one_snippet_and_one_without_any_action(name: str) -> None:
    for time, value in ((1, 2.0), (7, -3.0), (7, 0.0)):
        v = VideoScores(
            np.full((1, 3), 1 / 3), np.full((1, time), 0.5), np.full((1, time, 3), value), rate_hz=6.0
        )
        found = rule_of(name).detect(v)
        assert np.isfinite(found.score).all()
        assert ((found.stop > found.start) & (found.stop <= time)).all()


def test_upsampling_and_contrast_are_known() -> None:
    assert upsampled(np.array([0.0, 2.0]), 4).tolist() == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5]
    values = np.array([1.0, 0.0, 4.0, 4.0, 4.0, 4.0, 2.0, 9.0])
    assert contrast(values, 2, 6) == 4.0 - (0.0 + 2.0) / 2
    assert contrast(values, 0, 8) == values.mean()


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("bas", "localization.rule.name: got bas, need one of basnet, co2net, stpn, untrimmednet, wtalc"),
        ({"nms": 0.3}, "localization.rule.name: got nothing, need one of basnet"),
        ({"name": "stpn", "nms": 2}, "localization.rule.nms: got 2, need a number >= 0 and < 1 or null"),
        (
            {"name": "basnet", "thresholds": []},
            "localization.rule.thresholds: got [], need a list of numbers",
        ),
        ({"name": "co2net", "nms": 0.5}, "localization.rule.soft_nms: got 0.3 beside nms 0.5, need one of"),
    ],
)
def test_mistakes_in_a_rule_are_named(rule: Any, message: str) -> None:
    with pytest.raises(UserError) as caught:
        settings_of(LocalizationSettings, {"rule": rule}, where="localization")
    assert str(caught.value).startswith(message)
