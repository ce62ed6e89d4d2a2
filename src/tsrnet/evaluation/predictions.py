"""What a network says of each snippet of the test videos, kept so that localisation need not run it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tsrnet.core.errors import UserError
from tsrnet.core.files import make_folder, part_of
from tsrnet.datasets.batch import VideoBatch
from tsrnet.models.video_model import SnippetPredictions, VideoModel

_INDEX = "index.json"


@dataclass(frozen=True)
class VideoActivations:
    """One stream's view of a video of n snippets.

    `probabilities` (classes,); `logits` and `weights` (n, hops), the attention before and after the
    softmax of eq. (1); `activations` (n, classes), v_c^T x_i of eq. (10).
    """

    id: str
    probabilities: npt.NDArray[np.float32]
    logits: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32]
    activations: npt.NDArray[np.float16]


@torch.inference_mode()
def activations_of(
    network: VideoModel, batches: Iterable[VideoBatch], *, device: torch.device
) -> Iterator[VideoActivations]:
    """Run a network over the videos, one after the other."""
    network.eval().to(device)
    for loaded in batches:
        batch = loaded.to(device)
        view: SnippetPredictions = network.predict(batch.features, batch.mask)
        for row, video_id in enumerate(batch.ids):
            real = batch.mask[row]
            yield VideoActivations(
                video_id,
                view.probabilities[row].float().cpu().numpy(),
                view.logits[row, real].float().cpu().numpy(),
                view.weights[row, real].float().cpu().numpy(),
                view.activations[row, real].half().cpu().numpy(),
            )


@dataclass(frozen=True)
class ActivationBatch:
    """Videos padded to the longest; as VideoActivations, with a first dimension for the video."""

    ids: tuple[str, ...]
    mask: Tensor
    probabilities: Tensor
    logits: Tensor
    weights: Tensor
    activations: tuple[npt.NDArray[np.float16], ...]  # of each video, not padded: most is never used

    def activations_of(self, video: Tensor, label: Tensor) -> Tensor:
        """(pairs, time) float32 of pairs of a video, in order, and a class."""
        chosen = torch.zeros(len(video), self.mask.shape[1])
        ends = torch.bincount(video, minlength=len(self.ids)).cumsum(0).tolist()
        for block, start, end in zip(self.activations, [0, *ends[:-1]], ends, strict=True):
            columns = block[:, label[start:end].numpy()]
            chosen[start:end, : len(block)] = torch.from_numpy(columns.astype(np.float32).T)
        return chosen


class ActivationStore:
    """A folder with the activations of all test videos by one network, in flat arrays.

    It appears whole. The memory holds what a batch needs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def finished(self) -> bool:
        return (self.folder / _INDEX).is_file()

    def write(self, videos: Iterable[VideoActivations], identity: Mapping[str, object]) -> None:
        """Store what a network says of all videos; `identity` is kept beside it, for people."""
        part = make_folder(part_of(self.folder))
        ids, lengths, widths = [], [], (0, 0)
        try:
            with (
                (part / "probabilities").open("wb") as probabilities,
                (part / "attention").open("wb") as attention,
                (part / "activations").open("wb") as activations,
            ):
                for video in videos:
                    ids.append(video.id)
                    lengths.append(len(video.logits))
                    widths = (video.logits.shape[1], video.activations.shape[1])
                    probabilities.write(video.probabilities.tobytes())
                    attention.write(np.concatenate([video.logits, video.weights], axis=1).tobytes())
                    activations.write(video.activations.tobytes())
            index = {"ids": ids, "lengths": lengths, "hops": widths[0], "classes": widths[1]}
            (part / "identity.json").write_text(json.dumps(identity, indent=1, sort_keys=True))
            (part / _INDEX).write_text(json.dumps(index))
            part.replace(self.folder)
        except OSError as error:
            raise UserError(
                f"{self.folder}: cannot be written ({error.strerror or error}); free some space"
            ) from error
        finally:
            shutil.rmtree(part, ignore_errors=True)

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(self._index["ids"])

    @property
    def lengths(self) -> tuple[int, ...]:
        """Snippets of each video."""
        return tuple(self._index["lengths"])

    @property
    def _index(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / _INDEX).read_text()))

    def batches(self, groups: Iterable[Sequence[int]]) -> Iterator[ActivationBatch]:
        """The videos of each group of positions, in order."""
        index = self._index
        hops, width = int(index["hops"]), int(index["classes"])
        lengths = np.array(index["lengths"], np.int64)
        ends = lengths.cumsum()
        probabilities = self._rows("probabilities", np.float32, width, 0, len(lengths))
        for group in groups:
            spans = [(int(ends[i] - lengths[i]), int(lengths[i])) for i in group]
            both = torch.nn.utils.rnn.pad_sequence(
                [torch.from_numpy(self._rows("attention", np.float32, 2 * hops, *span)) for span in spans],
                batch_first=True,
            )
            yield ActivationBatch(
                tuple(index["ids"][i] for i in group),
                torch.arange(both.shape[1]) < torch.from_numpy(lengths[list(group)]).unsqueeze(1),
                torch.from_numpy(probabilities[list(group)]),
                both[..., :hops],
                both[..., hops:],
                tuple(self._rows("activations", np.float16, width, *span) for span in spans),
            )

    def _rows(
        self, name: str, kind: type[np.generic], width: int, start: int, count: int
    ) -> npt.NDArray[Any]:
        """Rows start, ..., start + count - 1; read, not mapped, so that memory holds no more."""
        size = np.dtype(kind).itemsize * width
        return np.fromfile(self.folder / name, kind, count * width, offset=start * size).reshape(-1, width)
