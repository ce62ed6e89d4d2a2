"""Networks of clips: which frames they see, the preprocessing of their weights, extraction in chunks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import cv2
import hydra
import numpy as np
import pytest
import torch
from omegaconf import DictConfig
from torchvision.models import get_model, get_model_weights

from tsrnet.core.cli import conf_folder
from tsrnet.core.errors import UserError
from tsrnet.core.settings import settings_of
from tsrnet.features.backbone import Backbone, load_backbone
from tsrnet.features.extractor import Extraction, extract
from tsrnet.features.store import FeatureStore
from tsrnet.video.flow_settings import DIS
from tsrnet.video.snippet_images import SnippetImages
from tsrnet.video.snippets import ClipSettings, SnippetSettings, clips_of, read_frames, snippets_of
from tsrnet.video.video_file import VideoFile
from tsrnet.video.writer import write_video

LAST = {"r2plus1d_18": "fc", "s3d": "classifier.1", "mvit_v2_s": "head.1", "swin3d_t": "head"}
"""The presets, and the layer that each lacks."""
SMALL = SnippetSettings(resize=32, crop=32, flow=DIS(), clip=ClipSettings(frames=4, stride=2))


def preset(name: str) -> DictConfig:
    """A file of conf/features."""
    with hydra.initialize_config_dir(str(conf_folder()), version_base="1.3"):
        return hydra.compose("extract", [f"features={name}", "stream=rgb"]).features


def clips(path: Path, start: int, stop: int, settings: SnippetSettings) -> np.ndarray:
    """(n, frames, crop, crop, 3) of the snippets start, ..., stop - 1."""
    found = snippets_of(read_frames(path, start, stop, settings), settings, ("rgb",))
    assert found.rgb is not None
    assert settings.clip is not None
    return clips_of(found.rgb, settings.clip)


class NumberedFrames:
    """A video of 60 frames; all pixels of frame k are k."""

    def read(self, start: int, stop: int, *, resize: object, crop: int) -> np.ndarray:
        numbers = np.clip(np.arange(start, stop), 0, 59).astype(np.uint8)
        return np.broadcast_to(numbers[:, None, None, None], (len(numbers), crop, crop, 3))


@pytest.mark.parametrize(("frames", "stride"), [(16, 1), (5, 3), (8, 4), (5, 1), (2, 5)])
def test_a_clip_is_around_the_middle_of_its_snippet(
    frames: int, stride: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tsrnet.video.snippets._frames_of", lambda *_: NumberedFrames())
    found = clips(Path(), 0, 12, replace(SMALL, clip=ClipSettings(frames, stride)))
    assert found.shape == (12, frames, 32, 32, 3)
    shown = found[:, :, 0, 0, 0].astype(int)
    inside = (shown.min(1) > 0) & (shown.max(1) < 59)
    assert inside.sum() >= 4
    assert (np.diff(shown[inside]) == stride).all()
    middle = shown[inside].mean(1) - 5 * np.arange(12)[inside]
    assert (np.abs(middle - 2.25) <= 0.25).all()  # the middle frame, or half a frame later
    np.testing.assert_array_equal(shown[0], np.maximum(shown[6] - 30, 0))  # the first frame is repeated
    np.testing.assert_array_equal(shown[11], np.minimum(shown[6] + 25, 59))


def test_clips_of_chunks_join_without_a_seam_and_leave_the_flow_alone(moving_square: Path) -> None:
    whole = clips(moving_square, 0, 12, SMALL)
    parts = [clips(moving_square, a, b, SMALL) for a, b in ((0, 1), (1, 6), (6, 12))]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    both, alone = (
        snippets_of(read_frames(moving_square, 3, 6, settings), settings, ("rgb", "flow"))
        for settings in (SMALL, replace(SMALL, clip=None))
    )
    np.testing.assert_array_equal(both.flow, alone.flow)


@pytest.mark.parametrize("name", LAST)
def test_a_preset_has_the_preprocessing_of_its_weights(name: str, tmp_path: Path) -> None:
    """Pixels of the reader, normalised by the backbone, against torchvision's transforms of the file's."""
    config = preset(name)
    assert config.backbone == name
    settings = settings_of(SnippetSettings, config, where="features")
    coarse = np.random.default_rng(0).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    image = np.asarray(cv2.resize(coarse, (384, 288), interpolation=cv2.INTER_CUBIC), np.uint8)
    write_video(tmp_path / "a.mp4", [image] * 10, frame_rate_hz=30)
    with av.open(str(tmp_path / "a.mp4")) as container:
        native = next(container.decode(video=0)).to_ndarray(format="rgb24")
    expected = get_model_weights(name).DEFAULT.transforms()(torch.from_numpy(native).permute(2, 0, 1)[None])
    backbone = Backbone(name, stream="rgb")
    backbone.network = torch.nn.Identity()
    ours = backbone(torch.from_numpy(clips(tmp_path / "a.mp4", 0, 1, settings).copy()))[0]
    assert ours.shape[2:] == expected.shape[2:]
    assert (ours[:, :1] - expected).abs().mean() < 0.02  # the deviation of a channel is 1
    assert (ours[:, :1] - expected).abs().max() < 0.1


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("r2plus1d_18", (8, 32, 32)),
        ("s3d", (14, 224, 224)),
        ("swin3d_t", (4, 64, 64)),
        pytest.param("mvit_v2_s", (16, 224, 224), marks=pytest.mark.slow),  # it takes no smaller ones
    ],
)
def test_features_are_what_the_last_layer_of_the_network_sees(name: str, shape: tuple[int, ...]) -> None:
    frames = torch.randint(0, 256, (1, *shape, 3), dtype=torch.uint8)
    torch.manual_seed(0)
    reference = get_model(name).eval()
    torch.manual_seed(0)
    backbone = Backbone(name, stream="rgb").eval()
    state, kind = reference.state_dict(), get_model_weights(name).DEFAULT.transforms()
    weight, bias = (state[f"{LAST[name]}.{part}"].squeeze() for part in ("weight", "bias"))
    with torch.no_grad():
        images = (frames / 255 - torch.tensor(kind.mean)) / torch.tensor(kind.std)
        logits = reference(images.permute(0, 4, 1, 2, 3))
        features = backbone(frames)
    assert features.shape == (1, backbone.num_features)
    torch.testing.assert_close(features @ weight.T + bias, logits, rtol=1e-3, atol=1e-4)


def test_the_weights_of_a_file_are_loaded(tmp_path: Path) -> None:
    reference = get_model("s3d")
    torch.save(reference.state_dict(), tmp_path / "weights.pt")
    backbone = load_backbone("s3d", stream="rgb", weights=str(tmp_path / "weights.pt"))
    for key, value in backbone.network.state_dict().items():
        assert torch.equal(value, reference.state_dict()[key])


def test_clips_and_the_flow_of_an_image_network_are_extracted_together(
    moving_square: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In chunks of 5 snippets and batches of 16, which end elsewhere than the videos."""
    monkeypatch.setattr("tsrnet.video.chunk.CHUNK", 5)
    torch.manual_seed(0)
    networks = {stream: Backbone("r3d_18+resnet10", stream=stream).eval() for stream in ("rgb", "flow")}
    store = FeatureStore(tmp_path)
    videos = [VideoFile(name, moving_square) for name in ("one", "two")]
    assert extract(videos, store, networks, Extraction(SMALL, workers=1), what="test") == {}
    with torch.no_grad():
        expected = networks["rgb"](torch.from_numpy(clips(moving_square, 0, 12, SMALL).copy()))
    for video in videos:
        np.testing.assert_allclose(store.read("rgb", video.id), expected, rtol=2e-3, atol=2e-3)
        assert store.read("flow", video.id).shape == (12, 256)


def test_what_does_not_fit_is_named(moving_square: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"got s3d for the flow stream, .* only RGB; give stream=rgb"):
        Backbone("s3d", stream="flow")
    with pytest.raises(UserError, match=r"features\.clip: got None, r3d_18 needs frames and stride"):
        Backbone("r3d_18", stream="rgb").check(replace(SMALL, clip=None))
    with pytest.raises(UserError, match=r"features\.clip: got ClipSettings.*, resnet10 needs null"):
        Backbone("resnet10", stream="rgb").check(SMALL)
    with pytest.raises(UserError, match=r"features\.crop: got 32, s3d cannot take rgb of \(4, 32, 32, 3\)"):
        Backbone("s3d", stream="rgb").eval().check(SMALL)
    with pytest.raises(UserError, match=r"features\.clip\.frames: got 2 with stride=2, need a clip over"):
        settings_of(SnippetSettings, {"clip": {"frames": 2, "stride": 2}}, where="features")
    images = Extraction(SMALL, workers=1, images={"rgb": SnippetImages(tmp_path, "rgb")})
    networks = {"rgb": Backbone("r3d_18", stream="rgb")}
    with pytest.raises(UserError, match=r"backbone\.finetune: got true with a network for clips"):
        extract([VideoFile("a", moving_square)], FeatureStore(tmp_path), networks, images, what="test")
