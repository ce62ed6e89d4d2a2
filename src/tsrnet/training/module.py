"""The one LightningModule: teacher, Two-Stream, SRNet and TSRNet differ in configuration only."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import pytorch_lightning as pl
import torch
import torch.distributed as dist
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.distributed.nn.functional import all_gather

from tsrnet.datasets.batch import TrainingBatch, VideoBatch
from tsrnet.losses.attention import SPARSITY, smoothness
from tsrnet.losses.classification import CLASSIFICATION
from tsrnet.losses.mmd import transfer_fc1, transfer_fc2
from tsrnet.losses.objective import (
    LossSettings,
    TransferSettings,
    regularisation,
    self_attention_loss,
    total_loss,
    transfer_loss,
)
from tsrnet.models.tsrnet import TSRNetOutput
from tsrnet.models.video_model import VideoModel

MIN_PAIRS = 2
"""Under this many pairs a batch has no L_KT (D11)."""


@dataclass(frozen=True)
class OptimizerSettings:
    """`adamw`, constant rate, for frozen features; `sgd` is the paper's (D14).

    The rate falls by `decay_factor` every `decay_every` steps.
    """

    name: str
    learning_rate: float
    weight_decay: float = 0.0
    momentum: float = 0.9
    decay_every: int = 5000
    decay_factor: float = 0.1

    def __post_init__(self) -> None:
        if self.name not in ("adamw", "sgd"):
            raise ValueError(f"optimizer.name: got {self.name}, need adamw or sgd")
        if not self.learning_rate > 0:
            raise ValueError(f"optimizer.learning_rate: got {self.learning_rate}, need a number above 0")


class TSRNetModule(pl.LightningModule):
    """Trains a network of one stream by eq. (9).

    Args:
        network: of the untrimmed videos (or of the trimmed ones, for a teacher).
        losses, transfer, optimizer: settings; losses None for a network without L_SA.
        teacher: the trimmed network, frozen here (D12); None for training without transfer.
        seed: with the step decides dropout, so that a training that was cut off goes on the same.
    """

    def __init__(
        self,
        network: VideoModel,
        *,
        losses: LossSettings | None,
        transfer: TransferSettings,
        optimizer: OptimizerSettings,
        teacher: VideoModel | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.network = network
        self._losses, self._transfer, self._optimizer, self._seed = losses, transfer, optimizer, seed
        if losses and losses.beta > 0 and losses.sparsity == "l1":
            warnings.warn(
                "loss.sparsity=l1 is constant under the softmax of eq. (1): loss.beta has no effect;"
                " take loss.sparsity=entropy or l_half",
                stacklevel=2,
            )
        # In a list: a frozen teacher is no part of this module's weights and checkpoints.
        self._teacher = [teacher.eval().requires_grad_(False)] if teacher else []

    def on_train_batch_start(self, batch: TrainingBatch, batch_idx: int) -> None:
        a_step = self.trainer.accumulate_grad_batches
        torch.manual_seed(self._seed * 1_000_003 + self.global_step * a_step + batch_idx % a_step)

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        videos = batch.videos
        output = self.network(videos.features, videos.mask)
        terms = self.network.loss_terms(output, videos.mask, videos.labels)
        loss = terms.pop("total", torch.zeros((), device=self.device))
        if self._losses:
            terms |= _self_attention_terms(output, videos, self._losses)
            loss = loss + terms.pop("total")
        if self._teacher:
            counts = _of_all_ranks(torch.tensor([len(batch.paired)], device=self.device)).tolist()
            if sum(counts) >= MIN_PAIRS:
                terms |= self._transfer_terms(batch, output, counts)
                weights = (self._transfer.fc1, self._transfer.fc2)
                loss = total_loss(loss, transfer_loss(terms["fc1"], terms["fc2"], weights=weights))
        self.log_dict({f"loss/{name}": term for name, term in terms.items()}, sync_dist=True)
        self.log("loss/total", loss, prog_bar=True, sync_dist=True)
        return loss

    def _transfer_terms(
        self, batch: TrainingBatch, output: TSRNetOutput, counts: Sequence[int]
    ) -> dict[str, Tensor]:
        """L_FC1 and L_FC2 over the pairs of all processes (D12), `counts` of them in each."""
        pooled, hidden = output.pooled[batch.paired], output.hidden[batch.paired]
        source_pooled, source_hidden = torch.zeros_like(pooled), torch.zeros_like(hidden)
        if batch.trimmed is not None:
            teacher = self._teacher[0].to(self.device)
            with torch.no_grad():
                source = teacher(batch.trimmed.features, batch.trimmed.mask)
            source_pooled, source_hidden = source.pooled, source.hidden
        bandwidth = self._transfer.bandwidth
        return {
            name: loss(_of_all_ranks(trimmed, counts), _of_all_ranks(untrimmed, counts), bandwidth=bandwidth)
            for name, loss, trimmed, untrimmed in (
                ("fc1", transfer_fc1, source_pooled, pooled),
                ("fc2", transfer_fc2, source_hidden, hidden),
            )
        }

    def configure_optimizers(self) -> OptimizerLRScheduler:
        settings = self._optimizer
        groups = [
            {"params": parameters, "lr": factor * settings.learning_rate}
            for factor, parameters in self.network.rate_groups()
        ]
        optimizer: torch.optim.Optimizer
        if settings.name == "adamw":
            optimizer = torch.optim.AdamW(groups, weight_decay=settings.weight_decay)
        else:
            optimizer = torch.optim.SGD(
                groups, momentum=settings.momentum, weight_decay=settings.weight_decay
            )
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, settings.decay_every, settings.decay_factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _self_attention_terms(
    output: TSRNetOutput, videos: VideoBatch, losses: LossSettings
) -> dict[str, Tensor]:
    """The terms of L_SA, and as "total" what eq. (2) makes of them."""
    terms = {
        "class": CLASSIFICATION[losses.classification](output.logits, videos.labels),
        "smoothness": smoothness(output.attention, videos.mask),
        "sparsity": SPARSITY[losses.sparsity](output.attention, videos.mask),
    }
    regularised = regularisation(terms["smoothness"], terms["sparsity"], alpha=losses.alpha, beta=losses.beta)
    return {**terms, "total": self_attention_loss(terms["class"], regularised)}


def _of_all_ranks(rows: Tensor, counts: Sequence[int] = (1,)) -> Tensor:
    """(sum of counts, ...) rows of all processes, which have `counts` of them; gradients go back.

    Each process then computes the same loss; the mean over processes that DDP takes of the gradients
    makes of their sum, which comes back here, that of one process.
    """
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return rows
    if len(counts) == 1:
        counts = [*counts] * dist.get_world_size()
    padding = rows.new_zeros(max(counts) - len(rows), *rows.shape[1:])
    gathered = all_gather(torch.cat([rows, padding]))  # type: ignore[no-untyped-call]
    return torch.cat([some[:count] for some, count in zip(gathered, counts, strict=True)])
