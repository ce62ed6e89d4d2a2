"""The one LightningModule: teacher, Two-Stream, SRNet, TSRNet and other models differ only in settings."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor

from tsrnet.core.errors import UserError
from tsrnet.core.reading import reading
from tsrnet.core.settings import settings_of
from tsrnet.datasets.batch import TrainingBatch, VideoBatch
from tsrnet.datasets.datamodule import VideoDataModule
from tsrnet.datasets.records import VideoRecord
from tsrnet.evaluation.evaluator import VideoEvaluator, flat_metrics
from tsrnet.evaluation.localize_videos import localize_batch
from tsrnet.evaluation.predictions import PredictionBatch, VideoPredictions, video_predictions
from tsrnet.localization.settings import LocalizationSettings
from tsrnet.losses.attention import SPARSITY, smoothness
from tsrnet.losses.classification import CLASSIFICATION
from tsrnet.losses.objective import (
    LossSettings,
    TransferSettings,
    regularisation,
    self_attention_loss,
    total_loss,
)
from tsrnet.metrics.protocols import PROTOCOLS
from tsrnet.models.registry import ModelSettings, build_model, describe_model, model_settings, tsrnet_part
from tsrnet.models.tsrnet import TSRNetOutput
from tsrnet.models.video_model import SnippetPredictions, VideoModel
from tsrnet.training.optimizer import OptimizerSettings, build_optimizer
from tsrnet.training.transfer import KnowledgeTransfer

_LOSSES, _TRANSFER = LossSettings(), TransferSettings()
_OPTIMIZER, _LOCALIZATION = OptimizerSettings(), LocalizationSettings()


class TSRNetModule(pl.LightningModule):
    """Trains a model of one stream with the loss of eq. (9), tests it, and predicts each snippet.

    Args:
        data: gives the number of features and the classes. The data itself is not kept.
        teacher: a module trained on trimmed clips, or the path of its checkpoint. It is frozen (D12) and not
            part of the checkpoints of this module. FC1 and FC2 start from its weights (D18), unless
            `transfer.classifier` is "fresh". None: no knowledge transfer.
        model: the name of a model, or its name and settings: `{"name": "tsrnet", "hops": 2}`.
        losses: weights and forms of L_SA, eq. (2) to (5). None: only L_class, as for a teacher. Models other
            than TSRNet have their own losses.
        alpha: replaces `losses.alpha`.
        beta: replaces `losses.beta`.
        transfer: weights of MMD, eq. (6) to (8), and of distillation; the kernel.
        optimizer: settings of the optimiser.
        localization: constants of the localisation for `test_step`.
        seed: decides dropout, together with the step and the process, so that a resumed training gives the
            same result.
        num_features: with `classes`, replaces `data`; `load_from_checkpoint` uses it.
        classes: see `num_features`.
        network: the model itself, if it is not built from `model`.

    Raises:
        UserError: a setting is wrong, or there is neither `data` nor `num_features` and `classes`.
    """

    def __init__(
        self,
        *,
        data: VideoDataModule | None = None,
        teacher: TSRNetModule | str | Path | None = None,
        model: str | Mapping[str, Any] | ModelSettings = "tsrnet",
        losses: LossSettings | Mapping[str, Any] | None = _LOSSES,
        alpha: float | None = None,
        beta: float | None = None,
        transfer: TransferSettings | Mapping[str, Any] = _TRANSFER,
        optimizer: OptimizerSettings | Mapping[str, Any] = _OPTIMIZER,
        localization: LocalizationSettings | Mapping[str, Any] = _LOCALIZATION,
        seed: int = 0,
        num_features: int | None = None,
        classes: Sequence[str] | None = None,
        network: VideoModel | None = None,
    ) -> None:
        super().__init__()
        if data is not None:
            num_features, classes = data.num_features, data.classes
        if num_features is None or not classes:
            raise UserError("TSRNetModule: got no data, need data= or num_features= and classes=")
        self.classes = tuple(classes)
        settings = model if not isinstance(model, str | Mapping) else model_settings(model)
        given = {"alpha": 0.0, "beta": 0.0} if losses is None else _plain(losses)
        given |= {key: value for key, value in (("alpha", alpha), ("beta", beta)) if value is not None}
        self.losses = settings_of(LossSettings, given, where="loss") if tsrnet_part(settings) else None
        self.transfer = settings_of(TransferSettings, _plain(transfer), where="transfer")
        self.optimizer = settings_of(OptimizerSettings, _plain(optimizer), where="optimizer")
        self.localization = settings_of(LocalizationSettings, _plain(localization), where="localization")
        self.seed = seed
        self.save_hyperparameters(
            {
                "model": describe_model(settings),
                "losses": asdict(self.losses) if self.losses else None,
                "transfer": asdict(self.transfer),
                "optimizer": asdict(self.optimizer),
                "localization": asdict(self.localization),
                "seed": seed,
                "num_features": num_features,
                "classes": self.classes,
            }
        )
        self.model = network or build_model(
            settings, num_features=num_features, num_classes=len(self.classes)
        )
        if self.losses and self.losses.beta > 0 and self.losses.sparsity == "l1":
            warnings.warn(
                "loss.sparsity=l1 is constant under the softmax of eq. (1), so loss.beta has no effect;"
                " give loss.sparsity=entropy or l_half",
                stacklevel=2,
            )
        if isinstance(teacher, str | Path):
            with reading(teacher, "a checkpoint of a TSRNetModule", do="give another file"):
                teacher = TSRNetModule.load_from_checkpoint(teacher, map_location="cpu", weights_only=True)
        self._transfer = self._transfer_from(teacher, data) if teacher else None

    def _transfer_from(self, teacher: TSRNetModule, data: VideoDataModule | None) -> KnowledgeTransfer:
        known = {name: row for row, name in enumerate(teacher.classes)}
        pairs = (data.class_map if data else {}) or {name: name for name in known}
        rows = {row: known[pairs[name]] for row, name in enumerate(self.classes) if pairs.get(name) in known}
        if self.transfer.classifier == "teacher":
            self.model.classification.start_from(teacher.model.classification, rows)
        return KnowledgeTransfer(teacher.model, self.transfer, rows)

    def forward(self, features: Tensor, mask: Tensor) -> SnippetPredictions:
        """features (batch, time, d), mask (batch, time) True for real snippets -> SnippetPredictions."""
        return self.model.predict(features, mask)

    def on_train_batch_start(self, batch: TrainingBatch, batch_idx: int) -> None:
        step = self.trainer.accumulate_grad_batches
        seed = self.seed * 1_000_003 + self.global_step * step + batch_idx % step
        torch.manual_seed(seed + 7_368_787 * self.global_rank)

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        loss, terms = self.loss(batch)
        self.log_dict({f"loss/{name}": term for name, term in terms.items()}, sync_dist=True)
        self.log("loss/total", loss, prog_bar=True, sync_dist=True)
        return loss

    def loss(self, batch: TrainingBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """L = L_SA + L_KT of eq. (9): self-attention on the videos, transfer from the frozen teacher.

        Returns:
            L, and its terms by name.
        """
        videos = batch.videos
        output = self.model(videos.features, videos.mask)
        terms = self.model.loss_terms(output, videos.mask, videos.labels)  # for a rival
        loss = terms.pop("total", torch.zeros((), device=self.device))
        if self.losses:
            terms |= self._self_attention_terms(output, videos, self.losses)
            loss = loss + terms.pop("total")
        if self._transfer:
            terms |= self._transfer.terms(batch, output)
            loss = total_loss(loss, terms.pop("total"))
        return loss, terms

    @staticmethod
    def _self_attention_terms(
        output: TSRNetOutput, videos: VideoBatch, losses: LossSettings
    ) -> dict[str, Tensor]:
        """L_SA = L_class + α R_smooth + β R_sparsity, eq. (2) to (5), as "total", and its terms."""
        terms = {
            "class": CLASSIFICATION[losses.classification](output.logits, videos.labels),
            "smoothness": smoothness(output.attention, videos.mask),
            "sparsity": SPARSITY[losses.sparsity](output.attention, videos.mask),
        }
        attention = regularisation(
            terms["smoothness"], terms["sparsity"], alpha=losses.alpha, beta=losses.beta
        )
        return {**terms, "total": self_attention_loss(terms["class"], attention)}

    def configure_optimizers(self) -> OptimizerLRScheduler:
        return build_optimizer(self.optimizer, self.model.rate_groups())

    def on_validation_start(self) -> None:
        self._evaluator = self._new_evaluator(self._data.held_out)

    def validation_step(self, batch: VideoBatch, batch_idx: int) -> None:
        self._evaluate(batch)

    def on_validation_epoch_end(self) -> None:
        self._log_metrics("val")

    def on_test_start(self) -> None:
        self._evaluator = self._new_evaluator(self._data.availability.dataset.test)

    def test_step(self, batch: VideoBatch, batch_idx: int) -> None:
        """Recognise and localise. The metrics cover the videos of all processes."""
        self._evaluate(batch)

    def on_test_epoch_end(self) -> None:
        self._log_metrics("test")

    def predict_step(self, batch: VideoBatch, batch_idx: int = 0) -> list[VideoPredictions]:
        """The predictions for every snippet of each video in the batch."""
        return video_predictions(batch, self(batch.features, batch.mask))

    @property
    def _data(self) -> VideoDataModule:
        data = getattr(self.trainer, "datamodule", None)
        if not isinstance(data, VideoDataModule):
            raise UserError(
                "TSRNetModule: got no annotations for the test; give trainer.test a VideoDataModule"
            )
        return data

    def _new_evaluator(self, records: Sequence[VideoRecord]) -> VideoEvaluator:
        data = self._data
        if data.classes != self.classes:
            raise UserError(
                f"TSRNetModule: got data with {len(data.classes)} classes, the network has other"
                f" {len(self.classes)} classes; test on the dataset that it was trained on"
            )
        evaluator = VideoEvaluator(records, self.classes, PROTOCOLS[data.protocol], streams=(data.stream,))
        # It computes in float64, which Apple's GPUs do not have.
        return evaluator if self.device.type == "mps" else evaluator.to(self.device)

    def _evaluate(self, batch: VideoBatch) -> None:
        streams = {self._data.stream: PredictionBatch.of(self.predict_step(batch))}
        for result in localize_batch(streams, self.localization, grid_of=self._data.time_grid):
            self._evaluator.update(result)

    def _log_metrics(self, prefix: str) -> None:
        metrics = self._evaluator.compute()  # the same in all processes
        stream = f"{self._evaluator.streams[0]}/"
        named = {name.replace(stream, ""): value for name, value in flat_metrics(metrics).items()}
        self.log_dict({f"{prefix}/{name}": value for name, value in named.items()}, sync_dist=True)


def _plain(settings: Any) -> dict[str, Any]:
    return dict(settings) if isinstance(settings, Mapping) else asdict(settings)
