"""The LightningModule: the losses add up as eq. (9) says, the teacher stays as it is, and what is saved."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from tsrnet.core.errors import UserError
from tsrnet.datasets.batch import Sample, TrainingBatch, VideoBatch
from tsrnet.datasets.datamodule import VideoDataModule
from tsrnet.datasets.records import Segment, VideoDataset, VideoRecord
from tsrnet.evaluation.evaluator import VideoEvaluator, flat_metrics
from tsrnet.evaluation.localize_videos import localize_batch
from tsrnet.evaluation.predictions import PredictionBatch
from tsrnet.losses.attention import entropy, smoothness
from tsrnet.losses.classification import softmax_cross_entropy
from tsrnet.losses.distillation import distillation, soft_targets
from tsrnet.losses.mmd import mmd2
from tsrnet.losses.objective import LossSettings, TransferSettings
from tsrnet.metrics.protocols import PROTOCOLS
from tsrnet.models.tsrnet import TSRNet, TSRNetSettings
from tsrnet.training.module import TSRNetModule
from tsrnet.video.time_grid import TimeGrid

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers",
    "ignore:.*in eval mode at the start of training",
    "ignore:.*LeafSpec",
)
SETTINGS = TSRNetSettings(attention_size=5, hidden_size=7, dropout=0.0)
CLASSES = ("climb", "jump", "run")
SIZES: dict[str, Any] = {"num_features": 4, "classes": CLASSES}


def network(seed: int) -> TSRNet:
    torch.manual_seed(seed)
    return TSRNet(SETTINGS, num_features=4, num_classes=3)


def teacher_of(model: TSRNet) -> TSRNetModule:
    return TSRNetModule(**SIZES, model=SETTINGS, losses=None, network=model)


def batch(pairs: int) -> TrainingBatch:
    generator = torch.Generator().manual_seed(0)

    def sample(name: str, length: int, label: int) -> Sample:
        return Sample(name, torch.randn(length, 4, generator=generator), torch.eye(3)[label])

    rows = [(sample(f"u{i}", 4 + i, i % 3), sample(f"t{i}", 3 + i, i % 3)) for i in range(4)]
    return TrainingBatch.collate(
        [(video, clip if i < pairs else None) for i, (video, clip) in enumerate(rows)]
    )


LITERAL = TransferSettings(0.5, 2.0, kernels=5, per_class=False, classifier="fresh")


def module(teacher: TSRNet | None, transfer: TransferSettings, **losses: float) -> TSRNetModule:
    made = TSRNetModule(
        **SIZES,
        model=SETTINGS,
        losses=LossSettings(losses.get("alpha", 0.0), losses.get("beta", 0.0)),
        transfer=transfer,
        teacher=teacher_of(teacher) if teacher else None,
        network=network(1),
    )
    made.log = made.log_dict = lambda *_, **__: None  # type: ignore[method-assign, assignment]
    return made


def test_total_is_the_sum_of_the_paper_s_terms() -> None:
    data, teacher = batch(3), network(2)
    loss = module(teacher, LITERAL, alpha=3.0, beta=0.25).training_step(data, 0)
    student = network(1)
    out = student(data.videos.features, data.videos.mask)
    assert data.trimmed is not None
    source = teacher(data.trimmed.features, data.trimmed.mask)
    expected = (
        softmax_cross_entropy(out.logits, data.videos.labels)
        + 3.0 * smoothness(out.attention, data.videos.mask)
        + 0.25 * entropy(out.attention, data.videos.mask)
        + 0.5 * mmd2(source.pooled, out.pooled[:3])
        + 2.0 * mmd2(source.hidden, out.hidden[:3])
    )
    torch.testing.assert_close(loss, expected)


def test_gradient_reaches_the_student_only() -> None:
    teacher = network(2)
    before = copy.deepcopy(teacher.state_dict())
    trained = module(teacher, TransferSettings(1.0, 1.0))
    trained.training_step(batch(4), 0).backward()
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert all(parameter.grad is not None for parameter in trained.model.parameters())
    assert {name.split(".")[0] for name in trained.state_dict()} == {"model"}
    assert len(trained.state_dict()) == len(before)
    torch.testing.assert_close(teacher.state_dict(), before)


def test_transfer_moves_the_student_s_features() -> None:
    plain = module(None, TransferSettings(0.0, 0.0))
    moved = module(network(2), TransferSettings(0.0, 1.0, classifier="fresh"))
    plain.training_step(batch(4), 0).backward()
    moved.training_step(batch(4), 0).backward()
    one, other = (m.model.classifier.fc1.weight.grad for m in (plain, moved))  # type: ignore[union-attr]
    assert not torch.allclose(one, other)


def test_the_classifier_starts_from_the_teacher_s() -> None:
    wider = TSRNet(SETTINGS, num_features=4, num_classes=2)
    teacher = TSRNetModule(num_features=4, classes=("run", "climb"), model=SETTINGS, network=wider)
    untouched = network(1).classifier
    for start in ("teacher", "fresh"):
        transfer = TransferSettings(classifier=start)
        module = TSRNetModule(**SIZES, teacher=teacher, model=SETTINGS, transfer=transfer, network=network(1))
        ours, theirs = module.model.classification, wider.classifier
        assert torch.equal(ours.fc1.weight, (theirs if start == "teacher" else untouched).fc1.weight)
        climb, run = (theirs.fc2.weight[[1, 0]]) if start == "teacher" else untouched.fc2.weight[[0, 2]]
        expected = torch.stack([climb, untouched.fc2.weight[1], run])  # jump: no such class of the teacher
        assert torch.equal(ours.fc2.weight, expected)
        assert ours.fc2.weight.data_ptr() != theirs.fc2.weight.data_ptr()


@pytest.mark.parametrize(
    ("teacher", "student", "message"),
    [
        (
            TSRNetSettings(hidden_size=5),
            TSRNetSettings(),
            r"got FC1 of size \(5, 4\), the network has \(256, 4\)",
        ),
        (TSRNetSettings(), "basnet", "BaSNet: has no FC1 and FC2"),
    ],
)
def test_a_teacher_of_another_kind_is_refused(teacher: Any, student: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        TSRNetModule(**SIZES, teacher=TSRNetModule(**SIZES, model=teacher, losses=None), model=student)


def test_a_class_that_the_teacher_lacks_starts_fresh() -> None:
    """Also where the data pairs it with clips."""
    teacher = TSRNetModule(num_features=4, classes=("run",), model=SETTINGS)
    data: Any = SimpleNamespace(num_features=4, classes=CLASSES, class_map={"run": "run", "jump": "leap"})
    started = TSRNetModule(data=data, teacher=teacher, model=SETTINGS, network=network(1))
    rows = started.model.classification.fc2.weight
    assert torch.equal(rows[2], teacher.model.classification.fc2.weight[0])
    assert torch.equal(rows[:2], network(1).classifier.fc2.weight[:2])


def test_distillation_is_in_place_of_mmd_or_beside_it() -> None:
    """Its targets are the teacher's for the classes that it knows; clips play no part."""
    torch.manual_seed(2)
    known = TSRNet(SETTINGS, num_features=4, num_classes=2)
    teacher = TSRNetModule(num_features=4, classes=("run", "climb"), model=SETTINGS, network=known)
    videos = batch(0).videos
    probabilities = (known.class_activations(videos.features) / 2.0).softmax(dim=-1)
    seen = torch.zeros(*videos.mask.shape, 3)
    seen[..., [2, 0]] = probabilities  # jump: no such class of the teacher
    targets = soft_targets(seen, videos.mask, videos.labels, confidence=0.4)
    assert bool((targets > 0).any())
    term = distillation(network(1).class_activations(videos.features), targets, videos.mask)
    options = {"temperature": 2.0, "confidence": 0.4}

    def loss(pairs: int, weight: float, mmd: float = 0.0) -> torch.Tensor:
        transfer = TransferSettings(mmd, 0.0, classifier="fresh", distill=weight, **options)
        made = TSRNetModule(**SIZES, teacher=teacher, model=SETTINGS, transfer=transfer, network=network(1))
        total, terms = made.loss(batch(pairs))
        assert ("fc1" in terms, "distill" in terms) == (mmd > 0, weight > 0)
        return total

    plain = module(None, TransferSettings(0.0, 0.0), alpha=30.0).loss(batch(0))[0]
    torch.testing.assert_close(loss(0, 0.7), plain + 0.7 * term)
    torch.testing.assert_close(loss(4, 0.7), loss(0, 0.7))
    torch.testing.assert_close(loss(4, 0.7, mmd=0.5), loss(4, 0.0, mmd=0.5) + 0.7 * term)


@pytest.mark.parametrize("pairs", [0, 1])
def test_under_two_pairs_there_is_no_transfer(pairs: int) -> None:
    transfer = TransferSettings(1.0, 1.0, classifier="fresh")
    with_teacher = module(network(2), transfer).training_step(batch(pairs), 0)
    without = module(None, TransferSettings(0.0, 0.0)).training_step(batch(pairs), 0)
    torch.testing.assert_close(with_teacher, without)


def test_every_term_is_logged_by_its_name() -> None:
    made, logged = (
        module(network(2), LITERAL, alpha=3.0, beta=0.25),
        {},
    )
    made.log_dict = lambda values, **_: logged.update(values)  # type: ignore[method-assign]
    made.log = lambda name, value, **_: logged.update({name: value})  # type: ignore[method-assign]
    loss = made.training_step(batch(4), 0)
    weights = {"class": 1.0, "smoothness": 3.0, "sparsity": 0.25, "fc1": 0.5, "fc2": 2.0}
    assert set(logged) == {"loss/total", *(f"loss/{name}" for name in weights)}
    torch.testing.assert_close(sum(w * logged[f"loss/{name}"] for name, w in weights.items()), loss)
    assert logged["loss/total"] is loss


def test_beta_without_effect_is_a_warning() -> None:
    with pytest.warns(UserWarning, match=r"loss\.beta has no effect"):
        TSRNetModule(**SIZES, losses=LossSettings(0.0, 0.1, sparsity="l1"))


def test_without_losses_there_is_the_class_loss_alone() -> None:
    """As a teacher learns: the same as alpha = beta = 0."""
    data = batch(0)
    found = []
    for options in ({"losses": None}, {"alpha": 0.0, "beta": 0.0}, {"losses": {"alpha": 0.0, "beta": 0.0}}):
        made = TSRNetModule(**SIZES, model=SETTINGS, network=network(1), **options)
        made.log = made.log_dict = lambda *_, **__: None  # type: ignore[method-assign, assignment]
        found.append(made.training_step(data, 0))
        assert made.losses == LossSettings(0.0, 0.0)
    out = network(1)(data.videos.features, data.videos.mask)
    for loss in found:
        torch.testing.assert_close(loss, softmax_cross_entropy(out.logits, data.videos.labels))


def test_alpha_and_beta_stand_in_for_those_of_the_losses() -> None:
    given = LossSettings(3.0, 0.5, classification="bce")
    assert TSRNetModule(**SIZES, losses=given, alpha=7.0).losses == replace(given, alpha=7.0)
    assert TSRNetModule(**SIZES, losses=given, beta=0.0).losses == replace(given, beta=0.0)
    assert TSRNetModule(**SIZES, model="stpn", alpha=7.0).losses is None, "a rival has its own"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": -1.0}, "loss.alpha: got -1.0, need a number >= 0"),
        ({"losses": {"sparsity": "l2"}}, "loss.sparsity: got 'l2', need one of l1, entropy, l_half"),
        ({"transfer": {"fc1": "much"}}, "transfer.fc1: got 'much', need a number >= 0"),
        ({"optimizer": {"name": "lion"}}, "optimizer.name: got 'lion', need one of adamw, adam, sgd"),
        ({"optimizer": {"learning_rate": 0}}, "optimizer.learning_rate: got 0, need a number > 0"),
        ({"localization": {"theta": 2}}, "localization.theta: got 2, need a number >= 0 and <= 1"),
        ({"model": "resnet"}, "model.name: got resnet, need one of tsrnet, "),
        ({"model": {"name": "tsrnet", "hops": 0}}, "model.hops: got 0, need a whole number >= 1"),
        ({"classes": None}, "TSRNetModule: got no data, need data= or num_features= and classes="),
        ({"num_features": None}, "TSRNetModule: got no data, need data= or num_features= and classes="),
    ],
)
def test_a_wrong_setting_is_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        TSRNetModule(**{**SIZES, **options})
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


@dataclass(frozen=True)
class InMemory:
    """A `FeatureSource` of arrays."""

    arrays: dict[str, np.ndarray]

    @property
    def identity(self) -> dict[str, Any]:
        return {"made": "by a test"}

    def read(self, stream: str, video_id: str) -> np.ndarray:
        return self.arrays[video_id]

    def time_grid(self, video_id: str, num_snippets: int, duration_s: float | None) -> TimeGrid:
        return TimeGrid()


def videos(*, prefix: str = "v", trimmed: bool = False, **options: Any) -> VideoDataModule:
    """Six training and six test videos; the class adds to one of the features during its segment."""
    rng = np.random.default_rng(len(prefix))
    arrays: dict[str, np.ndarray] = {}
    subsets: dict[str, list[VideoRecord]] = {"training": [], "testing": []}
    for subset, records in subsets.items():
        for number in range(6):
            name, label = f"{prefix}{subset}{number}", CLASSES[number % 3]
            rows = rng.normal(0, 0.3, (18, 4)).astype(np.float32)
            start, stop = (0, 18) if trimmed else (3 + number, 9 + number)
            rows[start:stop, number % 3] += 2.0
            arrays[name] = rows
            segments = () if trimmed else (Segment(start / 6, stop / 6, label),)
            records.append(VideoRecord(name, subset, 3.0, (label,), segments))
    dataset = VideoDataset(prefix, CLASSES, tuple(subsets["training"]), tuple(subsets["testing"]), Path())
    return VideoDataModule(dataset, InMemory(arrays), **{"batch_size": 6, **options})


def trainer(folder: Path, max_steps: int = -1, **options: Any) -> pl.Trainer:
    defaults: dict[str, Any] = {
        "accelerator": "cpu",
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "default_root_dir": folder,
        "max_steps": max_steps,
    }
    return pl.Trainer(**{**defaults, **options})


@dataclass(frozen=True)
class Trained:
    """A teacher and TSRNet after a few steps, and their checkpoints."""

    teacher: TSRNetModule
    before: dict[str, torch.Tensor]
    module: TSRNetModule
    data: VideoDataModule
    checkpoints: dict[str, str]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("training")
    clips = videos(prefix="clip", trimmed=True)
    data = videos(trimmed=False)
    paired = VideoDataModule(data._dataset, data.source, batch_size=6, trimmed=clips)
    model = {"name": "tsrnet", "attention_size": 5, "hidden_size": 7}
    pl.seed_everything(0, verbose=False)
    teacher = TSRNetModule(data=clips, model=model, losses=None, optimizer={"learning_rate": 0.02})
    trainers = [trainer(folder / name, 30) for name in ("teacher", "tsrnet")]
    trainers[0].fit(teacher, datamodule=clips)
    before = copy.deepcopy(teacher.model.state_dict())
    module = TSRNetModule(
        data=paired, teacher=teacher, model=model, alpha=1.0, optimizer={"learning_rate": 0.02}, seed=3
    )
    trainers[1].fit(module, datamodule=paired)
    paths = {
        name: str(one.checkpoint_callback.best_model_path)  # type: ignore[union-attr]
        for name, one in zip(("teacher", "tsrnet"), trainers, strict=True)
    }
    return Trained(teacher, before, module.eval(), paired, paths)


def predictions(module: TSRNetModule) -> list[torch.Tensor]:
    features = torch.randn(2, 9, 4, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        found = module.eval()(features, torch.arange(9) < torch.tensor([[9], [5]]))
    return [found.probabilities, found.logits, found.weights, found.activations]


def test_a_checkpoint_loads_as_the_same_module(trained: Trained) -> None:
    """Without executing what the file holds."""
    path = trained.checkpoints["tsrnet"]
    loaded = TSRNetModule.load_from_checkpoint(path, weights_only=True)
    torch.testing.assert_close(predictions(loaded), predictions(trained.module), rtol=0, atol=0)
    for name in ("classes", "losses", "transfer", "optimizer", "localization", "seed"):
        assert getattr(loaded, name) == getattr(trained.module, name), name
    assert dict(loaded.hparams) == dict(trained.module.hparams)
    other = TSRNetModule.load_from_checkpoint(path, weights_only=True, localization={"theta": 0.25})
    assert other.localization.theta == 0.25


def test_hyperparameters_are_plain_data_without_the_data(trained: Trained) -> None:
    content = torch.load(trained.checkpoints["tsrnet"], weights_only=True)
    saved = content["hyper_parameters"]
    assert json.loads(json.dumps(saved)) == {**saved, "classes": list(CLASSES)}
    assert saved["num_features"] == 4
    assert saved["model"] == {
        "name": "tsrnet",
        "attention": "self",
        "attention_size": 5,
        "hops": 1,
        "merge": "concat",
        "hidden_size": 7,
        "dropout": 0.5,
    }
    assert (saved["losses"]["alpha"], saved["seed"]) == (1.0, 3)
    assert all(name.startswith("model.") for name in content["state_dict"])


def test_training_leaves_the_teacher_as_it_is(trained: Trained) -> None:
    """It is frozen and in eval mode, and no part of the student's weights."""
    torch.testing.assert_close(trained.teacher.model.state_dict(), trained.before, rtol=0, atol=0)
    assert not trained.teacher.model.training
    assert not any(parameter.requires_grad for parameter in trained.teacher.model.parameters())
    shapes = {name: value.shape for name, value in trained.module.state_dict().items()}
    assert shapes == {f"model.{name}": value.shape for name, value in trained.before.items()}
    assert len(list(trained.module.parameters())) == len(list(trained.teacher.parameters()))


def test_a_teacher_is_a_module_or_its_checkpoint(trained: Trained) -> None:
    losses = []
    path = trained.checkpoints["teacher"]
    for teacher in (trained.teacher, path, Path(path)):
        made = TSRNetModule(**SIZES, model=SETTINGS, network=network(1), teacher=teacher)
        made.log = made.log_dict = lambda *_, **__: None  # type: ignore[method-assign, assignment]
        losses.append(made.training_step(batch(4), 0))
    torch.testing.assert_close(losses[0], losses[1])
    torch.testing.assert_close(losses[0], losses[2])


def by_hand(
    trained: Trained, records: tuple[VideoRecord, ...], features: VideoDataModule
) -> dict[str, float]:
    evaluator = VideoEvaluator(records, CLASSES, PROTOCOLS["demo"], streams=("rgb",))
    for one in records:
        rows = torch.from_numpy(features.source.read("rgb", one.id))
        found = VideoBatch.collate([Sample(one.id, rows, torch.zeros(3))])
        with torch.inference_mode():
            said = PredictionBatch.of(trained.module.predict_step(found))
        settings = trained.module.localization
        for result in localize_batch({"rgb": said}, settings, grid_of=lambda name, n: TimeGrid()):
            evaluator.update(result)
    flat = flat_metrics(evaluator.compute())
    return {name.replace("rgb/", ""): value for name, value in flat.items()}


def test_test_gives_the_metrics_of_the_evaluator(trained: Trained, tmp_path: Path) -> None:
    (metrics,) = trainer(tmp_path).test(trained.module, datamodule=trained.data, verbose=False)
    expected = by_hand(trained, trained.data.dataset.test, trained.data)
    assert metrics.keys() == {f"test/{name}" for name in expected}
    for name, value in expected.items():
        assert metrics[f"test/{name}"] == pytest.approx(value, rel=1e-6), name
    assert metrics["test/accuracy"] > 0.5, "it has learned something"
    assert metrics["test/mAP/0.10"] > 0.2
    assert metrics["test/attention/ratio"] > 1


def test_validate_is_over_the_videos_that_are_held_out(trained: Trained, tmp_path: Path) -> None:
    """These have no segments, so there is nothing to localise."""
    data = videos(holdout=0.5)
    (metrics,) = trainer(tmp_path).validate(trained.module, datamodule=data, verbose=False)
    expected = by_hand(trained, data.held_out, data)
    assert metrics == {f"val/{name}": pytest.approx(value, rel=1e-6) for name, value in expected.items()}
    assert set(metrics) == {"val/accuracy", "val/mAP", "val/hit@1", "val/hit@3"}


def test_a_training_validates_on_the_way(tmp_path: Path) -> None:
    data = videos(holdout=0.5)
    module = TSRNetModule(data=data, model=SETTINGS)
    fitted = trainer(tmp_path, 3, enable_checkpointing=False)
    fitted.fit(module, datamodule=data)
    assert 0 <= fitted.callback_metrics["val/accuracy"] <= 1


def test_predict_gives_the_snippets_of_each_test_video(trained: Trained, tmp_path: Path) -> None:
    found = trainer(tmp_path).predict(trained.module, datamodule=trained.data)
    assert found is not None
    assert [video.id for some in found for video in some] == [r.id for r in trained.data.dataset.test]
    for (video,) in found:
        rows = torch.from_numpy(trained.data.source.read("rgb", video.id)).unsqueeze(0)
        with torch.inference_mode():
            expected = trained.module(rows, torch.ones(1, 18, dtype=torch.bool))
        np.testing.assert_allclose(video.probabilities, expected.probabilities[0], rtol=1e-5)
        np.testing.assert_allclose(video.weights, expected.weights[0], rtol=1e-5)
        np.testing.assert_allclose(video.activations, expected.activations[0], rtol=1e-3, atol=1e-4)


def test_data_of_other_classes_is_refused(trained: Trained, tmp_path: Path) -> None:
    data = trained.data
    assert isinstance(data._dataset, VideoDataset)
    other = VideoDataModule(replace(data._dataset, classes=("climb", "fly", "jump", "run")), data.source)
    with pytest.raises(
        UserError, match="got data with 4 classes, the network has other 3 classes; test on the"
    ):
        trainer(tmp_path).test(trained.module, datamodule=other, verbose=False)


def test_a_loader_without_annotations_cannot_test(trained: Trained, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="got no annotations for the test; give"):
        trainer(tmp_path).test(trained.module, dataloaders=trained.data.test_dataloader(), verbose=False)


def seed_of(module: TSRNetModule, *, rank: int, step: int, batch_idx: int = 0, accumulate: int = 1) -> int:
    """What dropout draws from in this batch."""
    module._trainer = SimpleNamespace(  # type: ignore[assignment]
        global_rank=rank, global_step=step, accumulate_grad_batches=accumulate
    )
    module.on_train_batch_start(batch(0), batch_idx)
    return torch.initial_seed()


def test_dropout_follows_from_the_seed_the_batch_and_the_process() -> None:
    module = TSRNetModule(**SIZES, seed=5)
    for step in (0, 1, 700):
        assert seed_of(module, rank=0, step=step) == 5 * 1_000_003 + step
    assert seed_of(module, rank=0, step=7, batch_idx=9, accumulate=4) == 5 * 1_000_003 + 7 * 4 + 1
    seeds = [seed_of(module, rank=rank, step=step) for rank in range(8) for step in (0, 1, 2, 99, 5000)]
    assert len(set(seeds)) == len(seeds)


def test_no_two_processes_draw_the_same_mask() -> None:
    masks = []
    module = TSRNetModule(**SIZES, seed=5)
    for rank in range(4):
        seed_of(module, rank=rank, step=3)
        masks.append(torch.nn.functional.dropout(torch.ones(200), 0.5))
    again = seed_of(module, rank=2, step=3)
    assert torch.equal(torch.nn.functional.dropout(torch.ones(200), 0.5), masks[2]), again
    for one in range(4):
        for other in range(one):
            assert 50 < int((masks[one] != masks[other]).sum()) < 150, "as independent masks differ"


def test_the_paper_s_optimiser_lowers_its_rate() -> None:
    module = TSRNetModule(**SIZES, optimizer={"name": "sgd", "learning_rate": 0.1, "decay_every": 2})
    made: Any = module.configure_optimizers()
    rates = []
    for _ in range(5):
        rates.append(made["optimizer"].param_groups[0]["lr"])
        made["optimizer"].step()
        made["lr_scheduler"]["scheduler"].step()
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001])
    assert made["lr_scheduler"]["interval"] == "step"
    assert made["optimizer"].param_groups[0]["momentum"] == 0.9
    adamw: Any = TSRNetModule(**SIZES, optimizer={"learning_rate": 0.1}).configure_optimizers()
    assert isinstance(adamw, torch.optim.AdamW)
    assert adamw.param_groups[0]["lr"] == 0.1
