"""Which stages a configuration needs, and that their keys tell apart all that weights depend on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from tsrnet.core.cli import conf_folder
from tsrnet.core.errors import UserError
from tsrnet.datasets.availability import Availability
from tsrnet.datasets.records import VideoDataset, VideoRecord
from tsrnet.features.store import FeatureStore
from tsrnet.models.registry import tsrnet_part
from tsrnet.pipeline.config import RunConfig
from tsrnet.pipeline.data import RunData, prepare_data
from tsrnet.pipeline.reopen import load_checkpoint
from tsrnet.pipeline.train_stages import StageSpec, load_stage, run_stage, stages_of
from tsrnet.synthetic.demo import draw_dataset, trimmed_scripts, untrimmed_scripts
from tsrnet.synthetic.drawn_annotations import Statistics, published_statistics
from tsrnet.training.module import TSRNetModule
from tsrnet.video.video_file import VideoFile

SIMULATED = ("dataset=thumos14", "features=simulated", "features.num_features=8")
FINETUNED = (
    "backbone.finetune=true",
    "dataset.num_train=6",
    "dataset.num_test=6",
    "trimmed.clips_per_class=1",
)


def composed(folder: Path, *overrides: str) -> DictConfig:
    with hydra.initialize_config_dir(str(conf_folder()), version_base="1.3"):
        return hydra.compose("train", [*overrides, f"paths.data={folder}"])


def few_videos(name: str) -> Statistics:
    """As published, with two training videos and one test video of each class."""
    whole = published_statistics(name)
    count = len(whole.classes)
    return replace(whole, train_videos=(2,) * count, test_videos=(1,) * count)


def draw_nothing(settings: Any, *, workers: int) -> Any:
    """The demo with empty files in place of videos."""
    scripts = {
        "untrimmed": [
            script
            for subset, count in (("training", settings.num_train), ("testing", settings.num_test))
            for script in untrimmed_scripts(settings.seed, subset, count)
        ],
        "trimmed": trimmed_scripts(settings.seed, settings.clips_per_class),
    }
    for kind, some in scripts.items():
        folder = Path(settings.folder) / kind
        folder.mkdir(parents=True, exist_ok=True)
        for script in some:
            (folder / f"{script.id}.mp4").touch()
    return draw_dataset(settings, workers=workers)


def extract_zeros(
    videos: Sequence[VideoFile], store: FeatureStore, backbones: Mapping[str, Any], *_: Any, what: str
) -> dict[str, str]:
    for video in videos:
        for stream in backbones:
            store.write(stream, video.id, np.zeros((2, 8), np.float16))
    return {}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """For data that is drawn in no time: few annotations, no pixels, features of zeros."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tsrnet.pipeline.sources.published_statistics", few_videos)
        patch.setattr("tsrnet.pipeline.sources.draw_dataset", draw_nothing)
        patch.setattr("tsrnet.pipeline.features.extract", extract_zeros)
        patch.setattr("tsrnet.pipeline.features.backbone_of", lambda config, stream: torch.nn.Identity())
        yield tmp_path_factory.mktemp("data")


_prepared: dict[Any, RunData] = {}


def specs(config: DictConfig, stream: str = "rgb") -> StageSpec:
    run = RunConfig.from_config(config)
    key = (run.dataset, run.features, run.paths.features, run.streams, run.protocol, run.holdout)
    if key not in _prepared:  # flips of what is no data use the same
        _prepared[key] = prepare_data(run)
    return stages_of(run, _prepared[key], stream)


ENUMERATED: dict[str, Any] = {
    "backbone.optimizer.name": "adamw",
    "batches.max_snippets": 300,
    "batches.snippets": "crop",
    "dataset.protocol": "activitynet",
    "dataset.test_list": "212",
    "dataset.weak_labels": "meta",
    "features.backbone": "resnet18",
    "features.crop": 48,
    "features.flow.backend": "tsrnet",
    "features.flow.median": 5,
    "features.flow.method": "dis",
    "features.weights": "IMAGENET1K_V1",
    "localization.activation": "centered",
    "localization.attention": "raw",
    "localization.nms": 0.5,
    "localization.rule": {"localization.rule": {"name": "wtalc"}},
    "localization.soft_nms": {"localization.soft_nms": 0.5, "localization.nms": None},
    "localization.score": "max",
    "localization.threshold": 0.3,
    "logger.entity": "me",
    "logger.group": "sweep",
    "logger.mode": "offline",
    "logger.name": "csv",
    "logger.tags": ["mine"],
    "loss.beta": 0.5,
    "loss.classification": "bce",
    "loss.sparsity": "l_half",
    "model.attention": "mean",
    "model.classification": "bce",
    "model.context": 9,
    "model.filter_kernel": 3,
    "model.hidden_size": 64,
    "model.kernel": 5,
    "model.merge": "mean",
    "model.pooling": "sum",
    "model.selection": "hard",
    "optimizer.name": "sgd",
    "recipe.activation": "centered",
    "recipe.attention": "max",
    "stream.names": ["rgb"],
    "stage2.name": "none",
    "teacher.attention": "self",
    "trainer.accelerator": "cpu",
    "trainer.gradient_clip": 1.0,
    "trainer.precision": "bf16-mixed",
    "trainer.strategy": "ddp",
    "transfer.bandwidth": 2.0,
    "transfer.classifier": "fresh",
    "transfer.kernels": 5,
    "trimmed.features": "other",
    "video.backend": "pyav",
}
"""Another value of a key; or of several, where one alone cannot change."""


def other_value(key: str, value: Any) -> dict[str, Any]:
    if key in ENUMERATED:
        other = ENUMERATED[key]
        return other if isinstance(other, dict) else {key: other}
    if isinstance(value, bool):
        return {key: not value}
    if isinstance(value, int):
        return {key: value + 1}
    if isinstance(value, float):
        return {key: value / 2 or 0.25}
    assert isinstance(value, str), f"{key}: the table above lacks another value for {value}"
    return {key: f"{value}_other"}


def leaves(config: DictConfig) -> dict[str, Any]:
    """Dotted key -> value, also where it comes from another key."""
    found: dict[str, Any] = {}

    def walk(node: Any, prefix: str) -> None:
        for key, value in node.items():
            if isinstance(value, dict):
                walk(value, f"{prefix}{key}.")
            else:
                found[f"{prefix}{key}"] = value

    walk(OmegaConf.to_container(config, resolve=True), "")
    return found


ALWAYS = (
    *("localization.*", "report.*", "logger.*", "paths.*", "video.*", "recipe.*", "stream.names"),
    "stage2.name",
    *(f"trainer.{name}" for name in ("accelerator", "devices", "strategy", "num_nodes", "checkpoint_every")),
    *("dataset.protocol", "dataset.videos", "trimmed.videos", "trimmed.features"),
)
"""What never changes the weights of a network of RGB."""
DRAWN = ("backbone.*", "dataset.annotations", "dataset.test_list", "dataset.weak_labels", "trimmed.*")
"""Annotations are drawn; nothing goes through a backbone."""
NO_OVERLAP = ("pretrain.max_steps",)
NO_TRANSFER = (
    "teacher.*",
    *(f"transfer.{name}" for name in ("bandwidth", "kernels", "per_class", "classifier")),
    *("transfer.temperature", "transfer.confidence"),
    *NO_OVERLAP,
)
RIVAL = (*NO_TRANSFER, "loss.*", *DRAWN)


@dataclass(frozen=True)
class Case:
    """A configuration; the keys that cannot change its key; those that cannot be flipped at all."""

    overrides: tuple[str, ...]
    no_effect: tuple[str, ...]
    fixed: tuple[str, ...] = ()


ALONE = ("features.name", "model.name", "backbone.finetune")
"""Another value needs other keys, too."""
CASES = {
    "tsrnet": Case((*SIMULATED, "pretrain=overlap30"), DRAWN, ALONE),
    "srnet": Case((*SIMULATED, "transfer=none"), (*DRAWN, *NO_TRANSFER), ALONE),
    "tsrnet_plus": Case((*SIMULATED, "model=tsrnet_plus"), (*DRAWN, *NO_OVERLAP), ALONE),
    **{
        name: Case(
            (*SIMULATED, f"model={name}"),
            RIVAL,
            (
                *ALONE,
                "transfer.fc1",
                "transfer.fc2",
                "transfer.distill",
                "pretrain.overlap",
            ),  # a rival has none
        )
        for name in ("stpn", "untrimmednet", "wtalc", "basnet")
    },
    "finetuned": Case(
        FINETUNED,
        (
            *NO_OVERLAP,
            *("dataset.name", "dataset.folder", "dataset.num_test"),
            *("features.name", "features.workers", "features.flow.store", "features.flow.weights"),
            *("backbone.optimizer.learning_rate.flow", "backbone.chunk", "backbone.checkpointing"),
        ),
        ("model.name", "dataset.size"),
    ),
}


def flips(folder: Path, case: Case) -> Iterator[tuple[str, DictConfig]]:
    base = composed(folder, *case.overrides)
    for number, (key, value) in enumerate(leaves(base).items()):
        if key in case.fixed:
            continue
        config = base.copy()
        changed = other_value(key, value)
        if key == "dataset.name" and "overlap" in base.dataset:
            changed = {key: "activitynet", "dataset.overlap": "activitynet"}
        if key == "dataset.overlap":  # a pair less than the list that comes with the package
            pairs = folder / "pairs.csv"
            pairs.write_text("untrimmed,trimmed\nDiving,Diving\nBilliards,Billiards\n")
            changed = {key: str(pairs)}
        for name, other in changed.items():
            OmegaConf.update(config, name, other)
        if key.startswith(("dataset.", "features.", "trimmed.")):  # stores and demos refuse other settings
            config.paths.data = str(folder / f"flip{number}")
        yield key, config


@pytest.mark.parametrize("name", CASES)
def test_a_stage_is_another_where_a_setting_changes_its_weights_and_nowhere_else(
    folder: Path, name: str
) -> None:
    case = CASES[name]
    no_effect = (*ALWAYS, *case.no_effect)
    before = specs(composed(folder, *case.overrides)).key
    changed: set[str] = set()
    same: set[str] = set()
    for key, config in flips(folder, case):
        (changed if specs(config).key != before else same).add(key)
    expected = {key for key in changed | same if any(fnmatch(key, pattern) for pattern in no_effect)}
    wrong = {"trained again without need": changed & expected, "taken for the same": same - expected}
    assert not any(wrong.values()), wrong
    assert len(changed) > 15
    unused = [pattern for pattern in no_effect if not any(fnmatch(key, pattern) for key in same)]
    assert set(unused) <= set(ALWAYS), "a pattern above that matches no key"


def test_demos_of_other_pixels_train_other_networks(folder: Path) -> None:
    keys = {specs(composed(folder / size, *FINETUNED, f"dataset.size={size}")).key for size in ("112", "64")}
    assert len(keys) == 2


def test_the_teacher_depends_on_nothing_that_its_training_lacks(folder: Path) -> None:
    """A sweep over α, β or the transfer trains one teacher; the localisation is no part of any stage."""

    base = composed(folder, *SIMULATED)

    def teacher(config: DictConfig, **changed: Any) -> str:
        config = config.copy()
        for key, value in changed.items():
            OmegaConf.update(config, key, value)
        found = specs(config).teacher
        assert found
        return found.key

    own = teacher(base)
    same: dict[str, Any] = {
        "loss.alpha": 7,
        "loss.beta": 0.5,
        "loss.sparsity": "l_half",
        "transfer.fc1": 0.5,
        "transfer.distill": 0.5,
        "transfer.bandwidth": 2.0,
        "transfer.kernels": 5,
        "transfer.per_class": False,
        "transfer.classifier": "fresh",
        "trainer.max_steps": 7,
        "pretrain.overlap": True,
        "localization.theta": 0.25,
    }
    assert [key for key, value in same.items() if teacher(base, **{key: value}) != own] == []
    assert teacher(composed(folder, *SIMULATED, "model=tsrnet_plus")) == own
    others: dict[str, Any] = {
        "teacher.max_steps": 7,
        "teacher.attention": "self",
        "seed": 1,
        "loss.classification": "bce",
        "model.dropout": 0.25,
        "optimizer.learning_rate": 0.5,
        "optimizer.batch_size": 8,
        "trainer.precision": "bf16-mixed",
        "features.seed": 1,
    }
    keys = {own, *(teacher(base, **{key: value}) for key, value in others.items())}
    assert len(keys) == 1 + len(others)


def test_each_model_has_a_key_of_its_own(folder: Path) -> None:
    models = ("tsrnet", "two_stream", "tsrnet_plus", "stpn", "untrimmednet", "wtalc", "basnet")
    keys = {specs(composed(folder, *SIMULATED, f"model={name}", "transfer=none")).key for name in models}
    assert len(keys) == len(models)


def chain(spec: StageSpec) -> list[str]:
    return [key.rpartition("-")[0] for key in spec.keys]


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ((), ["teacher-rgb", "tsrnet-rgb"]),
        (("transfer=none",), ["tsrnet-rgb"]),
        (("transfer=distill",), ["teacher-rgb", "tsrnet-rgb"]),
        (("pretrain=overlap30",), ["teacher-rgb", "overlap-rgb", "tsrnet-rgb"]),
        (("pretrain=overlap30", "transfer=none"), ["overlap-rgb", "tsrnet-rgb"]),
        (("model=stpn",), ["tsrnet-rgb"]),
    ],
)
def test_a_configuration_names_its_stages_in_order(
    folder: Path, overrides: tuple[str, ...], expected: list[str]
) -> None:
    assert chain(specs(composed(folder, *SIMULATED, *overrides))) == expected


def test_each_stage_has_its_own_steps_data_and_losses(folder: Path) -> None:
    given = ("pretrain=overlap30", "pretrain.max_steps=40", "teacher.max_steps=30", "trainer.max_steps=50")
    last = specs(composed(folder, *SIMULATED, *given, "loss.alpha=7", "loss.beta=0.5"))
    teacher, start = last.teacher, last.start
    assert teacher
    assert start
    assert start.teacher == teacher
    assert [spec.trainer.max_steps for spec in (teacher, start, last)] == [30, 40, 50]
    assert [spec.training.losses.alpha for spec in (teacher, start, last)] == [0, 7, 7]
    assert [spec.training.losses.beta for spec in (teacher, start, last)] == [0, 0.5, 0.5]
    assert len(teacher.data.dataset.train) == 2 * 20, "clips of the classes that both have"
    assert all(video.id.startswith("ucf101") for video in teacher.data.dataset.train)
    assert last.data.trimmed
    assert last.data.class_map == start.data.class_map
    assert not start.data.dataset.test


@pytest.mark.parametrize("model", ["tsrnet", "tsrnet_plus"])
def test_the_teacher_is_tsrnet_s_kind_of_network_with_its_own_pooling(folder: Path, model: str) -> None:
    config = composed(folder, *SIMULATED, f"model={model}", "teacher.attention=mean")
    last = specs(config)
    assert last.teacher
    own = tsrnet_part(last.training.model)
    assert own
    assert own.attention == "self"
    assert last.teacher.training.model == replace(own, attention="mean")


def test_flow_has_stages_and_a_rate_of_its_own(folder: Path) -> None:
    config = composed(folder, *SIMULATED, "optimizer=paper")
    rgb, flow = specs(config), specs(config, "flow")
    assert (rgb.training.optimizer.learning_rate, flow.training.optimizer.learning_rate) == (1e-4, 5e-4)
    assert chain(flow) == ["teacher-flow", "tsrnet-flow"]
    assert not set(rgb.keys) & set(flow.keys)


def test_fine_tuning_follows_a_training_on_features(folder: Path) -> None:
    """Teacher and network, each from its weights on features, with steps, α and optimiser of their own."""
    config = composed(
        folder, *FINETUNED, "backbone.max_steps=60", "backbone.teacher_steps=20", "backbone.alpha=0.5"
    )
    last = specs(config)
    assert chain(last) == ["teacher-rgb", "finetuned_teacher-rgb", "tsrnet-rgb", "finetuned-rgb"]
    teacher, before = last.teacher, last.start
    assert teacher
    assert before
    assert (before.name, before.finetune, before.teacher) == ("tsrnet", None, teacher.start)
    assert before.key == specs(composed(folder, *FINETUNED, "backbone.finetune=false")).key
    assert [spec.trainer.max_steps for spec in (teacher, last)] == [20, 60]
    assert (teacher.training.losses.alpha, last.training.losses.alpha) == (0, 0.5)
    assert before.training.losses.alpha == config.loss.alpha
    for spec in (teacher, last):
        assert spec.finetune
        assert spec.training.optimizer.name == "sgd"
        assert spec.training.optimizer.learning_rate == 1e-4
        assert spec.data.identity["sampling"]["num_snippets"] == 16
    assert before.training.optimizer.name == "adamw"
    assert before.data.identity["sampling"] is None
    flow = specs(config, "flow")
    assert flow.training.optimizer.learning_rate == 5e-4


@dataclass
class Fits:
    """Stands in for `fit`: keeps the weights that it is given and fills them with the number of the call."""

    calls: list[tuple[str, TSRNetModule, dict[str, torch.Tensor]]]

    @property
    def names(self) -> list[str]:
        return [name for name, _, _ in self.calls]

    def __call__(self, module: TSRNetModule, data: Any, settings: Any, *, folder: Path, loggers: Any) -> None:
        before = {name: value.clone() for name, value in module.model.state_dict().items()}
        self.calls.append((folder.name.rpartition("-")[0], module, before))
        with torch.no_grad():
            for parameter in module.model.parameters():
                parameter.fill_(len(self.calls))


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> Fits:
    found = Fits([])
    monkeypatch.setattr("tsrnet.pipeline.train_stages.fit", found)
    return found


def test_stages_are_trained_in_order_each_from_those_before(folder: Path, fits: Fits) -> None:
    """ActivityNet: of 200 classes 30 are shared, and the rows of the others stay as they were drawn."""
    overrides = ("dataset=activitynet", *SIMULATED[1:], "pretrain=overlap30", "stream=rgb", "seed=4")
    given = composed(folder, *overrides, f"paths.stages={folder}/order")
    config, spec = RunConfig.from_config(given), specs(given)
    module = run_stage(config, spec)
    assert fits.names == ["teacher-rgb", "overlap-rgb", "tsrnet-rgb"]
    teacher, overlap, last = (one for _, one, _ in fits.calls)
    assert module is last
    assert not module.training
    for student in (overlap, last):
        frozen = student._transfer.teacher
        assert all(bool((parameter == 1).all()) for parameter in frozen.parameters())
        assert not any(parameter.requires_grad for parameter in frozen.parameters())
    assert not teacher._transfer
    assert (len(overlap.classes), len(last.classes)) == (30, 200)
    shared = torch.tensor([name in overlap.classes for name in last.classes])
    for name, value in fits.calls[-1][2].items():
        carried = shared if name in last.model.class_rows else torch.ones(len(value), dtype=torch.bool)
        assert bool((value[carried] == 2).all()), name
        assert not bool((value[~carried] == 2).any()), name


def test_a_finished_stage_is_found_with_its_weights(folder: Path, fits: Fits) -> None:
    given = composed(folder, *SIMULATED, "stream=rgb", f"paths.stages={folder}/found")
    config, spec = RunConfig.from_config(given), specs(given)
    run_stage(config, spec)
    assert len(fits.calls) == 2
    again = run_stage(config, spec)
    assert len(fits.calls) == 2, "nothing is trained again"
    assert all(bool((parameter == 2).all()) for parameter in again.model.parameters())
    assert not again.training
    other = composed(folder, *SIMULATED, "stream=rgb", f"paths.stages={folder}/found", "loss.alpha=7")
    run_stage(RunConfig.from_config(other), specs(other))
    assert fits.names == ["teacher-rgb", "tsrnet-rgb", "tsrnet-rgb"], "one teacher"
    for key in spec.keys:
        assert (folder / "found" / key / "weights.pt").is_file()
        assert (folder / "found" / key / "identity.json").is_file()


def test_a_stage_that_is_not_there_is_a_mistake_where_nothing_is_trained(folder: Path, fits: Fits) -> None:
    given = composed(folder, *SIMULATED, f"paths.stages={folder}/nothing")
    with pytest.raises(UserError, match=r"tsrnet-rgb-\w+.*; run the train command again"):
        load_stage(RunConfig.from_config(given), specs(given))
    assert not (folder / "nothing").exists()
    assert not fits.calls


def test_weights_of_the_other_stream_are_refused(folder: Path, fits: Fits) -> None:
    given = composed(folder, *SIMULATED, f"paths.stages={folder}/origin", "transfer=none")
    config, rgb, flow = RunConfig.from_config(given), specs(given), specs(given, "flow")
    run_stage(config, flow)
    with pytest.raises(UserError, match="is of stream=flow, the run has stream=rgb"):
        load_checkpoint(config, rgb, flow.stage(config.paths.stages).weights)


def test_clips_of_another_width_are_refused(tmp_path: Path) -> None:
    """MMD compares features of one network."""
    wide = FeatureStore(tmp_path / "wide")
    narrow = FeatureStore(tmp_path / "narrow")
    wide.write("rgb", "a", np.ones((4, 6), np.float32))
    narrow.write("rgb", "c", np.ones((4, 5), np.float32))
    clip, video = (VideoRecord(name, "training", 9.0, ("x",), ()) for name in "ca")
    clips = VideoDataset("clips", ("x", "y"), (clip,), (), tmp_path)
    videos = VideoDataset("videos", ("x", "y"), (video,), (), tmp_path)
    data = RunData(Availability(videos), wide, "tenths", Availability(clips), narrow, {"x": "x"})
    given = composed(tmp_path, "stream=rgb")
    with pytest.raises(UserError, match=r"trimmed\.features: the clips have 5 dimensions, the videos 6"):
        stages_of(RunConfig.from_config(given), data, "rgb")
