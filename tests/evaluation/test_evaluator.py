"""The metrics of test videos against results that are computed by hand, on one process and on two."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from tsrnet.datasets.ground_truth import read_ground_truth
from tsrnet.datasets.records import Segment, VideoRecord
from tsrnet.evaluation.evaluator import VideoEvaluator, flat_metrics
from tsrnet.evaluation.localize_videos import DetectedRuns, VideoResult
from tsrnet.metrics.predictions import read_predictions
from tsrnet.metrics.protocols import PROTOCOLS
from tsrnet.video.time_grid import TimeGrid

pytestmark = pytest.mark.filterwarnings("ignore:The ``compute`` method of metric VideoEvaluator was called")
CLASSES = ("jump", "run")
DEMO = PROTOCOLS["demo"]
Rows = Sequence[tuple[int, int, int, float]]


def record(name: str, label: str, *segments: tuple[float, float], **more: Any) -> VideoRecord:
    found = tuple(Segment(start_s, end_s, label) for start_s, end_s in segments)
    return VideoRecord(name, "testing", 2.0, (label,), found, **more)


def result(name: str, jump: float, *runs: tuple[int, int, int, float], length: int = 12) -> VideoResult:
    """Of one stream at 6 Hz; `jump`: probability of class 0; runs: (label, start, stop, score)."""
    columns = np.array(runs, np.float64).reshape(-1, 4).T
    attention = {"rgb": np.full(length, 1 / length, np.float32)}
    return VideoResult(
        id=name,
        grid=TimeGrid(),
        probabilities={"rgb": np.array([jump, 1 - jump], np.float32)},
        attention=attention,
        top=0,
        activations={},
        score=np.zeros(length, np.float32),
        runs=DetectedRuns(*columns[:3].astype(np.int64), columns[3].astype(np.float32)),
    )


def evaluate(
    records: Sequence[VideoRecord], results: Iterable[VideoResult], streams: Sequence[str] = ("rgb",)
) -> VideoEvaluator:
    evaluator = VideoEvaluator(records, CLASSES, DEMO, streams=streams)
    for one in results:
        evaluator.update(one)
    return evaluator


RECORDS = (
    record("v0", "jump", (0.5, 1.0)),
    record("v1", "run", (1.0, 2.0)),
    record("v2", "run", (0.0, 1.0)),
)
RESULTS = (
    result("v0", 0.9, (0, 3, 6, 0.7)),  # exact
    result("v1", 0.6, (1, 0, 6, 0.7), (1, 6, 12, 0.5)),  # a miss comes first; recognised wrongly
)


def test_metrics_of_known_results() -> None:
    """AP of jump is 1; the one hit of run comes second, at a precision of 1/2."""
    metrics = evaluate(RECORDS[:2], RESULTS).compute()
    assert metrics["recognition"]["rgb"]["accuracy"] == 0.5
    assert metrics["recognition"]["rgb"]["hit@1"] == 0.5
    assert metrics["detection"]["mAP"] == {f"{t / 10:.2f}": pytest.approx(0.75) for t in range(1, 10)}
    assert metrics["detection"]["average_mAP"] == pytest.approx(0.75)
    assert metrics["available"] == {
        "videos": 2,
        "recognition": metrics["recognition"],
        "detection": metrics["detection"],
    }


def test_a_video_without_result_counts_as_missed() -> None:
    """A third video has the other half of run's instances: its recall ends at 1/2."""
    metrics = evaluate(RECORDS, RESULTS).compute()
    assert metrics["recognition"]["rgb"]["accuracy"] == pytest.approx(1 / 3)
    assert metrics["detection"]["mAP"]["0.50"] == pytest.approx((1 + 0.25) / 2)
    available = evaluate(RECORDS[:2], RESULTS).compute()
    assert metrics["available"] == available["available"]
    nothing = evaluate(RECORDS, []).compute()
    assert nothing["detection"]["average_mAP"] == 0
    assert nothing["available"]["videos"] == 0


def test_the_order_of_the_videos_does_not_matter() -> None:
    one, other = evaluate(RECORDS, RESULTS), evaluate(RECORDS, RESULTS[::-1])
    assert one.compute() == other.compute()
    assert one.submission() == other.submission()


def test_of_videos_without_segments_recognition_is_all_there_is() -> None:
    labelled = [replace(one, segments=()) for one in RECORDS]
    metrics = evaluate(labelled, RESULTS).compute()
    assert metrics["detection"] is None
    assert metrics["recognition"] == evaluate(RECORDS, RESULTS).compute()["recognition"]
    assert all(not name.startswith(("mAP", "average")) for name in flat_metrics(metrics))


def test_detections_on_ambiguous_segments_are_dropped_by_the_toolkits_only() -> None:
    unclear = record("v", "jump", (0.0, 1.0), ambiguous=(Segment(2.0, 3.0, "Ambiguous"),))
    found = result("v", 1.0, (0, 12, 18, 0.9), (0, 0, 6, 0.5), length=24)
    means = {}
    for name, protocol in PROTOCOLS.items():
        evaluator = VideoEvaluator([unclear], CLASSES[:1], protocol, streams=("rgb",))
        evaluator.update(replace(found, probabilities={"rgb": np.ones(1, np.float32)}))
        means[name] = evaluator.compute()["detection"]["mAP"]["0.50"]
    assert means["thumos14-2015"] == means["thumos14-2014"] == 1.0
    assert means["thumos14-213"] == 0.5


def test_attention_inside_and_outside_segments_is_a_mean_over_the_videos() -> None:
    """In units of 1 / n; a video without background, or without segments, has no ratio."""
    rising = np.arange(12, dtype=np.float32) / 66
    inside, outside = 12 * rising[3:6].mean(), 12 * np.delete(rising, slice(3, 6)).mean()
    videos = [*RECORDS[:2], record("whole", "run", (0.0, 2.0)), record("none", "run")]
    results = [result(one.id, 0.5) for one in videos]
    results[0] = replace(results[0], attention={"rgb": rising, "flow": rising[::-1]})
    results[1] = replace(results[1], attention={"rgb": np.full(12, 1 / 12, np.float32), "flow": rising})
    results[2] = replace(results[2], attention={"rgb": rising, "flow": rising})
    results[3] = replace(results[3], attention={"rgb": rising, "flow": rising})
    results = [
        replace(one, probabilities={"rgb": one.probabilities["rgb"], "flow": one.probabilities["rgb"]})
        for one in results
    ]
    found = evaluate(videos, results, ("rgb", "flow")).compute()["attention"]
    assert found["rgb"]["inside"] == pytest.approx((inside + 1) / 2)
    assert found["rgb"]["outside"] == pytest.approx((outside + 1) / 2)
    assert found["rgb"]["ratio"] == pytest.approx((inside + 1) / (outside + 1))
    backwards = 12 * rising[::-1][3:6].mean()
    assert found["flow"]["inside"] == pytest.approx((backwards + 12 * rising[6:].mean()) / 2)
    assert evaluate(RECORDS, []).compute()["attention"] == {}


def test_the_submission_has_every_detection_as_it_is_the_best_first() -> None:
    submission = evaluate(RECORDS, RESULTS).submission()
    score = float(np.float32(0.7))  # not rounded: the file scores as the run does
    assert submission["results"] == {
        "v0": [{"label": "jump", "segment": [0.5, 1.0], "score": score}],
        "v1": [
            {"label": "run", "segment": [0.0, 1.0], "score": score},
            {"label": "run", "segment": [1.0, 2.0], "score": 0.5},
        ],
    }
    assert submission["version"] == "VERSION 1.3"
    assert submission["external_data"]["used"] is True


def test_the_submission_gives_the_same_metrics_with_ties(tmp_path: Path) -> None:
    """The order of equal scores and of equal tIoUs decides, and it is that of the file."""
    rng = np.random.default_rng(0)
    moments = [(k / 6, (k + 1) / 6) for k in range(0, 40, 2)]
    records = [record(f"v{k}", "jump", *moments) for k in rng.permutation(20)]
    found = []
    for one in records:
        starts = 2 * rng.integers(0, 18, 12)
        runs = [(0, k, k + rng.integers(1, 6), float(rng.choice([0.25, 0.5]))) for k in starts.tolist()]
        found.append(result(one.id, 0.9, *runs, length=40))
    evaluator = evaluate(records, found)
    database = {
        one.id: {
            "duration": 7.0,
            "subset": "test",
            "annotations": [{"label": s.label, "segment": [s.start_s, s.end_s]} for s in one.segments],
        }
        for one in records
    }
    (tmp_path / "truth.json").write_text(json.dumps({"database": database}))
    (tmp_path / "detections.json").write_text(json.dumps(evaluator.submission()))
    truth = read_ground_truth(tmp_path / "truth.json", DEMO)
    read = read_predictions(tmp_path / "detections.json", truth, classify=False, swap=False)
    scored = DEMO.detection_metrics(read.segments, truth.segments, truth.classes)
    assert evaluator.compute()["detection"] == scored
    assert scored["tie_sensitivity"]["0.10"] > 0


def test_the_grid_of_a_video_says_when_its_detections_are() -> None:
    shifted = replace(RESULTS[0], grid=TimeGrid(rate_hz=2.0, offset_s=0.5))
    (found,) = evaluate(RECORDS, [shifted]).submission()["results"]["v0"]
    assert found["segment"] == [1.75, 3.25], "a quarter of a second later than at the default offset"


def test_the_confusion_is_that_of_the_last_stream() -> None:
    both = [
        replace(
            one, probabilities={"rgb": one.probabilities["rgb"], "fusion": one.probabilities["rgb"][::-1]}
        )
        for one in RESULTS
    ]
    unlabelled = replace(RECORDS[0], id="x", labels=())
    videos = [*RECORDS, unlabelled]
    both.append(replace(both[0], id="x"))
    classes, true, recognised = evaluate(videos, both, ("rgb", "fusion")).confusion()
    assert classes == list(CLASSES)
    assert list(zip(true, recognised, strict=True)) == [("jump", "run"), ("run", "run")]


def test_loggers_get_one_name_a_number() -> None:
    metrics = evaluate(RECORDS, RESULTS).compute()
    flat = flat_metrics(metrics)
    assert flat["mAP/0.50"] == metrics["detection"]["mAP"]["0.50"]
    assert flat["average_mAP"] == metrics["detection"]["average_mAP"]
    assert flat["rgb/accuracy"] == metrics["recognition"]["rgb"]["accuracy"]
    assert flat["attention/rgb/ratio"] == metrics["attention"]["rgb"]["ratio"] == pytest.approx(1)
    assert all(isinstance(value, float) for value in flat.values())


NUM_VIDEOS = 7


def many() -> tuple[list[VideoRecord], list[VideoResult]]:
    """Seven videos, of some no detections, with random attention."""
    records, results = [], []
    for number in range(NUM_VIDEOS):
        rng = np.random.default_rng(number)
        records.append(record(f"v{number}", CLASSES[number % 2], (0.5, 1.0)))
        starts = rng.integers(0, 6, number % 3)
        runs = [(number % 2, int(start), int(start) + 4, float(rng.random())) for start in starts]
        one = result(f"v{number}", float(rng.random()), *runs)
        results.append(replace(one, attention={"rgb": rng.random(12).astype(np.float32)}))
    return records, results


def process(rank: int, folder: str) -> None:
    """Each has four of seven videos: the first comes twice, as DistributedSampler gives it."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    records, results = many()
    mine = [results[i % NUM_VIDEOS] for i in range(rank, NUM_VIDEOS + 1, 2)]
    metrics = evaluate(records, mine).compute()
    Path(folder, f"{rank}.json").write_text(json.dumps(metrics))
    dist.destroy_process_group()


def without_attention(metrics: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in metrics.items() if key != "attention"}


def test_two_processes_give_what_one_gives(tmp_path: Path) -> None:
    mp.start_processes(process, args=(str(tmp_path),), nprocs=2, start_method="fork")  # imports nothing anew
    expected = evaluate(*many()).compute()
    for rank in range(2):
        found = json.loads((tmp_path / f"{rank}.json").read_text())
        assert without_attention(found) == without_attention(expected)
    assert 0 < expected["detection"]["average_mAP"] < 1


def test_a_video_given_twice_counts_once() -> None:
    records, results = many()
    twice, once = evaluate(records, [*results, results[4], results[1]]), evaluate(records, results)
    assert without_attention(twice.compute()) == without_attention(once.compute())
    assert twice.submission() == once.submission()


def test_the_attention_of_a_video_given_twice_counts_once() -> None:
    records, results = many()
    twice, once = evaluate(records, [*results, results[4]]), evaluate(records, results)
    assert twice.compute()["attention"] == once.compute()["attention"]
