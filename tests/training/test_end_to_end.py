"""Training through the backbone on small pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tsrnet.features.backbone import Backbone
from tsrnet.features.store import FeatureStore
from tsrnet.models.tsrnet import TSRNet, TSRNetSettings
from tsrnet.training.end_to_end import EndToEnd, FinetunedFeatures, FinetuneSettings
from tsrnet.video.snippet_images import SnippetImages

SETTINGS = TSRNetSettings(attention_size=4, hidden_size=6, dropout=0.0)


def network(stream: str, **settings: object) -> EndToEnd:
    torch.manual_seed(0)
    backbone = Backbone("resnet10", stream=stream)
    head = TSRNet(SETTINGS, num_features=backbone.num_features, num_classes=3)
    return EndToEnd(backbone, head, FinetuneSettings(1, 1, 1.0, **settings))  # type: ignore[arg-type]


def batch(stream: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Two videos of 5 and 3 snippets; grey values, garbage where masked."""
    shape = (2, 5, 32, 32, 3) if stream == "rgb" else (2, 5, 10, 32, 32)
    pixels = torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(1)).float()
    return pixels, torch.arange(5) < torch.tensor([[5], [3]])


@pytest.mark.parametrize("stream", ["rgb", "flow"])
def test_it_is_the_head_on_the_features_of_its_backbone(stream: str) -> None:
    whole = network(stream, chunk=3).eval()
    pixels, mask = batch(stream)
    found = whole(pixels, mask).logits
    for row, length in enumerate((5, 3)):
        inputs = pixels[row, :length] if stream == "rgb" else pixels[row, :length] / 127.5 - 1
        features = whole.backbone(inputs).unsqueeze(0)
        alone = whole.head(features, torch.ones(1, length, dtype=torch.bool)).logits
        torch.testing.assert_close(found[row : row + 1], alone, rtol=1e-4, atol=1e-5)


def test_checkpointing_changes_no_gradient_and_all_of_the_backbone_learns() -> None:
    pixels, mask = batch("rgb")
    gradients = []
    for settings in ({"checkpointing": False, "chunk": 100}, {"checkpointing": True, "chunk": 3}):
        whole = network("rgb", **settings).train()
        whole(pixels, mask).logits.square().sum().backward()
        gradients.append({name: p.grad for name, p in whole.named_parameters()})
    assert all(grad is not None and bool(grad.any()) for grad in gradients[0].values())
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-3, atol=1e-4)


def test_normalisation_keeps_its_statistics() -> None:
    whole = network("rgb").train()
    before = {name: value.clone() for name, value in whole.backbone.named_buffers()}
    whole(*batch("rgb"))
    assert all(bool((value == before[name]).all()) for name, value in whole.backbone.named_buffers())
    assert whole.head.training


def test_the_backbone_has_a_rate_of_its_own() -> None:
    whole = network("rgb", learning_rate_factor=0.1)
    (one, head), (factor, backbone) = whole.rate_groups()
    assert (one, factor) == (1.0, 0.1)
    assert len(head) + len(backbone) == len(list(whole.parameters()))


@pytest.mark.parametrize("stream", ["rgb", "flow"])
def test_features_of_a_video_are_those_of_its_images(stream: str, tmp_path: Path) -> None:
    """All snippets, in chunks; JPEG changes smooth pictures little."""
    ramp = np.linspace(0, 1, 32, dtype=np.float32)
    picture = ramp[None, :, None] * ramp[None, None, :] * np.linspace(0.2, 1, 7)[:, None, None]
    if stream == "rgb":
        snippets = np.repeat((255 * picture[..., None]).astype(np.uint8), 3, axis=3)
    else:
        snippets = np.repeat((2 * picture[:, None] - 1).astype(np.float16), 10, axis=1)
    images = SnippetImages(tmp_path, stream)
    images.add("a", 0, snippets[:4], last=False)
    assert not images.path("a").exists()
    images.add("a", 4, snippets[4:], last=True)
    whole = network(stream).eval()
    store = FeatureStore(tmp_path)
    store.write(stream, "a", np.zeros((7, 512), np.float16))
    with torch.inference_mode():
        wanted = whole.backbone(torch.from_numpy(snippets).float()).numpy()
    for chunk in (2, 100):
        found = FinetunedFeatures(whole, store, chunk).read(stream, "a")
        np.testing.assert_allclose(found, wanted, atol=0.05 * np.abs(wanted).max())


def test_the_backbone_follows_the_head_to_the_device_of_the_trainer(tmp_path: Path) -> None:
    SnippetImages(tmp_path, "rgb").add("a", 0, np.zeros((2, 32, 32, 3), np.uint8), last=True)
    whole, store = network("rgb"), FeatureStore(tmp_path)
    store.write("rgb", "a", np.zeros((2, 4), np.float16))
    source = FinetunedFeatures(whole, store, 8)
    whole.head.to("meta")  # as a trainer does, with a device that every machine has; it holds no numbers
    with pytest.raises((NotImplementedError, RuntimeError), match="meta"):
        source.read("rgb", "a")
    assert {one.device.type for one in whole.backbone.parameters()} == {"meta"}
