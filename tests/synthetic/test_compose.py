"""Composed videos: the plan keeps clips and groups apart, the ground truth is that of the pixels."""

from __future__ import annotations

import csv
import json
import os
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import pytest

from tsrnet.core.cli import conf_folder
from tsrnet.core.errors import UserError
from tsrnet.core.settings import settings_of
from tsrnet.datasets.activitynet_layout import read_activitynet_json
from tsrnet.datasets.labels import read_labels
from tsrnet.pipeline.config import RunConfig
from tsrnet.pipeline.sections import dataset_of
from tsrnet.pipeline.sources import ComposedSettings
from tsrnet.synthetic.compose import ComposeSettings, compose
from tsrnet.synthetic.compose_plan import Clip, PlanSettings, make_plan
from tsrnet.synthetic.compose_record import Plan
from tsrnet.synthetic.compose_video import fit_frame
from tsrnet.video.reader import VideoFrames
from tsrnet.video.writer import write_video

REAL = Path(__file__).parents[3] / "shared" / "data" / "real"
CLASSES = ("Hop", "Run", "Swim")
SETTINGS = PlanSettings(0, 24, 16, 0.4, 8.0, 10.0, 40.0)


def clips_of(*labels: str | None, groups: int = 10, per_group: int = 3) -> list[Clip]:
    """Clips of 2 to 12 s."""
    rng = np.random.default_rng(len(labels))
    return [
        Clip(f"{label}/g{g}_c{c}", f"{label}_g{g}", int(rng.integers(60, 360)), label)
        for label in labels
        for g in range(groups)
        for c in range(per_group)
    ]


def plan_of(settings: PlanSettings = SETTINGS, **groups: int) -> tuple[Plan, list[Clip], list[Clip]]:
    clips, background = clips_of(*CLASSES, **groups), clips_of(None)
    return make_plan(clips, background, CLASSES, settings), clips, background


@pytest.mark.parametrize("seed", range(4))
def test_clips_of_a_group_are_in_one_part_only(seed: int) -> None:
    plan, clips, background = plan_of(PlanSettings(seed, 24, 16, 0.4, 8.0, 10.0, 40.0))
    group = {clip.name: clip.group for clip in (*clips, *background)}
    parts = {"trimmed": {group[name] for names in plan.trimmed.values() for name in names}}
    for video in plan.videos:
        parts.setdefault(video.subset, set()).update(group[part.clip] for part in video.parts)
    assert set(parts) == {"trimmed", "training", "validation"}
    assert max(Counter(name for names in parts.values() for name in names).values()) == 1
    for label in CLASSES:
        assert Counter(name.split("_")[0] for name in parts["trimmed"])[label] == 4  # of 10 groups
        assert len(plan.trimmed[label]) == 12  # whole groups


def test_a_group_may_have_clips_of_several_classes() -> None:
    clips = [Clip(f"{label}/{i}", f"scene {i}", 90, label) for label in CLASSES for i in range(6)]
    plan = make_plan(clips, clips_of(None), CLASSES, SETTINGS)
    kept = {name.split("/")[1] for names in plan.trimmed.values() for name in names}
    shown = {p.clip.split("/")[1] for video in plan.videos for p in video.parts if p.label}
    assert kept
    assert not kept & shown


def test_the_plan_follows_from_the_seed_whatever_the_order_of_the_files() -> None:
    plan, clips, background = plan_of()
    for files in (clips, background):
        random.Random(1).shuffle(files)
    assert make_plan(clips, background, CLASSES[::-1], SETTINGS) == plan
    assert plan_of(PlanSettings(1, 24, 16, 0.4, 8.0, 10.0, 40.0))[0] != plan


@pytest.mark.parametrize("longest", [8.0, 17.0])
def test_videos_have_1_to_4_segments_between_backgrounds(longest: float) -> None:
    plan, clips, background = plan_of(PlanSettings(3, 240, 40, 0.4, longest, 10.0, 40.0))
    frames = {clip.name: clip.num_frames for clip in (*clips, *background)}
    labels = {clip.name: clip.label for clip in (*clips, *background)}
    numbers = Counter(len(video.segments) for video in plan.videos)
    assert set(numbers) == {1, 2, 3, 4}
    for subset, count in (("training", 240), ("validation", 40)):
        classes = [{s.label for s in video.segments} for video in plan.videos if video.subset == subset]
        assert Counter(map(len, classes)) == {1: count * 3 / 4, 2: count / 4}
        videos = Counter(label for some in classes for label in some)
        assert set(videos) == set(CLASSES)
        assert max(videos.values()) - min(videos.values()) <= 0.1 * count
    for video in plan.videos:
        assert 10 <= video.duration_s <= 40
        assert video.parts[0].label is None
        assert video.parts[-1].label is None
        for part, following in zip(video.parts, video.parts[1:], strict=False):
            assert not (part.label and following.label)
        for part in video.parts:
            assert labels[part.clip] == part.label
            assert 0 <= part.start <= part.start + part.num_frames <= frames[part.clip]
            if part.label:
                assert part.num_frames == min(frames[part.clip], longest * 30)
            else:
                assert part.num_frames >= 15
        shown = [part.clip for part in video.parts if part.label]
        assert len(set(shown)) == len(shown)


def test_a_clip_is_shown_again_only_when_all_of_its_class_were_shown() -> None:
    plan, _, _ = plan_of(PlanSettings(0, 60, 3, 0.2, 8.0, 10.0, 40.0))
    for label in CLASSES:
        uses = Counter(p.clip for v in plan.videos if v.subset == "training" for p in v.parts)
        own = [count for name, count in uses.items() if name.startswith(label)]
        assert max(own) > 1
        assert max(own) - min(own) <= 2  # a clip is put back where the video has it already


def test_the_ground_truth_is_where_the_parts_are() -> None:
    plan, _, _ = plan_of()
    for video in plan.videos:
        now, found = 0, []
        for part in video.parts:
            if part.label:
                found.append((round(now / 30, 3), round((now + part.num_frames) / 30, 3), part.label))
            now += part.num_frames
        assert [(s.start_s, s.end_s, s.label) for s in video.segments] == found
        assert video.duration_s == round(now / 30, 3)


def test_background_of_a_class_is_for_its_videos() -> None:
    background = [*clips_of("Hop", groups=4), *clips_of(None, groups=4)]
    plan = make_plan(clips_of(*CLASSES), background, CLASSES, SETTINGS)
    hop_scenes = 0
    for video in plan.videos:
        scenes = {part.clip.split("/")[0] for part in video.parts if part.label is None}
        hop_scenes += "Hop" in scenes
        assert "Hop" not in scenes or "Hop" in {s.label for s in video.segments}
    assert hop_scenes


def test_classes_with_too_few_groups_are_named_with_their_counts() -> None:
    clips = [*clips_of("Run"), *clips_of("Hop", groups=2, per_group=5)]
    with pytest.raises(UserError, match=r"'Hop' \(10 clips in 2 groups, none for test\), ") as caught:
        make_plan(clips, clips_of(None), ("Hop", "Run", "Swim"), SETTINGS)
    assert "'Swim' (0 clips in 0 groups, none for the teacher and training and test)" in str(caught.value)
    with pytest.raises(UserError, match=r"background: got 3 clips that can be used, none for test"):
        make_plan(clips_of(*CLASSES), clips_of(None, groups=1), CLASSES, SETTINGS)


@pytest.mark.parametrize(("fit", "bars"), [("crop", 0), ("letterbox", 30)])
def test_frames_of_any_shape_keep_theirs(fit: Any, bars: int) -> None:
    frame = np.full((90, 160, 3), 200, np.uint8)
    frame[:, 75:85] = 20  # a bar of 10 of 160 columns in the middle
    fitted = fit_frame(frame, 320, 240, fit)
    assert fitted.shape == (240, 320, 3)
    assert (fitted[:bars] == 0).all()
    assert (fitted[bars + 2 : 240 - bars - 2, 5] == 200).all()
    dark = np.flatnonzero(fitted[120, :, 0] < 110)
    assert (dark.min() + dark.max() + 1) / 2 == pytest.approx(160, abs=1)
    assert len(dark) == pytest.approx(20 if fit == "letterbox" else 10 * 240 / 90, abs=1)
    np.testing.assert_array_equal(fit_frame(frame, 160, 90, fit), frame)


def colour(*key: int) -> np.ndarray:
    """Of a clip: far from that of the others."""
    return np.random.default_rng(key).permutation([30, 60, 90, 120, 150, 180, 210])[:3].astype(np.uint8)


def write_clip(path: Path, key: tuple[int, ...], seconds: float, rate_hz: int = 30) -> None:
    """Plain, of the clip's colour; the left half becomes brighter from frame to frame."""
    path.parent.mkdir(parents=True, exist_ok=True)

    def frame(index: int) -> np.ndarray:
        image = np.tile(colour(*key), (48, 64, 1))
        image[:, :32] = min(255, 2 * index * 30 // rate_hz)
        return image

    write_video(path, map(frame, range(int(seconds * rate_hz))), frame_rate_hz=rate_hz)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`clips` of two classes in UCF101's names and of a third class; `scenes`, a clip that is cut off."""
    root = tmp_path_factory.mktemp("source")
    for number, label in enumerate(("Hop", "Run", "Rest")):
        for group in range(4):
            path = root / "clips" / label / f"v_{label}_g0{group}_c01.mp4"
            write_clip(path, (number, group), 1.5 + 0.5 * group, rate_hz=(30, 25)[group % 2])
    for number in range(3):
        write_clip(root / "scenes" / f"{number}.mp4", (7, number), 4 - number)
    whole = root / "clips" / "Hop" / "v_Hop_g00_c01.mp4"
    (root / "clips" / "Hop" / "v_Hop_g09_c01.mp4").write_bytes(whole.read_bytes()[:1500])
    return root


def settings(source: Path, output: Path, **values: Any) -> ComposeSettings:
    given = {
        "clips": str(source / "clips"),
        "background": str(source / "scenes"),
        "output": str(output),
        "classes": ["Run", "Hop"],
        "num_train": 2,
        "num_test": 2,
        "max_segment_s": 2.0,
        "width": 64,
        "height": 48,
        "workers": 1,
        **values,
    }
    with hydra.initialize_config_dir(str(conf_folder()), version_base="1.3"):
        config = hydra.compose("compose")
    return settings_of(ComposeSettings, {**config, **given}, where="")


@pytest.fixture(scope="module")
def composed(source: Path, command: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command writes, and prints to `out.txt` beside it."""
    output = tmp_path_factory.mktemp("composed") / "set"
    result = command(
        "compose",
        *(f"clips={source}/clips", f"background={source}/scenes", f"output={output}", "classes=[Run,Hop]"),
        *("num_train=2", "num_test=2", "max_segment_s=2.0", "width=64", "height=48", "workers=1"),
        folder=source,
    )
    assert result.code == 0, result.err
    (output.parent / "out.txt").write_text(result.out)
    return output


def test_the_middle_of_each_part_is_a_frame_of_its_clip(source: Path, composed: Path) -> None:
    videos = {v["id"]: v for v in json.loads((composed / "composed.json").read_text())["videos"]}
    annotated = {r.id: r for r in read_activitynet_json(composed / "annotations.json").records}
    assert set(videos) == set(annotated)
    assert len(videos) == 4
    for name, video in videos.items():
        frames, now_s, segments = VideoFrames(composed / "untrimmed" / f"{name}.mp4"), 0.0, []
        for part in video["parts"]:
            length_s = part["num_frames"] / 30
            if part["label"] is None:
                key = (7, int(Path(part["clip"]).stem))
            else:
                key = (["Hop", "Run"].index(part["label"]), int(part["clip"].split("_g0")[1][0]))
                segments.append((now_s, now_s + length_s, part["label"]))
            index = round((now_s + length_s / 2) * 30)
            (image,) = frames.read(index, index + 1, resize=(48, 64), crop=48)
            np.testing.assert_allclose(image[10:-10, -6:].mean((0, 1)), colour(*key), atol=12)
            shown = part["start"] + part["num_frames"] // 2  # the number of the clip's frame
            assert image[10:-10, :10].mean() == pytest.approx(2 * shown, abs=8)
            now_s += length_s
        assert frames.duration_s == pytest.approx(annotated[name].duration_s, abs=1e-3)
        found = [(s.start_s, s.end_s, s.label) for s in annotated[name].segments]
        for one, other in zip(found, segments, strict=True):
            assert one == (pytest.approx(other[0], abs=2e-3), pytest.approx(other[1], abs=2e-3), other[2])


def test_the_files_beside_the_videos_agree(source: Path, composed: Path) -> None:
    dataset = read_labels(composed / "annotations.json", composed / "untrimmed")
    assert (len(dataset.train), len(dataset.test), dataset.remarks) == (2, 2, ())
    with (composed / "labels.csv").open() as file:
        rows = [(row["video"], row["label"]) for row in csv.DictReader(file)]
    assert rows == [(f"{r.id}.mp4", label) for r in dataset.train for label in r.labels]
    assert (composed / "overlap.csv").read_text() == "untrimmed,trimmed\nHop,Hop\nRun,Run\n"
    links = sorted((composed / "trimmed").glob("*/*"))
    assert {link.parent.name for link in links} == {"Hop", "Run"}
    for link in links:
        assert os.readlink(link) == str((source / "clips" / link.parent.name / link.name).resolve())


def test_clips_that_cannot_be_read_are_left_out_and_listed(composed: Path) -> None:
    plan = json.loads((composed / "composed.json").read_text())
    (reason,) = plan["left_out"].items()
    assert reason[0] == "clips/Hop/v_Hop_g09_c01.mp4"
    assert reason[1].startswith("it cannot be opened")
    out = (composed.parent / "out.txt").read_text()
    assert "2 training and 2 test videos of 2 classes" in out
    assert "1 clip left out, all in composed.json: 'clips/Hop/v_Hop_g09_c01.mp4: it cannot be opened" in out
    assert f"dataset=composed dataset.folder={composed}" in out


def test_a_second_run_makes_what_is_missing_and_changes_nothing(source: Path, composed: Path) -> None:
    def state() -> dict[Path, tuple[int, bytes]]:
        files = [path for path in composed.rglob("*") if path.is_file()]
        return {path: (path.lstat().st_mtime_ns, path.read_bytes()) for path in files}

    before = state()
    missing = composed / "untrimmed" / "composed_test_001.mp4"
    missing.unlink()
    compose(settings(source, composed))
    after = state()
    assert [path for path in before if after[path] != before[path]] == [missing]
    assert after[missing][1] == before[missing][1]
    assert set(after) == set(before)


def test_the_same_clips_elsewhere_give_the_same_plan(
    source: Path, composed: Path, linked: Callable[..., Path], tmp_path: Path
) -> None:
    for name in ("clips", "scenes"):
        linked(source / name, tmp_path / name)
    compose(settings(tmp_path, tmp_path / "set", workers=2))
    for name in ("composed.json", "annotations.json", "labels.csv", "untrimmed/composed_train_000.mp4"):
        assert (tmp_path / "set" / name).read_bytes() == (composed / name).read_bytes()


def test_classes_that_are_not_used_are_the_background(source: Path, tmp_path: Path) -> None:
    plan = compose(settings(source, tmp_path / "set", background=None))
    between = {p.clip.split("/")[0] for video in plan.videos for p in video.parts if p.label is None}
    assert between == {"Rest"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"seed": 1}, r"composed\.json: was composed with seed 0, not 1; remove the folder or give another"),
        ({"classes": ["Hop"]}, r"classes: got \['Hop'\], need null or a list of at least two classes"),
        ({"group": "("}, r"group: got '\(', need a regular expression"),
        ({"width": 63}, "width: got 63, need an even number"),
        ({"max_segment_s": 20}, "max_segment_s: got 20, need at most 17"),
        ({"clips": None}, "clips: got null, need a folder"),
        ({"output": "{source}"}, "got .*, which holds videos from elsewhere"),
        ({"output": "{new}", "classes": ["Hop", "Rum"]}, "classes: got label 'Rum', .* did you mean 'Run'"),
        ({"output": "{new}", "num_train": 1}, "num_train: got 1, need at least 2, one video a class"),
        ({"output": "{new}", "background": "{new}"}, "background: got .*, need a folder with videos"),
        ({"output": "{new}", "background": None, "classes": None}, "background: got null and every class"),
    ],
)
def test_mistakes_are_one_line(
    source: Path, composed: Path, tmp_path: Path, values: dict[str, Any], message: str
) -> None:
    (tmp_path / "elsewhere" / "untrimmed").mkdir(parents=True)
    places = {"{source}": str(tmp_path / "elsewhere"), "{new}": str(tmp_path / "new")}
    given = {key: places.get(str(value), value) for key, value in values.items()}
    with pytest.raises(UserError, match=message) as caught:
        compose(settings(source, Path(given.pop("output", composed)), **given))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "new").exists()


def test_a_clip_that_is_gone_is_named(source: Path, linked: Callable[..., Path], tmp_path: Path) -> None:
    for name in ("clips", "scenes"):
        linked(source / name, tmp_path / name)
    given = settings(tmp_path, tmp_path / "set")
    plan = compose(given)
    video, gone = plan.videos[0], tmp_path / "scenes" / plan.videos[0].parts[0].clip
    (tmp_path / "set" / "untrimmed" / f"{video.id}.mp4").unlink()
    gone.unlink()
    with pytest.raises(UserError, match=rf"{gone}: no such file, but it could be read when"):
        compose(given)
    assert not list((tmp_path / "set" / "untrimmed").glob(f"*{video.id}*"))


def composed_dataset(*overrides: str) -> ComposedSettings:
    with hydra.initialize_config_dir(str(conf_folder()), version_base="1.3"):
        config = hydra.compose("train", ["dataset=composed", *overrides])
    assert RunConfig.from_config(config).protocol == "tenths"
    dataset = dataset_of(config)
    assert isinstance(dataset, ComposedSettings)
    return dataset


def test_dataset_composed_reads_the_folder(composed: Path) -> None:
    found = composed_dataset(f"dataset.folder={composed}").read()
    assert found.class_map == {"Hop": "Hop", "Run": "Run"}
    assert found.trimmed is not None
    assert found.trimmed.classes == found.untrimmed.classes == ("Hop", "Run")
    for dataset in (found.untrimmed, found.trimmed):
        assert all(dataset.path(record.id).is_file() for record in (*dataset.train, *dataset.test))
    assert composed_dataset(f"dataset.folder={composed}", "transfer=none").read().trimmed is None


def test_sets_with_the_same_ids_do_not_share_features(source: Path, composed: Path, tmp_path: Path) -> None:
    compose(settings(source, tmp_path / "set", height=64))
    one, other = (composed_dataset(f"dataset.folder={f}").read() for f in (composed, tmp_path / "set"))
    assert [r.id for r in one.untrimmed.train] == [r.id for r in other.untrimmed.train]
    names = [dataset.name for pair in (one, other) for dataset in (pair.untrimmed, pair.trimmed) if dataset]
    assert len(set(names)) == 4


def test_dataset_composed_without_a_set_says_how_to_compose_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"annotations\.json; compose one: python -m tsrnet\.compose"):
        composed_dataset(f"dataset.folder={tmp_path}").read()


@pytest.mark.skipif(not REAL.is_dir(), reason="the real videos are not here")
def test_a_set_that_others_composed_is_read() -> None:
    found = composed_dataset(f"dataset.folder={REAL}").read()
    assert (len(found.untrimmed.train), len(found.untrimmed.test)) == (72, 60)
    assert found.trimmed is not None
    assert (len(found.trimmed.train), len(found.class_map)) == (157, 12)
    assert all(record.segments for record in found.untrimmed.test)
