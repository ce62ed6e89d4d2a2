"""Knowledge transfer from a frozen teacher to the network of untrimmed videos."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.nn.functional import all_gather

from tsrnet.datasets.batch import TrainingBatch, VideoBatch
from tsrnet.losses.distillation import distillation, soft_targets
from tsrnet.losses.mmd import transfer_fc1, transfer_fc2
from tsrnet.losses.objective import TransferSettings, transfer_loss
from tsrnet.models.tsrnet import TSRNetOutput
from tsrnet.models.video_model import VideoModel

# The function that the message recommends is private to torch.
warnings.filterwarnings("ignore", message=".*all_gather is deprecated.*", category=FutureWarning)

MIN_PAIRS = 2
"""With fewer pairs, a batch has no MMD (D11)."""


class KnowledgeTransfer:
    """L_KT: the MMD of eq. (6) to (8), distillation, or both.

    Not a torch module, so that the teacher is not part of the weights and checkpoints of the network.

    Args:
        teacher: trained on trimmed clips; it is frozen (D12).
        settings: weights of the terms, and the kernel.
        rows: class of the untrimmed videos -> class of the teacher that shows the same action.
    """

    def __init__(self, teacher: VideoModel, settings: TransferSettings, rows: Mapping[int, int]) -> None:
        self.teacher = teacher.eval().requires_grad_(False)
        self._settings, self._rows = settings, rows

    def terms(self, batch: TrainingBatch, output: TSRNetOutput) -> dict[str, Tensor]:
        """Return the terms by name, and L_KT as "total"; no MMD if the batch has too few pairs."""
        settings, videos = self._settings, batch.videos
        self.teacher.to(videos.features.device)
        terms = self._mmd_terms(batch, output) if settings.matches else {}
        total = videos.features.new_zeros(())
        if terms:
            total = transfer_loss(terms["fc1"], terms["fc2"], weights=(settings.fc1, settings.fc2))
        if settings.distill:
            scores, mask = output.snippet_scores(), videos.mask
            terms["distill"] = distillation(scores, self._targets(videos), mask)
            total = total + settings.distill * terms["distill"]
        return {**terms, "total": total}

    @torch.no_grad()
    def _targets(self, videos: VideoBatch) -> Tensor:
        """What the teacher sees in each snippet, (batch, time, classes)."""
        activations = self.teacher.predict(videos.features, videos.mask).activations
        probabilities = (activations / self._settings.temperature).softmax(dim=-1)
        seen = probabilities.new_zeros(*videos.mask.shape, videos.labels.shape[1])
        seen[..., list(self._rows)] = probabilities[..., list(self._rows.values())]
        return soft_targets(seen, videos.mask, videos.labels, confidence=self._settings.confidence)

    def _mmd_terms(self, batch: TrainingBatch, output: TSRNetOutput) -> dict[str, Tensor]:
        """L_FC1 and L_FC2 of eq. (7) and (8) over the pairs of all processes (D12); empty for too few."""
        counts = _of_all_ranks(torch.tensor([len(batch.paired)], device=output.pooled.device)).tolist()
        if sum(counts) < MIN_PAIRS:
            return {}
        pooled, hidden = output.pooled[batch.paired], output.hidden[batch.paired]
        source_pooled, source_hidden = torch.zeros_like(pooled), torch.zeros_like(hidden)
        classes = torch.zeros(0, dtype=torch.long, device=pooled.device)
        if batch.trimmed is not None:
            classes = batch.trimmed.labels.argmax(dim=1)
            with torch.no_grad():
                source = self.teacher(batch.trimmed.features, batch.trimmed.mask)
            source_pooled, source_hidden = source.pooled, source.hidden
        return {
            name: loss(
                _of_all_ranks(trimmed, counts),
                _of_all_ranks(untrimmed, counts),
                bandwidth=self._settings.bandwidth,
                kernels=self._settings.kernels,
                classes=_of_all_ranks(classes, counts) if self._settings.per_class else None,
            )
            for name, loss, trimmed, untrimmed in (
                ("fc1", transfer_fc1, source_pooled, pooled),
                ("fc2", transfer_fc2, source_hidden, hidden),
            )
        }


def _of_all_ranks(rows: Tensor, counts: Sequence[int] = (1,)) -> Tensor:
    """(sum of counts, ...) rows of all processes, which have `counts` of them; with gradients.

    Each process then computes the same loss. The gradients that come back are summed over the processes, and
    DDP's mean over processes turns this sum into the gradient of one process.
    """
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return rows
    if len(counts) == 1:
        counts = [*counts] * dist.get_world_size()
    padding = rows.new_zeros(max(counts) - len(rows), *rows.shape[1:])
    gathered = all_gather(torch.cat([rows, padding]))  # type: ignore[no-untyped-call]
    return torch.cat([some[:count] for some, count in zip(gathered, counts, strict=True)])
