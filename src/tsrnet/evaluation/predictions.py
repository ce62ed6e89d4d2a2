"""The predictions of a network for each snippet of the test videos, stored for later localisation."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import BasePredictionWriter
from safetensors import safe_open
from safetensors.numpy import load_file, save
from torch import Tensor

from tsrnet.core.files import make_folder, part_of
from tsrnet.core.seal import seal
from tsrnet.datasets.batch import VideoBatch
from tsrnet.localization.settings import ActivationForm
from tsrnet.models.video_model import SnippetPredictions

_VIDEOS = "videos.json"


@dataclass(frozen=True)
class VideoPredictions:
    """The predictions of one network for a video of n snippets.

    `probabilities` (classes,); `logits` and `weights` (n, hops), the attention before and after the
    softmax of eq. (1); `activations` (n, classes), v_c^T x_i of eq. (10).
    """

    id: str
    probabilities: npt.NDArray[np.float32]
    logits: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32]
    activations: npt.NDArray[np.float16]

    def to(self, device: Any, **_: Any) -> VideoPredictions:
        """Return itself, which stays in memory: Lightning moves what `predict` returns."""
        return self


def video_predictions(batch: VideoBatch, predictions: SnippetPredictions) -> list[VideoPredictions]:
    """The predictions of a batch video by video, without padding."""
    return [
        VideoPredictions(
            video_id,
            predictions.probabilities[row].detach().float().cpu().numpy(),
            predictions.logits[row, real].detach().float().cpu().numpy(),
            predictions.weights[row, real].detach().float().cpu().numpy(),
            predictions.activations[row, real].detach().half().cpu().numpy(),
        )
        for row, (video_id, real) in enumerate(zip(batch.ids, batch.mask, strict=True))
    ]


@dataclass(frozen=True)
class PredictionBatch:
    """Videos padded to the longest; as VideoPredictions, with a first dimension for the video."""

    ids: tuple[str, ...]
    mask: Tensor
    probabilities: Tensor
    logits: Tensor
    weights: Tensor
    activations: tuple[npt.NDArray[np.float16], ...]  # one per video, not padded: most is never used

    @classmethod
    def of(cls, videos: Sequence[VideoPredictions]) -> PredictionBatch:
        pad = torch.nn.utils.rnn.pad_sequence
        logits = pad([torch.from_numpy(video.logits) for video in videos], batch_first=True)
        lengths = torch.tensor([len(video.logits) for video in videos])
        return cls(
            tuple(video.id for video in videos),
            torch.arange(logits.shape[1]) < lengths.unsqueeze(1),
            torch.from_numpy(np.stack([video.probabilities for video in videos])),
            logits,
            pad([torch.from_numpy(video.weights) for video in videos], batch_first=True),
            tuple(video.activations for video in videos),
        )

    def activations_of(self, video: Tensor, label: Tensor, *, form: ActivationForm) -> Tensor:
        """(pairs, time) float32 for pairs of a video, in order, and a class.

        The softmax over classes does not see a constant that is added to all activations of a snippet, but
        the sigmoid of eq. (10) does. AdamW lets it drift, further with more classes; "centered" removes it.
        """
        chosen = torch.zeros(len(video), self.mask.shape[1])
        ends = torch.bincount(video, minlength=len(self.ids)).cumsum(0).tolist()
        for block, start, end in zip(self.activations, [0, *ends[:-1]], ends, strict=True):
            columns = block[:, label[start:end].numpy()].astype(np.float32)
            if form == "centered":
                columns -= block.mean(axis=1, dtype=np.float32, keepdims=True)
            chosen[start:end, : len(block)] = torch.from_numpy(columns.T)
        return chosen


class PredictionStore:
    """A folder with the predictions of one network for all test videos: `<position>.safetensors` for each.

    The folder appears only when it is complete and sealed. Memory holds one batch at a time.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def _videos(self) -> dict[str, int]:
        """Id -> number of snippets, in order."""
        return dict(json.loads((self.folder / _VIDEOS).read_text()))

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(self._videos)

    @property
    def lengths(self) -> tuple[int, ...]:
        """Snippets of each video."""
        return tuple(self._videos.values())

    def batches(self, groups: Iterable[Sequence[int]]) -> Iterator[PredictionBatch]:
        """The videos of each group of positions, in order."""
        ids = self.ids
        for group in groups:
            arrays = {position: load_file(_file(self.folder, position)) for position in group}
            yield PredictionBatch.of([VideoPredictions(ids[i], **values) for i, values in arrays.items()])


def _file(folder: Path, position: int) -> Path:
    return folder / f"{position}.safetensors"


class PredictionWriter(BasePredictionWriter):
    """Writes the predictions of `trainer.predict` into a PredictionStore, from all processes.

    `order`: the ids of the videos. `identity`: what the predictions depend on, for people.
    """

    def __init__(
        self, store: PredictionStore, *, order: Sequence[str], identity: Mapping[str, object]
    ) -> None:
        super().__init__("batch")
        self._store, self._identity = store, identity
        self._position = {video_id: position for position, video_id in enumerate(order)}

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # All processes write into the folder that the first one names.
        self._written: Path = make_folder(trainer.strategy.broadcast(part_of(self._store.folder)))

    def write_on_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        prediction: Sequence[VideoPredictions],
        *_: Any,
    ) -> None:
        for video in prediction:
            arrays = {name: value for name, value in vars(video).items() if name != "id"}
            _file(self._written, self._position[video.id]).write_bytes(save(arrays))

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        trainer.strategy.barrier()
        if trainer.is_global_zero:
            lengths = {video_id: _length(_file(self._written, i)) for video_id, i in self._position.items()}
            (self._written / _VIDEOS).write_text(json.dumps(lengths))
            (self._written / "identity.json").write_text(json.dumps(self._identity, indent=1, sort_keys=True))
            seal(self._written, sorted(path.name for path in self._written.iterdir()))
            if self._store.folder.is_dir():  # left by a stage that has lost its index
                shutil.rmtree(self._store.folder)
            self._written.replace(self._store.folder)
        trainer.strategy.barrier()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        if written := getattr(self, "_written", None):
            shutil.rmtree(written, ignore_errors=True)


def _length(path: Path) -> int:
    with safe_open(path, "np") as file:
        return int(file.get_slice("logits").get_shape()[0])
