"""The networks of a run as ONNX: features of a video in, the inputs of the localisation out."""

from __future__ import annotations

import json
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from tsrnet.core.errors import UserError
from tsrnet.core.files import atomic_path
from tsrnet.core.reading import brief
from tsrnet.core.weights import State, load_weights
from tsrnet.models.registry import ModelSettings, build_model, model_name
from tsrnet.models.video_model import VideoModel
from tsrnet.pipeline.config import RunConfig
from tsrnet.pipeline.model_folder import ModelDescription, read_model

OUTPUTS = ("probabilities", "attention_logits", "attention", "activations")
"""(classes,), (time, hops), (time, hops), (time, classes): those of `SnippetPredictions`, of one video."""
TOLERANCE = 1e-4
_LENGTHS = (2, 37, 400)  # snippets of the videos that the exported network is compared with


class _Head(nn.Module):
    """features (time, d) of one video -> OUTPUTS."""

    def __init__(self, model: VideoModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, features: Tensor) -> tuple[Tensor, ...]:
        batch = features.unsqueeze(0)
        found = self.model.predict(batch, torch.ones(batch.shape[:2], dtype=torch.bool))
        return found.probabilities[0], found.logits[0], found.weights[0], found.activations[0]


def export_onnx(run: Path, output: Path) -> list[Path]:
    """Write `<stream>.onnx` for each network of a run into a folder; each is compared with the network.

    Input: `features` (time, d) float32 of one video; outputs: `OUTPUTS`. The file names the classes and what
    made the features. Raises UserError for a model whose operations depend on the length of a video in a way
    that ONNX does not have.
    """
    if not (find_spec("onnx") and find_spec("onnxruntime")):
        raise UserError("onnx and onnxruntime are not installed; pip install 'tsrnet[onnx]'")
    folder, described = read_model(run)
    settings = RunConfig.from_config(OmegaConf.create(described.config)).tested_model
    return [_export(folder, described, settings, stream, output) for stream in described.num_features]


def _export(
    folder: Path, described: ModelDescription, settings: ModelSettings, stream: str, output: Path
) -> Path:
    num_features = described.num_features[stream]
    model = build_model(settings, num_features=num_features, num_classes=len(described.classes))
    weights = folder / f"{stream}.safetensors"
    load_weights(model, weights, need=f"the run's {stream} network", change=_without_backbone)
    head = _Head(model).eval().requires_grad_(False)
    path = output / f"{stream}.onnx"
    with atomic_path(path) as part:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about values that the trace fixes: compared below
                torch.onnx.export(
                    head,
                    (torch.randn(_LENGTHS[1], num_features),),
                    part,
                    dynamo=False,
                    input_names=["features"],
                    output_names=list(OUTPUTS),
                    dynamic_axes={"features": {0: "time"}, **{name: {0: "time"} for name in OUTPUTS[1:]}},
                )
            _describe(part, described, stream)
            difference = _difference(part, head, num_features)
        except Exception as error:  # of exporter or runtime: ONNX lacks an operation
            raise UserError(
                f"format=onnx: model={model_name(settings)} cannot be exported ({brief(error)}); tsrnet,"
                " tsrnet_plus, two_stream and stpn can"
            ) from error
        if not difference <= TOLERANCE:
            raise UserError(
                f"format=onnx: model={model_name(settings)} gives other values in ONNX (by"
                f" {difference:.1g}); tsrnet, tsrnet_plus, two_stream and stpn can be exported"
            )
    return path


def _without_backbone(state: State) -> State:
    """The weights after the features, for a network that was trained through its backbone."""
    head = {name.removeprefix("head."): value for name, value in state.items() if name.startswith("head.")}
    return head or state


def _describe(path: Path, described: ModelDescription, stream: str) -> None:
    import onnx

    content = onnx.load(path)
    values = {"stream": stream, "classes": list(described.classes), "features": described.features}
    onnx.helper.set_model_props(content, {name: json.dumps(value) for name, value in values.items()})
    onnx.save(content, path)


def _difference(path: Path, head: _Head, num_features: int) -> float:
    """The largest difference of an output, for videos of other lengths than that of the export."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # failures are raised anyway
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    largest = 0.0
    for length in _LENGTHS:
        features = torch.randn(length, num_features, generator=torch.Generator().manual_seed(length))
        expected = head(features)
        for ours, theirs in zip(expected, session.run(None, {"features": features.numpy()}), strict=True):
            largest = max(largest, float(np.abs(ours.numpy() - theirs).max()))
    return largest
