import json
import pickle
from dataclasses import replace
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest

from tsrnet.core.errors import UserError
from tsrnet.datasets.records import Segment, VideoRecord
from tsrnet.synthetic.drawn_annotations import Statistics, drawn_collection, published_statistics
from tsrnet.synthetic.factors import family
from tsrnet.synthetic.simulated import (
    SimulatedStore,
    SimulationSettings,
    canonical_name,
    envelope,
    store_features,
)
from tsrnet.video.time_grid import TimeGrid

SETTINGS = SimulationSettings(seed=3, num_features=256)
CLASSES = ("Shot put", "Long jump", "Surfing", "Knitting")


def untrimmed(video_id="a", label="Shot put", duration_s=60.0):
    segments = (Segment(10.0, 20.0, label), Segment(35.0, 45.0, label))
    return VideoRecord(video_id, "training", duration_s, (label,), segments)


def store(*records, settings=SETTINGS, trimmed=False, **options):
    return SimulatedStore(records, settings, trimmed=trimmed, **options)


@pytest.mark.parametrize("stream", ["rgb", "flow"])
def test_the_same_video_reads_the_same_whatever_was_read_before(stream):
    one, other = store(untrimmed("a")), store(untrimmed("b"), untrimmed("a"))
    other.read(stream, "b")
    np.testing.assert_array_equal(one.read(stream, "a"), other.read(stream, "a"))


def test_seed_id_and_stream_each_change_the_features():
    videos = store(untrimmed("a"), untrimmed("b"))
    base = videos.read("rgb", "a")
    others = [
        videos.read("rgb", "b"),
        videos.read("flow", "a"),
        store(untrimmed("a"), settings=replace(SETTINGS, seed=4)).read("rgb", "a"),
    ]
    for other in others:
        assert other.shape == base.shape
        assert np.abs(np.corrcoef(base.mean(axis=0), other.mean(axis=0))[0, 1]) < 0.98
        assert np.mean(np.isclose(base, other) & (base > 0)) < 0.01


@pytest.mark.parametrize(
    ("duration_s", "num_snippets"), [(60.0, 360), (0.05, 2), (117.34, 704), (400.0, 2400)]
)
def test_snippets_are_six_a_second_and_at_least_2(duration_s, num_snippets):
    features = store(untrimmed(duration_s=duration_s)).read("rgb", "a")
    assert features.shape == (num_snippets, SETTINGS.num_features)
    assert features.dtype == np.float32
    assert features.min() == 0
    assert np.isfinite(features).all()


def test_a_clip_without_duration_lasts_2_to_15_seconds_in_both_streams():
    clips = [VideoRecord(f"c{i}", "training", None, ("Surfing",), ()) for i in range(30)]
    videos = store(*clips, trimmed=True)
    lengths = [len(videos.read("rgb", clip.id)) for clip in clips]
    assert lengths == [len(videos.read("flow", clip.id)) for clip in clips]
    assert min(lengths) >= 12
    assert max(lengths) <= 90
    assert len(set(lengths)) > 10


@pytest.mark.parametrize("stream", ["rgb", "flow"])
def test_what_other_videos_of_a_class_show_finds_its_segments(stream):
    records = [untrimmed(f"{label}{i}", label) for label in CLASSES for i in range(12)]
    videos = store(*records)
    inside = TimeGrid().inside([(10, 20), (35, 45)], 360)
    features = {record.id: videos.read(stream, record.id) for record in records}
    actions = {key: x[inside].mean(axis=0) - x[~inside].mean(axis=0) for key, x in features.items()}
    correct, order = [], []
    for record in records:
        means = {
            label: np.mean(
                [actions[r.id] for r in records if r.labels == (label,) and r is not record], axis=0
            )
            for label in CLASSES
        }
        distances = {label: np.linalg.norm(actions[record.id] - mean) for label, mean in means.items()}
        correct.append(min(distances, key=distances.__getitem__) == record.labels[0])
        scores = features[record.id] @ means[record.labels[0]]
        order.append((scores[inside, None] > scores[None, ~inside]).mean())  # area under the ROC
    assert np.mean(correct) > 0.4  # chance: 0.25
    assert 0.65 < np.mean(order) < 0.97  # chance: 0.5; nothing real is told apart without error


def correlation(settings, stream, lag, *, count=12, num_snippets=600):
    """Of snippets without any action, over `lag` snippets, about the mean of all videos."""
    records = [VideoRecord(str(i), "s", num_snippets / 6, (chr(97 + i),), ()) for i in range(count)]
    videos = store(*records, settings=settings)
    features = np.stack([videos.read(stream, record.id) for record in records])
    features -= features.mean(axis=(0, 1))
    return (features[:, lag:] * features[:, :-lag]).mean() / (features**2).mean()


def only(stream, **parts):
    """Settings with only the parts named, and with a bias that keeps the ReLU out of the way."""
    none = dict.fromkeys(
        ("bias_spread", "action", "any_action", "own_action", "scene", "shot", "flicker"), 0.0
    )
    stream_settings = replace(getattr(SETTINGS, stream), **(none | {"bias": 9.0} | parts))
    return replace(SETTINGS, **{stream: stream_settings})


@pytest.mark.parametrize(("stream", "flicker_s"), [("rgb", 0.6), ("flow", 0.13)])
def test_flicker_is_correlated_over_its_time(stream, flicker_s):
    settings = only(stream, flicker=1.0)
    assert getattr(settings, stream).flicker_s == flicker_s
    for lag in (1, 3, 6):
        assert correlation(settings, stream, lag) == pytest.approx(np.exp(-lag / 6 / flicker_s), abs=0.04)


def test_shots_last_as_long_as_asked_and_are_cut_in_both_streams_at_once():
    settings = replace(only("rgb", shot=1.0), shot_s=2.0)
    assert correlation(settings, "rgb", 6) == pytest.approx(np.exp(-0.5), abs=0.05)
    settings = replace(settings, flow=only("flow", shot=1.0).flow)
    videos = store(untrimmed(duration_s=300.0), settings=settings)
    cuts = [
        np.abs(np.diff(videos.read(stream, "a"), axis=0)).sum(axis=1) > 1e-3 for stream in ("rgb", "flow")
    ]
    np.testing.assert_array_equal(*cuts)
    assert cuts[0].sum() == pytest.approx(150, abs=40)


@pytest.mark.parametrize("stream", ["rgb", "flow"])
def test_strengths_are_standard_deviations_of_a_feature(stream):
    records = [VideoRecord(str(i), "s", 100.0, (chr(97 + i),), ()) for i in range(26)]
    for part in ("shot", "flicker"):
        videos = store(*records, settings=only(stream, **{part: 0.8}))
        spread = np.concatenate([videos.read(stream, record.id) for record in records]).std(axis=0)
        assert np.sqrt(np.mean(spread**2)) == pytest.approx(0.8, rel=0.15), part


@pytest.mark.parametrize(
    ("stream", "neighbours", "a_second", "zeros"), [("rgb", 0.92, 0.72, 0.47), ("flow", 0.32, 0.13, 0.78)]
)
def test_background_is_correlated_and_as_sparse_as_fitted(stream, neighbours, a_second, zeros):
    assert correlation(SETTINGS, stream, 1) == pytest.approx(neighbours, abs=0.05)
    assert correlation(SETTINGS, stream, 6) == pytest.approx(a_second, abs=0.06)
    assert np.mean(store(untrimmed()).read(stream, "a") == 0) == pytest.approx(zeros, abs=0.07)


def test_trimmed_clips_lie_apart_from_the_same_moments_untrimmed():
    label, ids = "Surfing", [str(i) for i in range(20)]
    records = [VideoRecord(i, "s", 10.0, (label,), (Segment(-1.0, 11.0, label),)) for i in ids]

    def mean(settings, trimmed):
        videos = store(*records, settings=settings, trimmed=trimmed)
        return np.mean([videos.read("rgb", i).mean(axis=0) for i in ids], axis=0)

    without = replace(SETTINGS, rgb=replace(SETTINGS.rgb, shift=0.0))
    np.testing.assert_array_equal(mean(without, True), mean(without, False))
    assert np.abs(mean(SETTINGS, True) - mean(SETTINGS, False)).mean() > 0.05


def test_labels_of_one_action_share_their_direction():
    assert canonical_name("Shot put") == canonical_name("Shotput") == "shotput"
    by_name = store(untrimmed(label="Sumo"), canonical={"Sumo": "SumoWrestling"})
    np.testing.assert_array_equal(
        by_name.read("flow", "a"), store(untrimmed(label="Sumo wrestling")).read("flow", "a")
    )
    assert not np.array_equal(by_name.read("flow", "a"), store(untrimmed(label="Sumo")).read("flow", "a"))


def test_streams_confuse_different_classes():
    names = [canonical_name(label) for label in published_statistics("thumos14").classes]
    same = {}
    for stream in ("rgb", "flow"):
        families = [family(SETTINGS.seed, stream, name) for name in names]
        same[stream] = {pair for pair in combinations(range(20), 2) if len({families[i] for i in pair}) == 1}
    assert same["rgb"] - same["flow"]
    assert same["flow"] - same["rgb"]
    assert len(same["rgb"] & same["flow"]) < min(len(pairs) for pairs in same.values()) / 2


def test_an_envelope_rises_and_falls_inside_its_segment_only():
    seen = envelope([Segment(10.0, 14.0, "x"), Segment(50.0, 55.0, "x")], 120)
    assert seen[:60].max() == 0
    assert seen[84:].max() == 0
    assert seen.max() == 1
    assert 0 < seen[60] < seen[63]
    assert 0 < seen[83] < seen[80]


def test_a_store_travels_to_workers_small_and_says_the_same():
    videos = store(untrimmed())
    features = videos.read("rgb", "a")
    data = pickle.dumps(videos)
    assert len(data) < 5_000  # after a read: it kept no array
    np.testing.assert_array_equal(pickle.loads(data).read("rgb", "a"), features)


def test_the_identity_says_simulated_and_tells_settings_apart():
    identity = store(untrimmed()).identity
    assert identity["simulated"] is True
    assert identity["rate_hz"] == 6
    assert json.loads(json.dumps(identity)) == identity
    assert store(untrimmed(), settings=replace(SETTINGS, seed=9)).identity != identity
    assert store(untrimmed(), trimmed=True).identity != identity
    assert store(untrimmed(duration_s=59.0)).identity != identity
    assert store(untrimmed()).time_grid("a", 99, None) == TimeGrid(6)


def test_an_unknown_video_is_named():
    with pytest.raises(UserError, match="nobody"):
        store(untrimmed()).read("rgb", "nobody")


@pytest.mark.parametrize(
    ("name", "num_classes", "num_train", "num_test"),
    [("thumos14", 20, 200, 210), ("activitynet", 200, 10_024, 4_926), ("ucf101", 101, 9_537, 3_783)],
)
def test_published_statistics_have_the_published_sizes(name, num_classes, num_train, num_test):
    facts = published_statistics(name)
    assert len(set(facts.classes)) == num_classes
    assert (sum(facts.train_videos), sum(facts.test_videos)) == (num_train, num_test)
    assert min(facts.train_videos) > 0


def test_drawn_annotations_are_like_what_was_asked():
    facts = Statistics(("A", "B"), (300, 100), (2, 1), 8.0, 0.2, (200.0, 150.0))
    drawn = drawn_collection("x", seed=1, statistics=facts)
    assert drawn == drawn_collection("x", seed=1, statistics=facts)
    assert drawn != drawn_collection("x", seed=2, statistics=facts)
    assert (len(drawn.train), len(drawn.test)) == (400, 3)
    assert "SIMULATED" in drawn.remarks[0]
    assert len({record.id for record in (*drawn.train, *drawn.test)}) == 403
    assert sum(record.labels == ("A",) for record in drawn.train) == 300
    for record in drawn.train:
        times = [time for segment in record.segments for time in (segment.start_s, segment.end_s)]
        assert times == sorted(times)
        assert times[0] >= 0
        assert times[-1] <= record.duration_s
    lengths = [s.end_s - s.start_s for record in drawn.train for s in record.segments]
    assert np.mean([record.duration_s for record in drawn.train]) == pytest.approx(200, rel=0.15)
    assert len(lengths) / 400 == pytest.approx(8, rel=0.15)
    assert np.mean(lengths) == pytest.approx(5, rel=0.15)


def test_drawn_clips_are_trimmed():
    facts = Statistics(("A",), (3,), (1,), 0.0, 0.0, None)
    for clip in drawn_collection("x", seed=0, statistics=facts).train:
        assert not clip.segments
        assert 2 <= clip.duration_s <= 15


def test_statistics_of_an_unknown_dataset_list_the_known():
    with pytest.raises(UserError, match="activitynet, thumos14, ucf101"):
        published_statistics("nothing")


def test_stored_features_are_the_simulated_ones_and_are_written_once(tmp_path):
    source = store(untrimmed("a"), untrimmed("b"), settings=replace(SETTINGS, store=True))
    files = store_features(source, ("rgb", "flow"), tmp_path)
    for stream in ("rgb", "flow"):
        for video_id in source.ids:
            stored = files.read(stream, video_id)
            assert stored.dtype == np.float16
            np.testing.assert_allclose(stored, source.read(stream, video_id), rtol=1e-3, atol=1e-6)
    kept, gone = files.path("rgb", "a"), files.path("flow", "b")
    before = kept.stat().st_mtime_ns
    gone.unlink()
    assert store_features(source, ("rgb", "flow"), tmp_path).folder == files.folder
    assert gone.is_file()
    assert kept.stat().st_mtime_ns == before
    assert files.identity != source.identity  # float16 is not what a run without files trains on
    moved = store(untrimmed("a"), untrimmed("b", duration_s=61.0))
    assert store_features(moved, ("rgb",), tmp_path).folder != files.folder


def test_a_disk_that_is_too_small_is_said_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10_000))
    with pytest.raises(UserError, match=r"need 0 MB.*paths\.features"):
        store_features(store(untrimmed("a")), ("rgb",), tmp_path)
    assert not list(tmp_path.rglob("*.npy"))
