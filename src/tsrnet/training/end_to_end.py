"""Training through the backbone: frames and flow in place of features."""

from __future__ import annotations

from dataclasses import field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tsrnet.core.identity import no_effect
from tsrnet.core.settings import KNOWN_KEYS, Count, NonNegative, Positive
from tsrnet.datasets.snippet_sampler import SamplingSettings
from tsrnet.features.backbone import Backbone
from tsrnet.features.store import FeatureStore
from tsrnet.models.classifier import Classifier
from tsrnet.models.video_model import SnippetPredictions, VideoModel
from tsrnet.video.snippet_images import SnippetImages
from tsrnet.video.time_grid import TimeGrid


@dataclass(frozen=True, config=KNOWN_KEYS)
class FinetuneSettings:
    """Settings of the training through the backbone, which follows one on frozen features.

    `max_steps` of a stream, `teacher_steps` of its teacher. `alpha`: weight of R_smooth, which is far larger
    over a few sampled snippets than over all of a video. The learning rate of the backbone is
    `learning_rate_factor` times that of the rest. `chunk` snippets go through it at a time; with
    `checkpointing`, memory holds the activations of one chunk only.
    """

    max_steps: Count
    teacher_steps: Count
    alpha: NonNegative
    learning_rate_factor: Positive = 1.0
    chunk: Count = no_effect(32)
    checkpointing: bool = no_effect(True)
    sampling: SamplingSettings = field(default_factory=SamplingSettings)


class EndToEnd(VideoModel):
    """A network on the features that its backbone makes of pixels.

    Batch normalisation keeps its initial statistics, because those of a few videos are poor.
    """

    def __init__(self, backbone: Backbone, head: VideoModel, settings: FinetuneSettings) -> None:
        super().__init__()
        self.backbone = backbone.requires_grad_(True)
        self.head = head
        self._settings = settings

    def train(self, mode: bool = True) -> EndToEnd:
        super().train(mode)
        for part in self.backbone.modules():
            if isinstance(part, nn.modules.batchnorm._BatchNorm):
                part.eval()
        return self

    def features(self, pixels: Tensor) -> Tensor:
        """(n, d) of (n, h, w, 3) RGB or (n, 10, h, w) flow, grey values 0 to 255."""
        if self.backbone.stream == "flow":
            pixels = pixels / 127.5 - 1
        chunks = torch.split(pixels, self._settings.chunk)
        if self._settings.checkpointing and torch.is_grad_enabled():
            return torch.cat([checkpoint(self.backbone, chunk, use_reentrant=False) for chunk in chunks])
        return torch.cat([self.backbone(chunk) for chunk in chunks])

    def forward(self, pixels: Tensor, mask: Tensor) -> Any:
        """pixels (batch, time, ...), mask (batch, time) -> the head's output."""
        return self.head(self._padded_features(pixels, mask), mask)

    def predict(self, features: Tensor, mask: Tensor) -> SnippetPredictions:
        return self.head.predict(self._padded_features(features, mask), mask)

    def loss_terms(self, output: Any, mask: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return self.head.loss_terms(output, mask, labels)

    @property
    def classification(self) -> Classifier:
        return self.head.classification

    def rate_groups(self) -> list[tuple[float, list[nn.Parameter]]]:
        factor = self._settings.learning_rate_factor
        return [(1.0, list(self.head.parameters())), (factor, list(self.backbone.parameters()))]

    def _padded_features(self, pixels: Tensor, mask: Tensor) -> Tensor:
        rows = self.features(pixels[mask])
        return rows.new_zeros(*mask.shape, rows.shape[-1]).masked_scatter(mask.unsqueeze(-1), rows)


class FinetunedFeatures:
    """The features of videos by a trained backbone, computed when they are read; a `FeatureSource`.

    All snippets of a video are computed, a chunk at a time, on the device that the trainer has moved the head
    of the network to; `store` has their number.
    """

    def __init__(self, network: EndToEnd, store: FeatureStore, chunk: int) -> None:
        self._network, self._store, self._chunk = network.eval(), store, chunk

    @property
    def identity(self) -> dict[str, Any]:
        return self._store.identity

    def time_grid(self, video_id: str, num_snippets: int, duration_s: float | None) -> TimeGrid:
        return self._store.time_grid(video_id, num_snippets, duration_s)

    @torch.inference_mode()
    def read(self, stream: str, video_id: str) -> npt.NDArray[np.float32]:
        """(n, d) features of a video."""
        images = SnippetImages(self._store.folder, stream)
        length = len(self._store.read(stream, video_id))
        device = next(self._network.head.parameters()).device
        self._network.backbone.to(device)
        rows = [
            self._network.features(
                torch.from_numpy(images.read(video_id, range(start, stop))).to(device).float()
            )
            for start, stop in ((i, min(i + self._chunk, length)) for i in range(0, length, self._chunk))
        ]
        features: npt.NDArray[np.float32] = torch.cat(rows).float().cpu().numpy()
        return features
