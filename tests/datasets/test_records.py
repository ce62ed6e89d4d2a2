"""Annotation files in ActivityNet's layout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tsrnet.datasets.records import Segment, classes_of, read_activitynet_json
from tsrnet.errors import UserError


def test_records_hold_segments_in_seconds_and_labels_once(tmp_path: Path) -> None:
    entry = {
        "duration": 12.5,
        "subset": "training",
        "annotations": [
            {"label": "Squat", "segment": [1, 2.5]},
            {"label": "Jump", "segment": [3, 4]},
            {"label": "Squat", "segment": [6, 7]},
        ],
    }
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"database": {"-x_1": entry}}))
    (record,) = read_activitynet_json(path)
    assert (record.id, record.duration_s, record.labels) == ("-x_1", 12.5, ("Jump", "Squat"))
    assert record.segments[0] == Segment(1.0, 2.5, "Squat")
    assert classes_of((record,)) == ("Jump", "Squat")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"database": {"a": {}}}', '{"database": {"../a": {"annotations": []}}}']
)
def test_malformed_files_are_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(UserError):
        read_activitynet_json(path)
    with pytest.raises(UserError, match=r"missing\.json"):
        read_activitynet_json(tmp_path / "missing.json")
