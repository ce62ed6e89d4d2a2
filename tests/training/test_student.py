"""Pseudo labels and the student of the second stage."""

from __future__ import annotations

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from tsrnet.datasets.batch import TrainingBatch, VideoBatch
from tsrnet.datasets.datamodule import VideoDataModule
from tsrnet.datasets.records import Segment, VideoDataset, VideoRecord
from tsrnet.features.store import FeatureStore
from tsrnet.localization.rule import DetectedRuns
from tsrnet.localization.settings import LocalizationSettings
from tsrnet.localization.untrimmednet import UntrimmedNetRule
from tsrnet.models.video_model import SnippetPredictions, VideoModel
from tsrnet.training.module import TSRNetModule
from tsrnet.training.pseudo_labels import PseudoLabels, pseudo_labels, with_confidence
from tsrnet.training.student import StudentModule, StudentSettings, pseudo_label_loss

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers",
    "ignore:.*in eval mode at the start of training",
    "ignore:.*LeafSpec",
)
CLASSES = ("jump", "run")


def runs(*rows: tuple[int, float, float, float]) -> DetectedRuns:
    return DetectedRuns.of((row[0], row[1:]) for row in rows)


def test_confidence_is_the_rank_of_a_score_in_its_class() -> None:
    """Over all videos, whatever the scale; equal scores are equally sure."""
    found = with_confidence(
        {
            "a": runs((0, 0, 2, -3.0), (1, 1, 2, 50.0), (0, 4, 6, 7.0)),
            "b": runs((0, 0, 1, 7.0), (0, 2, 3, 0.0)),
            "c": runs(),
        }
    )
    assert found["a"].confidence.tolist() == [0.25, 1.0, 1.0]
    assert found["b"].confidence.tolist() == [1.0, 0.5]
    assert len(found["c"].confidence) == 0


def test_a_snippet_has_the_surest_detection_over_its_middle() -> None:
    labels = PseudoLabels(
        np.array([1, 1, 0]), np.array([0.0, 1.4, 3.0]), np.array([2.0, 3.6, 9.0]), np.array([0.5, 0.9, 0.2])
    )
    expected = [[0, 0.5], [0, 0.9], [0, 0.9], [0.2, 0.9], [0.2, 0]]
    np.testing.assert_allclose(labels.of_snippets(5, 2), expected, rtol=1e-6)


def test_the_loss_is_weighted_and_balances_action_and_background() -> None:
    rng = np.random.default_rng(0)
    log_p = torch.from_numpy(rng.normal(size=(2, 4, 3))).log_softmax(dim=-1)
    targets = torch.tensor(
        [[[0.5, 0], [0.4, 0.6], [0, 0], [0, 0]], [[0, 0], [0, 0.3], [9, 9], [9, 9]]]
    ).double()
    mask = torch.tensor([[True] * 4, [True, True, False, False]])
    action = [
        -0.5 * log_p[0, 0, 0],
        -0.6 * (0.4 * log_p[0, 1, 0] + 0.6 * log_p[0, 1, 1]),
        -0.3 * log_p[1, 1, 1],
    ]
    nothing = [-0.5 * log_p[row, time, 2] for row, time in ((0, 2), (0, 3), (1, 0))]
    expected = (np.mean(action) + np.mean(nothing)) / 2
    assert float(pseudo_label_loss(log_p, targets, mask, background=0.5)) == pytest.approx(expected)
    only = pseudo_label_loss(log_p, torch.zeros_like(targets), mask, background=1.0)
    assert float(only) == pytest.approx(-float(log_p[..., 2][mask].mean()) / 2)


def data_of(folder: Path) -> VideoDataModule:
    """Twelve videos of 12 snippets; in the middle third the features point along the axis of the class."""
    store, rng = FeatureStore(folder), np.random.default_rng(0)
    records = []
    for number in range(12):
        rows, name = 0.3 * rng.normal(size=(12, 4)), CLASSES[number % 2]
        rows[:, 2] += 1
        rows[4:8, number % 2] += 2
        store.write("rgb", f"v{number}", rows.astype(np.float32))
        records.append(VideoRecord(f"v{number}", "training", 2.0, (name,), (Segment(4 / 6, 8 / 6, name),)))
    dataset = VideoDataset("toy", CLASSES, tuple(records), tuple(records[:2]), folder)
    return VideoDataModule(dataset, store, batch_size=6)


class Exact(VideoModel):
    """Says of each snippet what it shows; of the video it is wrong."""

    def predict(self, features: torch.Tensor, mask: torch.Tensor) -> SnippetPredictions:
        wrong = torch.tensor([[0.5, 0.5]]).expand(len(features), 2)
        weights = mask.unsqueeze(-1).float()
        return SnippetPredictions(wrong, weights, weights, 8 * (features[..., :2] - 1))


def test_only_the_labels_of_a_video_are_localised(tmp_path: Path) -> None:
    data = data_of(tmp_path)
    module = TSRNetModule(data=data, network=Exact())
    settings = LocalizationSettings(threshold=0.5, attention="none")
    rule = LocalizationSettings(rule=UntrimmedNetRule(threshold=0.3))  # smoothed with the next snippet
    for localization, span in ((settings, (4.0, 8.0)), (rule, (3.0, 8.0))):
        found = pseudo_labels({"rgb": module}, {"rgb": data}, localization)
        assert found.keys() == {f"v{number}" for number in range(12)}
        for name, labels in found.items():
            assert labels.label.tolist() == [int(name[1:]) % 2]
            assert (labels.start[0], labels.stop[0]) == span


def student_of(data: VideoDataModule, labels: dict[str, PseudoLabels], **settings: float) -> StudentModule:
    pl.seed_everything(0, verbose=False)
    model = {"name": "snippet_head", "hidden_size": 32, "dropout": 0.1, "kernel": 1}
    student = StudentSettings(**{"average": 0.9, **settings})
    return StudentModule(
        labels=labels, student=student, data=data, model=model, optimizer={"learning_rate": 0.05}
    )


def fit(module: StudentModule, data: VideoDataModule, folder: Path, steps: int, **options: Any) -> pl.Trainer:
    trainer = pl.Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        max_steps=steps,
        max_epochs=-1,
        callbacks=[
            pl.callbacks.ModelCheckpoint(folder, filename="at{step}", every_n_train_steps=10, save_top_k=-1)
        ],
    )
    trainer.fit(module, datamodule=data, **options)
    return trainer


def test_a_student_learns_the_detections_and_the_average_is_kept_through_a_stop(tmp_path: Path) -> None:
    data = data_of(tmp_path / "features")
    labels = {
        f"v{n}": PseudoLabels(np.array([n % 2]), np.array([4.0]), np.array([8.0]), np.array([0.8]))
        for n in range(12)
    }
    whole = student_of(data, labels, background=1.0)
    fit(whole, data, tmp_path / "whole", 40)
    plain = copy.deepcopy(whole.model.state_dict())
    whole.take_average()
    averaged = whole.model.state_dict()
    assert any(not torch.equal(plain[name], averaged[name]) for name in plain)

    again = student_of(data, labels, background=1.0)
    stopped = next((tmp_path / "whole").glob("*step=20*.ckpt"))
    fit(again, data, tmp_path / "again", 40, ckpt_path=str(stopped), weights_only=True)
    again.take_average()
    torch.testing.assert_close(again.model.state_dict(), averaged)

    for index in range(12):
        sample = data.training_set[index]
        (said,) = whole.eval().predict_step(VideoBatch.collate([sample]))
        inside = np.isin(np.arange(12), range(4, 8))
        p = 1 / (1 + np.exp(-said.activations[:, index % 2].astype(np.float64)))
        assert p[inside].mean() > 0.6 > 0.4 > p[~inside].mean()
        assert said.weights[inside].mean() > said.weights[~inside].mean() + 0.2
        assert said.probabilities.argmax() == index % 2


def test_the_loss_of_a_step_is_own_pseudo_and_consistency(tmp_path: Path) -> None:
    data = data_of(tmp_path)
    labels = {f"v{n}": PseudoLabels(*np.zeros((4, 0))) for n in range(12)}  # nothing was detected
    module = student_of(data, labels, consistency=3.0, background=0.25)
    module.model.eval()
    logged: dict[str, Any] = {}
    module.log = lambda name, value, **_: logged.update({name: value})  # type: ignore[assignment]
    module.log_dict = lambda values, **_: logged.update(values)  # type: ignore[assignment]
    module._trainer = SimpleNamespace(max_steps=30, global_step=5, strategy=None)  # type: ignore[assignment]
    batch = TrainingBatch.collate([(data.training_set[index], None) for index in range(4)])
    with torch.no_grad():
        module.mean_teacher.classifier[2].bias += 1.0  # it differs
    loss = module.training_step(batch, 0)
    ramp = 5 / 10
    parts = logged["loss/own"] + logged["loss/pseudo"] + 3.0 * ramp * logged["loss/consistency"]
    assert loss is logged["loss/total"]
    assert float(loss.detach()) == pytest.approx(float(parts.detach()))
    assert logged["loss/consistency"] > 1e-3
    activations = module.model(batch.videos.features, batch.videos.mask).activations
    background = 1 / (1 + activations.exp().sum(dim=-1))
    assert float(logged["loss/pseudo"]) == pytest.approx(-0.25 * float(background.log().mean()) / 2, rel=1e-5)
