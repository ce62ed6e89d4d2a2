"""The predictions of a network for each snippet of the test videos, stored for later localisation."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import BasePredictionWriter
from torch import Tensor

from tsrnet.core.files import make_folder, part_of
from tsrnet.core.seal import seal
from tsrnet.datasets.batch import VideoBatch
from tsrnet.models.video_model import SnippetPredictions

_VIDEOS = "videos.json"
_ARRAYS = ("probabilities", "attention", "activations")


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
        """Itself, in memory: Lightning moves what `predict` returns."""
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
    activations: tuple[npt.NDArray[np.float16], ...]  # of each video, not padded: most is never used

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

    def activations_of(self, video: Tensor, label: Tensor) -> Tensor:
        """(pairs, time) float32 of pairs of a video, in order, and a class."""
        chosen = torch.zeros(len(video), self.mask.shape[1])
        ends = torch.bincount(video, minlength=len(self.ids)).cumsum(0).tolist()
        for block, start, end in zip(self.activations, [0, *ends[:-1]], ends, strict=True):
            columns = block[:, label[start:end].numpy()]
            chosen[start:end, : len(block)] = torch.from_numpy(columns.astype(np.float32).T)
        return chosen


class PredictionStore:
    """A folder with the predictions of one network for all test videos, in flat arrays.

    The folder appears only when it is complete, sealed. Each process that predicts writes a part. Memory
    holds one batch at a time.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(video["id"] for video in self._videos)

    @property
    def lengths(self) -> tuple[int, ...]:
        """Snippets of each video."""
        return tuple(video["length"] for video in self._videos)

    @property
    def _videos(self) -> list[dict[str, Any]]:
        return list(json.loads((self.folder / _VIDEOS).read_text()))

    def batches(self, groups: Iterable[Sequence[int]]) -> Iterator[PredictionBatch]:
        """The videos of each group of positions, in order."""
        videos = self._videos
        for group in groups:
            yield PredictionBatch.of([self._read(videos[position]) for position in group])

    def _read(self, video: Mapping[str, Any]) -> VideoPredictions:
        hops, classes, length = video["hops"], video["classes"], video["length"]

        def rows(name: str, kind: type[np.generic], width: int, start: int, count: int) -> npt.NDArray[Any]:
            # Read, not mapped, so that memory holds no more.
            offset = start * width * np.dtype(kind).itemsize
            path = self.folder / f"{name}.{video['part']}"
            return np.fromfile(path, kind, count * width, offset=offset).reshape(-1, width)

        first = video["first"]
        attention = rows("attention", np.float32, 2 * hops, first, length)
        return VideoPredictions(
            video["id"],
            rows("probabilities", np.float32, classes, video["number"], 1)[0],
            attention[:, :hops],
            attention[:, hops:],
            rows("activations", np.float16, classes, first, length),
        )


class _Part:
    """The files of one process."""

    def __init__(self, folder: Path, number: int) -> None:
        self._folder, self._number = folder, number
        self._files: dict[str, IO[bytes]] = {
            name: (folder / f"{name}.{number}").open("wb") for name in _ARRAYS
        }
        self._videos: list[dict[str, Any]] = []
        self._num_snippets = 0

    def add(self, video: VideoPredictions) -> None:
        self._files["probabilities"].write(video.probabilities.tobytes())
        self._files["attention"].write(np.concatenate([video.logits, video.weights], axis=1).tobytes())
        self._files["activations"].write(video.activations.tobytes())
        entry = {
            "id": video.id,
            "part": self._number,
            "number": len(self._videos),
            "first": self._num_snippets,
        }
        length, hops = video.logits.shape
        self._videos.append({**entry, "length": length, "hops": hops, "classes": len(video.probabilities)})
        self._num_snippets += length

    def close(self) -> None:
        for file in self._files.values():
            file.close()
        (self._folder / f"part.{self._number}.json").write_text(json.dumps(self._videos))


class PredictionWriter(BasePredictionWriter):
    """Writes the predictions of `trainer.predict` into a PredictionStore, from all processes.

    Args:
        store: gets the predictions; its folder appears when the last video is written.
        order: ids of the videos in the order of the store.
        identity: what the predictions depend on; written beside them for people.
    """

    def __init__(
        self, store: PredictionStore, *, order: Sequence[str], identity: Mapping[str, object]
    ) -> None:
        super().__init__("batch")
        self._store, self._order, self._identity = store, order, identity

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # All processes write into the folder that the first one names.
        self._written: Path = trainer.strategy.broadcast(part_of(self._store.folder))
        self._part = _Part(make_folder(self._written), trainer.global_rank)

    def write_on_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        prediction: Sequence[VideoPredictions],
        *_: Any,
    ) -> None:
        for video in prediction:
            self._part.add(video)

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._part.close()
        trainer.strategy.barrier()
        if trainer.is_global_zero:
            parts = list(self._written.glob("part.*.json"))
            videos = {video["id"]: video for part in parts for video in json.loads(part.read_text())}
            for part in parts:
                part.unlink()
            (self._written / "identity.json").write_text(json.dumps(self._identity, indent=1, sort_keys=True))
            (self._written / _VIDEOS).write_text(json.dumps([videos[video_id] for video_id in self._order]))
            seal(self._written, sorted(path.name for path in self._written.iterdir()))
            if self._store.folder.is_dir():  # of a stage that has lost its index
                shutil.rmtree(self._store.folder)
            self._written.replace(self._store.folder)
        trainer.strategy.barrier()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        if written := getattr(self, "_written", None):
            shutil.rmtree(written, ignore_errors=True)
