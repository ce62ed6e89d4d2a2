"""Annotations, tables of labels, lists, predictions and exports of other tools that were changed."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from fuzzing import Reader, as_json, changed, changed_bytes, check_reader, one_file
from hypothesis import strategies as st

from tsrnet.core.reading import read_json, read_text
from tsrnet.datasets.activitynet import read_activitynet
from tsrnet.datasets.activitynet_layout import read_activitynet_json
from tsrnet.datasets.ground_truth import read_ground_truth
from tsrnet.datasets.label_table import read_label_table
from tsrnet.datasets.labels import read_labels
from tsrnet.datasets.overlap import read_overlap
from tsrnet.datasets.records import AMBIGUOUS
from tsrnet.datasets.thumos14 import CLASSES, read_thumos14
from tsrnet.datasets.ucf101 import read_ucf101
from tsrnet.metrics.predictions import read_predictions
from tsrnet.metrics.protocols import PROTOCOLS
from tsrnet.metrics.recognition import classification_metrics
from tsrnet.reporting.interchange.activitynet import read_submission
from tsrnet.reporting.interchange.fiftyone import read_labels as read_fiftyone
from tsrnet.reporting.interchange.labelstudio import read_tasks
from tsrnet.reporting.interchange.table import read_csv


def entry(label: str, subset: str, start: float = 1.0) -> dict[str, Any]:
    annotations = [{"label": label, "segment": [start, start + 2.5]}, {"label": label, "segment": [6, 7]}]
    return {"duration": 20.0, "subset": subset, "fps": 25, "annotations": annotations}


DATABASE = {
    "database": {
        "a": entry("Run", "training"),
        "b": entry("Jump", "training", 3),
        "c": entry("Run", "validation"),
        "d": entry("Jump", "validation", 0),
        "e": {"duration": 5, "subset": "testing"},
    }
}
THUMOS = {
    "database": {
        "video_validation_0000051": entry("Billiards", "validation"),
        "video_validation_0000052": entry("Diving", "validation"),
        "video_test_0000004": entry("Billiards", "test"),
        "video_test_0000006": entry(AMBIGUOUS, "test"),
    }
}
RESULTS = {
    "results": {
        "c": [{"label": "Run", "score": 0.9, "segment": [1, 3.5]}] * 2,
        "v_d": [{"label": "Jump", "score": 0.1, "segment": [0.5, 2]}],
        "other": [{"label": "Run", "score": 1, "segment": [0, 9.0]}],
    }
}
TASKS = [
    {
        "id": 1,
        "data": {"video": "/data/upload/1/0123abcd-a.mp4", "fps": 25.0, "duration_s": 20.0},
        "annotations": [
            {
                "updated_at": "2024-01-01",
                "ground_truth": False,
                "result": [
                    {
                        "type": "timelinelabels",
                        "value": {"ranges": [{"start": 3, "end": 80}], "timelinelabels": ["Run"]},
                    }
                ],
            }
        ],
    },
    {"id": 2, "data": {"video_id": "b"}, "annotations": []},
]
FIFTYONE = {
    "classes": ["Run"],
    "labels": {"a": [{"label": 0, "timestamps": [1, 2.5], "confidence": 1}], "b": []},
}
LABELS = b"video,label,subset\na.mp4,Run,train\nb.mp4,Jump|Run,train\nc.mp4,Run,test\nd.mp4,Jump,test\n"
OVERLAP = b"untrimmed,trimmed\nLong jump,LongJump\nTai chi,TaiChi\n"
SEGMENTS = b"video,label,start_s,end_s,score,duration_s\na,Run,1.0,2.5,0.5,20\na,Run,3,4,0.1,20\nb,,,,,10\n"
LINES = b"c 1.0 3.5 Run 0.9\nd 0.5 2.0 Jump 0.1\n\nother.mp4 0 9 Run 1\n"
BSN = b"video,numFrame,fps,subset\nv_a,10,30.0,training\nv_b,10,30.0,training\nv_c,10,25.0,validation\n"


def count_lines(content: bytes) -> int:
    """Lines of a CSV text with anything in them, its header included."""
    text = io.StringIO(content.decode("utf-8-sig"), None)
    return sum(bool(re.sub(r'[\s,"]', "", line)) for line in text)


def _scored(path: Path, truth: bytes, results: bytes) -> None:
    path.with_name("truth.json").write_bytes(truth)
    path.write_bytes(results)
    truth_read = read_ground_truth(path.with_name("truth.json"), PROTOCOLS["activitynet"])
    for classify in (False, True):
        if classify or len(truth_read.segments):
            found = read_predictions(path, truth_read, classify=classify, swap=classify)
            if classify:
                classification_metrics(found.segments, truth_read.labels, truth_read.classes)
            else:
                PROTOCOLS["activitynet"].detection_metrics(
                    found.segments, truth_read.segments, truth_read.classes, truth_read.ambiguous
                )


def scored(folder: Path, content: tuple[bytes, bytes, str]) -> None:
    truth, results, name = content
    _scored(folder / name, truth, results)


def activitynet(path: Path) -> tuple[int, int]:
    read = read_activitynet_json(path)
    return len(read.records), len(json.loads(path.read_text("utf-8-sig"))["database"])


def label_table(path: Path) -> tuple[int, int]:
    table = read_label_table(path)
    return len(table.records), count_lines(path.read_bytes()) - table.has_header


def overlap(path: Path) -> tuple[int, int]:
    pairs = read_overlap(path, classes=["Long jump", "Tai chi"], trimmed_classes=["LongJump", "TaiChi"])
    return len(pairs), count_lines(path.read_bytes()) - 1


def bsn(folder: Path, content: tuple[bytes, bytes]) -> None:
    (folder / "video_info_new.csv").write_bytes(content[0])
    (folder / "anet_anno_action.json").write_bytes(content[1])
    read_activitynet(folder, folder)


ENTRIES = {f"v_{video}": {"duration_second": 20.0, **DATABASE["database"][video]} for video in "abc"}


def class_files(folder: Path, content: tuple[bytes, bytes]) -> None:
    for subset, ending in (("validation", "val"), ("test", "test")):
        lists = folder / f"TH14_Temporal_annotations_{subset}" / "annotation"
        lists.mkdir(parents=True)
        for name in (*CLASSES, AMBIGUOUS):
            (lists / f"{name}_{ending}.txt").write_bytes(f"video_{subset}_0000004  1.0 2.5\n".encode())
        table = "filename,video-duration,fps\nvideo_{}_0000004.mp4,20.0,30\n".format
        name = {"validation": "valid", "test": "test"}[subset]
        (folder / f"thumos14_{name}_metadata.csv").write_text(table(subset))
    (folder / "TH14_Temporal_annotations_test" / "annotation" / "Diving_test.txt").write_bytes(content[0])
    (folder / "thumos14_test_metadata.csv").write_bytes(content[1])
    read_thumos14(folder, folder)


def ucf101(folder: Path, content: tuple[bytes, bytes]) -> None:
    (folder / "classInd.txt").write_bytes(content[0])
    (folder / "trainlist01.txt").write_bytes(content[1])
    (folder / "testlist01.txt").write_bytes(b"YoYo/v_YoYo_g02_c01.avi\n")
    read_ucf101(folder, folder)


def basnet(folder: Path, content: tuple[bytes, bytes]) -> None:
    (folder / "gt.json").write_bytes(content[0])
    (folder / "split_train.txt").write_bytes(content[1])
    (folder / "split_test.txt").write_bytes(b"c\nd\n")
    read_activitynet(folder, folder)


READERS: dict[str, Reader] = {
    "activitynet": one_file("a.json", changed(DATABASE), activitynet),
    "dataset": one_file("a.json", changed(DATABASE), lambda path: read_activitynet(path, path.parent)),
    "bsn": Reader(
        st.one_of(
            st.tuples(changed_bytes(BSN), st.just(as_json(ENTRIES))),
            st.tuples(st.just(BSN), changed(ENTRIES)),
        ),
        bsn,
    ),
    "labels json": one_file("a.json", changed(DATABASE), lambda path: read_labels(path, None)),
    "labels": one_file("a.csv", changed_bytes(LABELS), lambda path: read_labels(path, None)),
    "label table": one_file("a.csv", changed_bytes(LABELS), label_table),
    "thumos14 json": one_file("a.json", changed(THUMOS), lambda path: read_thumos14(path, path.parent)),
    "thumos14 texts": Reader(
        st.tuples(
            changed_bytes(b"video_test_0000004  1.0 2.5\nvideo_test_0000004  3 4.5\n"),
            st.one_of(
                st.just(b"filename,video-duration,fps\nvideo_test_0000004.mp4,20.0,30\n"),
                changed_bytes(b"filename,video-duration,fps\nvideo_test_0000004.mp4,20.0,30\n"),
            ),
        ),
        class_files,
    ),
    "ucf101": Reader(
        st.tuples(
            st.one_of(st.just(b"1 YoYo\r\n2 Archery\r\n"), changed_bytes(b"1 YoYo\r\n2 Archery\r\n")),
            changed_bytes(b"YoYo/v_YoYo_g01_c01.avi 1\r\nArchery/v_Archery_g01_c01.avi 2\r\n"),
        ),
        ucf101,
    ),
    "overlap": one_file("a.csv", changed_bytes(OVERLAP), overlap),
    "basnet": Reader(
        st.one_of(
            st.tuples(changed(DATABASE), st.just(b"a\nb\n")),
            st.tuples(st.just(as_json(DATABASE)), changed_bytes(b"a\nb\n")),
        ),
        basnet,
    ),
    "score": Reader(
        st.one_of(
            st.tuples(changed(DATABASE), st.just(as_json(RESULTS)), st.just("a.json")),
            st.tuples(st.just(as_json(DATABASE)), changed(RESULTS), st.just("a.json")),
            st.tuples(st.just(as_json(DATABASE)), changed_bytes(LINES), st.just("a.txt")),
        ),
        scored,
    ),
    "list of ids": one_file(
        "a.txt",
        st.one_of(changed_bytes(b"c\nv_d\n"), changed(["c", "v_d"])),
        lambda path: read_ground_truth(path.with_name("t.json"), PROTOCOLS["activitynet"], videos=path),
        t__json=as_json(DATABASE),
    ),
    "label studio": one_file("a.json", changed(TASKS), lambda path: read_tasks(str(path), read_json(path))),
    "fiftyone": one_file("a.json", changed(FIFTYONE), lambda path: read_fiftyone(str(path), read_json(path))),
    "segments": one_file("a.csv", changed_bytes(SEGMENTS), lambda path: read_csv(str(path), read_text(path))),
    "submission": one_file(
        "a.json", changed(RESULTS), lambda path: read_submission(str(path), read_json(path))
    ),
}


@pytest.mark.parametrize("name", READERS)
def test_a_changed_file_is_read_whole_or_named(name: str) -> None:
    check_reader(READERS[name])
