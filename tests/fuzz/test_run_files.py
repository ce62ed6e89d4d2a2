"""Features, weights, descriptions of models, metrics and notes of runs that were changed."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fuzzing import Reader, as_json, as_yaml, changed, changed_bytes, check_reader, one_file
from hypothesis import strategies as st
from omegaconf import OmegaConf
from safetensors.torch import save

from tsrnet.core.reading import read_json
from tsrnet.core.weights import load_weights
from tsrnet.datasets.activitynet import read_activitynet
from tsrnet.datasets.layouts.importer import import_features
from tsrnet.datasets.layouts.videos import LayoutSettings
from tsrnet.features.backbones.network import Network
from tsrnet.features.store import FeatureStore
from tsrnet.pipeline.config import stored_config
from tsrnet.pipeline.model_folder import read_model
from tsrnet.pipeline.reopen import _config_of
from tsrnet.reporting.page import read_page
from tsrnet.reporting.sweep import report_sweep
from tsrnet.reporting.wandb import _id_in
from tsrnet.synthetic.compose_record import read_plan

METRICS = {
    "protocol": "demo",
    "label": "",
    "videos": 6,
    "recognition": {"rgb": {"accuracy": 0.5, "mAP": 0.4}},
    "detection": {"mAP": {"0.10": 0.4, "0.50": 0.2}, "average_mAP": 0.3},
}
PAGE = {
    "id": "a",
    "key": "0123",
    "title": "a",
    "duration_s": 20.0,
    "classes": ["Run"],
    "detections": [{"label": "Run", "start_s": 1, "end_s": 2.5, "score": 0.5}],
    "probabilities": [["Run", 0.9]],
    "thumbnails": [[0.5, ""]],
}
PLAN = {
    "settings": {"seed": 0},
    "left_out": {"x.mp4": "short"},
    "trimmed": {"Run": ["Run/a.mp4"]},
    "videos": [
        {
            "id": "untrimmed_0",
            "subset": "training",
            "parts": [{"clip": "Run/b.mp4", "start": 0, "num_frames": 75, "label": "Run"}],
        }
    ],
}
FEATURES = {
    "backbone": "resnet",
    "rate_hz": {"a": 6.0, "b": 5.5},
    "offset_s": 0.1,
    "width_s": 0.2,
    "versions": {},
}


def features(path: Path) -> None:
    store = FeatureStore(path.parent)
    assert store.identity is not None
    for video in ("a", "b", "c"):
        store.time_grid(video, 50, 20.0).num_snippets(1000)


def sweep(path: Path) -> None:
    job = path.parents[path.parts[::-1].index("0")]
    (job / ".hydra").mkdir(exist_ok=True)
    others = {"metrics.json": as_json(METRICS), ".hydra/overrides.yaml": b"- seed=1\n- loss.alpha=2\n"}
    for name, content in others.items():
        if not (job / name).exists():
            (job / name).write_bytes(content)
    output = io.StringIO()
    with redirect_stdout(output):
        reported = report_sweep(job.parent)
    assert reported or "left out" in output.getvalue()


def as_page(document: Any) -> bytes:
    return b'<p>a page</p><script type="application/json" id="data">' + as_json(document) + b"</script>"


def note(path: Path) -> None:
    found = _id_in(path)
    assert found is None or len(found) == 8


def configuration() -> dict[str, Any]:
    import hydra
    from hydra.core.global_hydra import GlobalHydra

    from tsrnet.core.cli import conf_folder

    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(conf_folder()), version_base="1.3"):
        content = OmegaConf.to_container(hydra.compose("train"), resolve=True)
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


CONFIG = configuration()
MODEL = {
    "format": 3,
    "classes": ["Jump", "Run"],
    "num_features": {"rgb": 512, "flow": 512},
    "features": {"snippets": {}, "weights": "imagenet"},
    "config": CONFIG,
    "files": {},
}


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def objects(*values: Any) -> Any:
    array = np.empty(len(values), object)
    array[:] = [None] * len(values)
    for index, value in enumerate(values):
        array[index] = value
    return array


WTALC = {
    "videoname": npy(np.array([b"a", b"b", b"c"])),
    "subset": npy(np.array([b"validation", b"validation", b"test"])),
    "duration": npy(np.array([[20.0], [30.0], [25.0]])),
    "classlist": npy(np.array([b"Jump", b"Run"])),
    "labels_all": npy(objects(["Run"], ["Jump"], ["Run"])),
    "labels": npy(objects(["Run", "Run"], ["Jump"], ["Run"])),
    "segments": npy(objects([[1.0, 2.0], [3.0, 4.0]], [[1, 2]], [[0.5, 9.0]])),
}
ARRAYS = [
    np.ones((5, 4), np.float32),
    np.ones((4, 5), np.float16).T,
    np.ones((0, 4), np.float32),
    np.ones((5, 4)),
    np.full((5, 4), np.nan, np.float32),
    np.zeros(3, [("a", "<f4"), ("b", "O")]),
    objects([1, [2, "x"]], b"y", np.ones((5, 4), np.float32)),
    np.array(3.0),
    np.array(["a"]),
]
array_files = (
    st.sampled_from(ARRAYS)
    .map(npy)
    .flatmap(
        lambda content: st.one_of(
            changed_bytes(content), changed_bytes(content[:140]).map(lambda h: h + content[140:])
        )
    )
)


def wtalc(folder: Path, content: tuple[str, bytes]) -> None:
    for name, whole in {**WTALC, content[0]: content[1]}.items():
        (folder / f"{name}.npy").write_bytes(whole)
    read_activitynet(folder, folder)


def stored_features(folder: Path, content: bytes) -> None:
    for stream, whole in (("rgb", content), ("flow", npy(ARRAYS[0]))):
        (folder / stream).mkdir()
        (folder / stream / "a.npy").write_bytes(whole)
    store = FeatureStore(folder)
    if not store.problem("a", ["rgb", "flow"]):
        store.num_features("a", "joint")
        torch.from_numpy(store.read("joint", "a"))


def imported(folder: Path, content: tuple[str, bytes]) -> None:
    layout, whole = content
    source = folder / "source"
    source.mkdir()
    good = npy(ARRAYS[0])
    if layout == "wtalc":
        path = source / "features.npy"
        path.write_bytes(whole)
        for name, other in WTALC.items():
            (source / f"{name}.npy").write_bytes(other)
        values = LayoutSettings(layout="wtalc")
        with redirect_stderr(io.StringIO()):
            import_features(path, source, FeatureStore(folder / "store"), values)
        return
    names = {"folder": "rgb/{}.npy", "actionformer": "{}.npy", "video_features": "{}_rgb.npy"}
    for video, features in (("a", whole), ("b", good)):
        path = source / names[layout].format(video)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(features)
        times = whole if video == "a" else npy(np.arange(1, 6) * 100.0)
        if layout == "video_features":
            path.write_bytes(good)
            (source / f"{video}_timestamps_ms.npy").write_bytes(times)
    values = LayoutSettings(layout=layout, fps=25)  # type: ignore[arg-type]
    with redirect_stderr(io.StringIO()):  # the progress
        found = import_features(source, None, FeatureStore(folder / "store"), values)
    assert found.videos + len(found.left_out) == 2


def network() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Conv2d(10, 4, 3), torch.nn.BatchNorm2d(4))


def weights(state: Any) -> bytes:
    file = io.BytesIO()
    torch.save(state, file)
    return file.getvalue()


STATE = network().state_dict()
STATES = [
    STATE,
    {"state_dict": STATE, "epoch": 1},
    {**STATE, "0.weight": torch.ones(4, 3, 3, 3)},
    {**STATE, "0.weight": torch.ones(1).expand(4, 3, 10**5, 10**5)},
    {**STATE, "0.weight": torch.full((4, 10, 3, 3), torch.nan)},
    {**STATE, "0.weight": torch.ones(4, 10, 3, 3, dtype=torch.complex64)},
    {**STATE, "0.weight": "text"},
    {**STATE, 3: torch.ones(1)},
    {"state_dict": None},
    *([], None, 3, "text", torch.ones(3), {}, {"state_dict": []}),
]


def backbone(path: Path) -> None:
    load_weights(network(), path, need="a network")
    Network(network(), 4, (0.5,) * 3, (0.5,) * 3).load(path, need="a network")


weight_files = st.one_of(
    st.sampled_from(STATES).map(weights), st.sampled_from(STATES[:3]).map(weights).flatmap(changed_bytes)
)


READERS: dict[str, Reader] = {
    "plan": one_file("a.json", changed(PLAN), lambda path: read_plan(path, {"seed": 0})),
    "features.json": one_file("features.json", changed(FEATURES), features),
    "features": Reader(array_files, stored_features),
    "wtalc": Reader(
        st.sampled_from(sorted(WTALC)).flatmap(
            lambda name: st.tuples(st.just(name), st.one_of(changed_bytes(WTALC[name]), array_files))
        ),
        wtalc,
    ),
    "imported": Reader(
        st.tuples(st.sampled_from(["folder", "actionformer", "video_features", "wtalc"]), array_files),
        imported,
    ),
    "weights": one_file("a.pt", weight_files, backbone),
    "safetensors": one_file("a.safetensors", changed_bytes(save(STATE)), backbone),
    "model.json": one_file("model/model.json", changed(MODEL), lambda path: read_model(path.parents[1])),
    "config.yaml": one_file("config.yaml", changed(CONFIG, as_yaml), lambda path: _config_of(path.parent)),
    "config": one_file("a.json", changed(CONFIG), lambda path: stored_config(read_json(path), path)),
    "metrics.json": one_file("sweep/0/metrics.json", changed(METRICS), sweep),
    "overrides.yaml": one_file(
        "sweep/0/.hydra/overrides.yaml", changed(["seed=1", "loss.alpha=2"], as_yaml), sweep
    ),
    "page": one_file("a.html", changed(PAGE, as_page), read_page),
    "note": one_file("a.json", changed({"id": "0123abcd"}), note),
}


@pytest.mark.parametrize("name", READERS)
def test_a_changed_file_is_read_whole_or_named(name: str) -> None:
    check_reader(READERS[name])
