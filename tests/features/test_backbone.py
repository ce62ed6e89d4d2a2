"""Backbones: the flow network's first convolution, weights from a file, the input's layout."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision

from tsrnet.core.errors import UserError
from tsrnet.features.backbone import (
    Backbone,
    imagenet_weights,
    inflate_first_convolution,
    load_backbone,
)


def test_inflated_kernel_is_the_mean_of_the_rgb_kernels() -> None:
    rgb = torch.nn.Conv2d(3, 4, 7, stride=2, padding=3, bias=False)
    flow = inflate_first_convolution(rgb, 10)
    expected = (rgb.weight[:, 0] + rgb.weight[:, 1] + rgb.weight[:, 2]) / 3
    assert flow.weight.shape == (4, 10, 7, 7)
    for channel in range(10):
        torch.testing.assert_close(flow.weight[:, channel], expected)


def test_torchvision_weights_load_from_a_file_into_both_streams(tmp_path: Path) -> None:
    torch.manual_seed(0)
    reference = torchvision.models.resnet18().eval()
    torch.save(reference.state_dict(), tmp_path / "weights.pt")
    rgb = load_backbone("resnet18", stream="rgb", weights=str(tmp_path / "weights.pt"))
    flow = load_backbone("resnet18", stream="flow", weights=str(tmp_path / "weights.pt"))
    images = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    reference.fc = torch.nn.Identity()
    with torch.no_grad():
        expected = reference(((images / 255 - mean) / std).permute(0, 3, 1, 2))
        torch.testing.assert_close(rgb(images), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        flow.network.conv1.weight, reference.conv1.weight.mean(1, keepdim=True).expand(-1, 10, -1, -1)
    )
    assert not any(parameter.requires_grad for parameter in flow.parameters())


def test_a_backbone_saves_and_loads_itself(tmp_path: Path) -> None:
    torch.manual_seed(0)
    backbone = Backbone("resnet10", stream="flow").eval()
    torch.save(backbone.state_dict(), tmp_path / "own.pt")
    loaded = load_backbone("resnet10", stream="flow", weights=str(tmp_path / "own.pt"))
    stacks = torch.randn(2, 10, 32, 32).half()
    with torch.no_grad():
        torch.testing.assert_close(loaded(stacks), backbone(stacks))


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "densenet121", "convnext_tiny", "shufflenet_v2_x0_5"])
def test_other_networks_of_torchvision_serve_too(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    reference = torchvision.models.get_model(name).eval()
    torch.save(reference.state_dict(), tmp_path / "weights.pt")
    for stream, shape in (("rgb", (2, 64, 64, 3)), ("flow", (2, 10, 64, 64))):
        backbone = load_backbone(name, stream=stream, weights=str(tmp_path / "weights.pt"))
        features = backbone.features(torch.ones(shape).numpy())
        assert features.shape == (2, backbone.num_features)


def test_names_of_published_weights() -> None:
    assert imagenet_weights("resnet101", "imagenet") == "IMAGENET1K_V2"
    assert imagenet_weights("resnet101", "IMAGENET1K_V1") == "IMAGENET1K_V1"
    assert imagenet_weights("resnet101", "some.pt") is None
    assert imagenet_weights("resnet10", "imagenet") is None


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"features\.backbone: got vgg99"):
        Backbone("vgg99", stream="rgb")
    with pytest.raises(UserError, match=r"features\.backbone: got squeezenet1_1.*linear layer"):
        Backbone("squeezenet1_1", stream="rgb")
    with pytest.raises(UserError, match=r"features\.weights: got nowhere\.pt"):
        load_backbone("resnet18", stream="rgb", weights="nowhere.pt")
    torch.save(torchvision.models.resnet34().state_dict(), tmp_path / "other.pt")
    with pytest.raises(UserError, match=r"other\.pt: got a file without the weights of resnet18"):
        load_backbone("resnet18", stream="rgb", weights=str(tmp_path / "other.pt"))
