"""Segments in the formats of other tools, and back."""

from __future__ import annotations

import csv
import io
import json
import math
import random
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tsrnet.core.errors import UserError
from tsrnet.reporting.interchange.activitynet import ground_truth, read_submission, submission
from tsrnet.reporting.interchange.fiftyone import dataset_files, read_labels
from tsrnet.reporting.interchange.labelstudio import labeling_config, read_tasks, tasks_of
from tsrnet.reporting.interchange.subtitles import to_srt
from tsrnet.reporting.interchange.table import read_csv, to_csv
from tsrnet.reporting.interchange.video_segments import Reviewed, VideoSegments, best_segments
from tsrnet.reporting.timeline import Detection

HOSTILE = "<b> & \"é\", '=1+1'; $x"
LENGTH_S = 61.37


def made_up(*, lengths: bool = True) -> list[VideoSegments]:
    """Videos with odd ids, one of them empty, and 60 random segments of half a second and more."""
    rng = random.Random(0)
    segments = []
    for _ in range(60):
        start_s = rng.uniform(0, LENGTH_S - 1)
        end_s = rng.uniform(start_s + 0.5, LENGTH_S)
        segments.append(Detection(rng.choice(["Jump", "Run", HOSTILE]), start_s, end_s, rng.random()))
    length_s = LENGTH_S if lengths else None
    return [
        VideoSegments('-a b#1?&"é', tuple(segments[:30]), length_s),
        VideoSegments("../x/y.z", tuple(segments[30:]), length_s),
        VideoSegments("nothing", (), length_s),
    ]


def unscored(videos: list[VideoSegments]) -> Reviewed:
    """As they come back: a person's segments are certain."""
    return Reviewed(
        tuple(
            VideoSegments(
                one.id,
                tuple(Detection(s.label, s.start_s, s.end_s, 1.0) for s in one.segments),
                one.duration_s,
            )
            for one in videos
        )
    )


def annotated(tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What Label Studio exports after somebody submits each prediction as it is."""
    return [
        {
            "id": number,
            "data": task["data"],
            "annotations": [{"result": task["predictions"][0]["result"], "was_cancelled": False}],
            "predictions": [],
        }
        for number, task in enumerate(json.loads(json.dumps(tasks)), 1)
    ]


def test_a_table_comes_back_as_it_was() -> None:
    for videos in (made_up(), made_up(lengths=False), []):
        assert read_csv("F", to_csv(videos)) == unscored(videos)


def test_a_table_has_a_row_a_segment() -> None:
    videos = made_up()
    rows = list(csv.DictReader(io.StringIO(to_csv(videos))))
    wanted = [(video.id, s.label, s.start_s, s.end_s, s.score) for video in videos for s in video.segments]
    got = [
        (row["video"], row["label"], float(row["start_s"]), float(row["end_s"]), float(row["score"]))
        for row in rows
        if row["label"]
    ]
    assert got == wanted
    assert [row["video"] for row in rows if not row["label"]] == ["nothing"]


@pytest.mark.parametrize("fps", [10, 25, 29.97, 30])
def test_label_studio_rounds_to_its_frames(fps: float) -> None:
    for videos in (made_up(), made_up(lengths=False)):
        back = read_tasks("F", annotated(tasks_of(videos, url="/videos/", fps=fps, model_version="m")))
        assert not back.remarks
        assert [(one.id, one.duration_s) for one in back.videos] == [
            (one.id, one.duration_s) for one in videos
        ]
        for before, after in zip(videos, back.videos, strict=True):
            assert [s.label for s in after.segments] == [s.label for s in before.segments]
            for a, b in zip(before.segments, after.segments, strict=True):
                assert abs(a.start_s - b.start_s) <= 0.5 / fps + 1e-9
                assert abs(a.end_s - b.end_s) <= 0.5 / fps + 1e-9


def test_label_studio_frames_are_inside_the_video() -> None:
    """Frame k covers [(k - 1) / fps, k / fps): one second at 10 fps is the frames 1 to 10."""
    segments = [(0.0, 1.0), (0.0, 0.0), (0.5, 0.51), (1.0, 1.0), (-3.0, 7.0)]
    video = VideoSegments("a", tuple(Detection("Run", *times_s, 0.5) for times_s in segments), 1.0)
    (task,) = tasks_of([video], url="", fps=10, model_version="m")
    ranges = [region["value"]["ranges"] for region in task["predictions"][0]["result"]]
    wanted = [(1, 10), (1, 1), (6, 6), (10, 10), (1, 10)]
    assert ranges == [[{"start": first, "end": last}] for first, last in wanted]


def test_label_studio_tasks_fit_their_labelling_interface(tmp_path: Path) -> None:
    view = ElementTree.fromstring(labeling_config(["Jump", HOSTILE]))
    (video,), (labels,) = view.findall("Video"), view.findall("TimelineLabels")
    assert [label.get("value") for label in labels] == ["Jump", HOSTILE]
    assert len({label.get("background") for label in labels}) == 2
    assert labels.get("toName") == video.get("name")
    file = tmp_path / "b" / "c d.mkv"
    found = Detection(HOSTILE, 1.0, 2.0, 7.5)
    videos = [
        VideoSegments("a#1", (found,)),
        VideoSegments("c d", (), file=file),
        VideoSegments("e.avi", (found, found)),
    ]
    tasks = tasks_of(videos, url="/v/", fps=30, model_version="m", folder=tmp_path)
    assert video.get("value", "").removeprefix("$") in tasks[0]["data"]
    assert video.get("frameRate", "").removeprefix("$") in tasks[0]["data"]
    assert [task["data"]["video"] for task in tasks] == ["/v/a%231.mp4", "/v/b/c%20d.mkv", "/v/e.avi"]
    assert [task["predictions"][0]["score"] for task in tasks] == [1.0, 0.0, 1.0]
    regions = [region for task in tasks for region in task["predictions"][0]["result"]]
    assert len({region["id"] for region in regions}) == 3
    for region in regions:
        assert (region["from_name"], region["to_name"]) == (labels.get("name"), video.get("name"))
        assert (region["type"], region["value"]["timelinelabels"]) == ("timelinelabels", [HOSTILE])
        assert region["score"] == 7.5


def region(*labels: str, start: Any = 1, end: Any = 30) -> dict[str, Any]:
    value = {"ranges": [{"start": start, "end": end}], "timelinelabels": list(labels)}
    return {"type": "timelinelabels", "value": value}


def task(*annotations: dict[str, Any], **data: Any) -> dict[str, Any]:
    return {"id": 7, "data": {"video": "a.mp4", "fps": 30, **data}, "annotations": list(annotations)}


def test_what_counts_of_a_label_studio_export() -> None:
    old, new = {"result": [region("Old")], "updated_at": "2024-01-01"}, {"result": [region("New", "Too")]}
    skipped = {"result": [region("Skipped")], "was_cancelled": True}
    content = [
        task(
            old,
            {**new, "updated_at": "2024-01-02"},
            {**skipped, "updated_at": "2024-01-03"},
            video_id="newest",
        ),
        task({**old, "ground_truth": True}, {**new, "updated_at": "2024-01-02"}, video_id="marked"),
        task(skipped, video_id="skipped"),
        {**task(video_id="predicted"), "predictions": [old]},
        task({"result": [region(), {"type": "choices", "value": {}}]}, video_id="empty"),
    ]
    back = read_tasks("F", content)
    labels = {video.id: [one.label for one in video.segments] for video in back.videos}
    assert labels == {"newest": ["New", "Too"], "marked": ["Old"], "empty": []}
    assert sorted(back.remarks) == [
        "left out, entries that are not on the timeline: 1",
        "left out, regions without a label: 1",
        "left out, tasks without an annotation: 2",
        "tasks with several annotations, of which the ground truth or the newest counts: 2",
    ]


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ("/data/upload/3/0123abcd-clip%20one.mp4", "clip one"),
        ("/data/local-files/?d=videos/a%20b%231.mp4", "a b#1"),
        ("https://host/x/v_-dash.webm?token=1", "v_-dash"),
        ("s3://bucket/0123abcd-clip.mp4", "0123abcd-clip"),
    ],
)
def test_a_video_that_was_imported_by_hand_is_called_by_its_file(address: str, wanted: str) -> None:
    (video,) = read_tasks("F", [task({"result": [region("Run")]}, video=address)]).videos
    assert video.id == wanted


def test_fps_of_tasks_made_by_hand() -> None:
    made = task({"result": [region("Run", start=26, end=50)]})
    del made["data"]["fps"]
    (video,) = read_tasks("F", [made], fps=25).videos
    assert video.segments == (Detection("Run", 1.0, 2.0, 1.0),)
    with pytest.raises(UserError, match=r"F: task 7: got fps None.* give fps="):
        read_tasks("F", [made])


def through_fiftyone(content: dict[str, Any], *, num_frames: int) -> dict[str, Any]:
    """What FiftyOne exports of what it imported: frames by its formulas, classes as indices."""
    classes = content["classes"]

    def again(time_s: float) -> float:
        frame = 1 + round(time_s / LENGTH_S * (num_frames - 1))
        return (frame - 1) / (num_frames - 1) * LENGTH_S

    labels = {
        video: [
            {
                "label": classes.index(row["label"]),
                "timestamps": [again(time_s) for time_s in row["timestamps"]],
                "confidence": row["confidence"],
            }
            for row in rows
        ]
        for video, rows in content["labels"].items()
    }
    return {"classes": classes, "labels": labels}


def test_fiftyone_rounds_to_frames(tmp_path: Path) -> None:
    videos = [
        VideoSegments(name, one.segments, file=tmp_path / f"{name}.mp4")
        for name, one in zip(("-a b#1", "x.y", "nothing"), made_up(), strict=True)
    ]
    files = dataset_files(videos)
    assert files["data.json"] == {one.file.name: str(one.file) for one in videos if one.file}
    assert read_labels("F", files["labels.json"]) == unscored(videos)
    num_frames = round(25 * LENGTH_S)
    back = read_labels("F", through_fiftyone(files["labels.json"], num_frames=num_frames)).videos
    for before, after in zip(videos, back, strict=True):
        assert (before.id, len(before.segments)) == (after.id, len(after.segments))
        for a, b in zip(before.segments, after.segments, strict=True):
            assert a.label == b.label
            assert abs(a.start_s - b.start_s) <= 0.5 * LENGTH_S / (num_frames - 1) + 1e-9
            assert abs(a.end_s - b.end_s) <= 0.5 * LENGTH_S / (num_frames - 1) + 1e-9


def test_fiftyone_needs_one_file_of_a_name() -> None:
    with pytest.raises(UserError, match="'a': got no file"):
        dataset_files([VideoSegments("a", ())])
    with pytest.raises(UserError, match=r"y/a\.avi: another video is called 'a', too"):
        dataset_files(
            [VideoSegments("1", (), file=Path("x/a.mp4")), VideoSegments("2", (), file=Path("y/a.avi"))]
        )


def test_the_submission_format_keeps_what_the_file_said() -> None:
    videos = made_up(lengths=False)
    like = {"version": "mine", "results": {}, "external_data": {"used": True}}
    content = submission(videos, like)
    assert read_submission("F", json.loads(json.dumps(content))) == videos
    assert (content["version"], content["external_data"]) == ("mine", {"used": True})


def test_ground_truth_ends_with_the_video() -> None:
    segments = (Detection("Run", 9.9, 10.1, 1.0), Detection("Jump", 1.0, 2.0, 1.0))
    content = ground_truth([VideoSegments("a", segments, 10.0), VideoSegments("b", segments)], "training")
    jump = {"label": "Jump", "segment": [1.0, 2.0]}
    assert content["database"] == {
        "a": {
            "duration": 10.0,
            "subset": "training",
            "annotations": [jump, {"label": "Run", "segment": [9.9, 10.0]}],
        },
        "b": {"subset": "training", "annotations": [jump, {"label": "Run", "segment": [9.9, 10.1]}]},
    }


def test_the_best_segments() -> None:
    scores = (0.5, 0.9, 0.2, 0.5, 0.5)
    video = VideoSegments("a", tuple(Detection(str(i), 0, 1, score) for i, score in enumerate(scores)))

    def chosen(**limits: Any) -> str:
        return "".join(one.label for one in best_segments([video], **limits)[0].segments)

    assert chosen() == "01234"
    assert chosen(min_score=0.5) == "0134"
    assert chosen(per_video=2) == "01"  # of equal scores the first
    assert chosen(min_score=0.95, per_video=2) == ""


def test_subtitles_are_in_order_and_well_formed() -> None:
    segments = [
        Detection("Run", 3661.0005, 36000.25, 0.456),
        Detection(HOSTILE, 59.9996, 60.0, 0.9),
        Detection("Jump", -1, 0.001, 0),
    ]
    assert to_srt(segments) == (
        "1\n00:00:00,000 --> 00:00:00,001\nJump (0.00)\n\n"
        f"2\n00:01:00,000 --> 00:01:00,000\n{HOSTILE} (0.90)\n\n"
        "3\n01:01:01,000 --> 10:00:00,250\nRun (0.46)\n\n"
    )
    assert to_srt([]) == ""


def detection(**other: Any) -> dict[str, Any]:
    return {"results": {"a": [{"label": "Run", "segment": [1, 2], "score": 0.5, **other}]}}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([], 'lacks "results"'),
        ({"results": {"a": {}}}, "video 'a': got {}, need a list"),
        ({"results": {"a\n": []}}, r"video id 'a\n', need a text in one line"),
        ({"results": {"a": [5]}}, "video 'a', detection 1: got 5, need label, score and segment"),
        (detection(segment=[1]), "need label, score and segment [start, end]"),
        (detection(segment=[2, 1]), "got segment [2, 1], need start <= end"),
        (detection(segment=["1", 2]), "got segment ['1', 2]"),
        (detection(score=math.nan), "with score nan, need finite numbers"),
        (detection(score=True), "with score True"),
        (detection(label=""), "got label ''"),
        (detection(label="a\n\n2\n"), "need a text in one line"),
        (detection(label="\x00"), "need a text in one line"),
        (detection(label=3), "got label 3"),
    ],
)
def test_what_is_no_submission(content: Any, said: str) -> None:
    with pytest.raises(UserError, match=f"^F: .*{re.escape(said)}") as error:
        read_submission("F", content)
    assert "\n" not in str(error.value)


def labels(**other: Any) -> dict[str, Any]:
    return {"labels": {"a": [{"label": "Run", "timestamps": [1, 2], **other}]}}


ANNOTATION = {"result": [region("Run")]}


@pytest.mark.parametrize(
    ("read", "content", "said"),
    [
        (read_tasks, {}, "not a list of tasks; export the project from Label Studio as JSON, not JSON-MIN"),
        (read_tasks, [{"id": 1, "video": "a.mp4", "actions": []}], "not JSON-MIN"),
        (read_tasks, [task({})], "task 7: is not as Label Studio exports it (KeyError('result'))"),
        (read_tasks, [task({"result": [5]})], "task 7: is not as Label Studio exports it"),
        (
            read_tasks,
            [task({"result": [region("Run", end=None)]})],
            "got frames 1 to None, need 1 <= start <= end",
        ),
        (read_tasks, [task({"result": [region("Run", start=0)]})], "got frames 0 to 30"),
        (read_tasks, [task({"result": [region("Run", start=31)]})], "got frames 31 to 30"),
        (read_tasks, [task({"result": [region("a\nb")]})], "need a text in one line"),
        (read_tasks, [task(ANNOTATION, fps="30")], "got fps '30'"),
        (read_tasks, [task(ANNOTATION, fps=0)], "got fps 0"),
        (read_tasks, [task(ANNOTATION, duration_s=-1)], "got duration -1, need a number above 0"),
        (read_tasks, [task(ANNOTATION, video="")], "need the address of the video as 'video'"),
        (read_tasks, [task(ANNOTATION), task(ANNOTATION)], "task 7: video 'a' has another task, too"),
        (read_labels, [], 'lacks "labels"'),
        (read_labels, {"labels": {"a": True}}, "need a list of segments"),
        (read_labels, {"labels": {"a": [{"label": "Run", "support": [1, 9]}]}}, "use_timestamps=True"),
        (read_labels, {"labels": {"a": [[]]}}, "video 'a': got []"),
        (read_labels, labels(timestamps=[1]), "video 'a': got timestamps [1], need [start, end]"),
        (read_labels, labels(timestamps=[-1, 2]), "got segment [-1, 2], need 0 <= start <= end"),
        (read_labels, labels(label=0), "got label 0, need a text"),
        (read_csv, "", "got columns [], need each of video, label, start_s, end_s once"),
        (read_csv, "video;label\n", "got columns ['video;label']"),
        (read_csv, "video,label,start_s,end_s\n,Run,1,2\n", "line 2: names no video"),
        (read_csv, "video,label,start_s,end_s\na,Run,1,x\n", "line 2: got 'x', need a number"),
        (read_csv, "video,label,start_s,end_s\na,Run,1\n", "line 2: got segment [1.0, None]"),
        (read_csv, "video,label,start_s,end_s\na,,1,2\n", "line 2: got label ''"),
        (read_csv, "video,label,start_s,end_s\na,Run,2,1\n", "line 2: got segment [2, 1]"),
        (read_csv, "video,label,start_s,end_s,duration_s\na,,,,nan\n", "line 2: got duration nan"),
    ],
)
def test_what_is_no_annotation(read: Any, content: Any, said: str) -> None:
    with pytest.raises(UserError, match=f"^F.*{re.escape(said)}") as error:
        read("F", content)
    assert "\n" not in str(error.value)
