"""Networks are shared with a card, come back from a hub, and run as ONNX."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from tsrnet import load
from tsrnet.core.errors import UserError
from tsrnet.datasets.batch import Sample, VideoBatch
from tsrnet.inference.onnx import OUTPUTS, TOLERANCE, _export
from tsrnet.models.registry import build_model, model_settings
from tsrnet.pipeline.model_folder import ModelDescription

Command = Callable[..., Any]
FILES = {"model.json", "README.md", "rgb.safetensors", "flow.safetensors"}
FILES |= {"backbone_rgb.safetensors", "backbone_flow.safetensors"}


def test_the_folder_is_copied_with_its_card(command: Command, prepared: Path, tmp_path: Path) -> None:
    result = command("publish", f"run={prepared}/run", "output=shared", "license=mit", folder=tmp_path)
    assert result.code == 0, result.err
    shared = tmp_path / "shared" / "model"
    assert {path.name for path in shared.iterdir()} == FILES
    assert load(shared).classes == load(prepared / "run").classes
    assert load_file(shared / "rgb.safetensors").keys()
    _, head, text = (shared / "README.md").read_text().split("---\n", 2)
    assert yaml.safe_load(head)["license"] == "mit"
    metrics = json.loads((prepared / "run" / "metrics.json").read_text())
    assert f"| accuracy, fusion | {100 * metrics['recognition']['fusion']['accuracy']:.1f} |" in text
    for said in (
        "Protocol demo, 6 test videos",
        "| backbone | resnet10 |",
        "| flow | tvl1 |",
        "`JumpingJack`",
    ):
        assert said in text
    written = (prepared / "run" / "model" / "README.md").read_text()
    assert "No licence of the networks is stated" in written
    assert f"mAP at tIoU 0.50 | {100 * metrics['detection']['mAP']['0.50']:.1f}" in written


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run=null", "repo=a/b"], "run: got null, need the folder of a run"),
        (["run={run}"], "got repo=None and output=None, need one"),
        (["run={run}", "repo=a"], "repo: got 'a', need owner/name"),
        (["run={run}/model", "repo=a/b"], "model, which has no metrics.json"),
        (["run={run}", "repo=a/b", "private=maybe"], "private: got 'maybe', need true or false"),
    ],
)
def test_a_mistake_is_one_line(
    command: Command, prepared: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    given = [text.format(run=prepared / "run") for text in arguments]
    assert message in command("publish", *given, folder=tmp_path).mistake


@pytest.mark.parametrize("address", ["hf://a", "hf://a/b/c", "hf://../b@", "hf://a/b@x y"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(UserError, match="need hf://owner/name"):
        load(address)


class FakeHub(BaseHTTPRequestHandler):
    """As much of the Hub as its client needs to make a repository, to commit and to download."""

    repos: dict[str, dict[str, bytes]]

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, content: Any, status: int = 200, **headers: str) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), "X-Repo-Commit": "c" * 40, **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        path = urlsplit(self.path).path
        assert self.headers["Authorization"] == "Bearer secret"
        if path == "/api/repos/create":
            given = json.loads(body)
            name = f"{given['organization']}/{given['name']}"
            self.repos.setdefault(name, {})
            return self.answer({"url": f"http://{self.headers['Host']}/{name}"})
        if path == "/api/validate-yaml":
            return self.answer({"errors": [], "warnings": []})
        repo = "/".join(path.split("/")[3:5])
        if path.endswith("/preupload/main"):
            files = [
                {**one, "uploadMode": "regular", "shouldIgnore": False} for one in json.loads(body)["files"]
            ]
            return self.answer({"files": files})
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "file":
                self.repos[repo][line["value"]["path"]] = base64.b64decode(line["value"]["content"])
        url = f"http://{self.headers['Host']}/{repo}/commit/{'c' * 40}"
        return self.answer({"commitUrl": url, "commitOid": "c" * 40, "success": True})

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        parts = path.strip("/").split("/")
        if parts[0] == "api":
            repo = "/".join(parts[2:4])
            if repo not in self.repos:
                return self.answer({"error": "Not found"}, 404, **{"X-Error-Code": "RepoNotFound"})
            files = [{"rfilename": name} for name in self.repos[repo]]
            tree = [
                {"type": "file", "path": n, "size": len(c), "oid": "0"} for n, c in self.repos[repo].items()
            ]
            return self.answer(
                tree if "tree" in parts else {"id": repo, "modelId": repo, "sha": "c" * 40, "siblings": files}
            )
        content = self.repos["/".join(parts[:2])]["/".join(parts[4:])]
        return self.answer(content, ETag=f'"{hashlib.sha1(content).hexdigest()}"')

    do_HEAD = do_GET  # noqa: N815


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[tuple[dict[str, dict[str, bytes]], dict[str, str]]]:
    """The repositories of a fake Hub on this machine, and the environment of its client."""
    repos: dict[str, dict[str, bytes]] = {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Hub", (FakeHub,), {"repos": repos}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings = {
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "HF_HOME": str(tmp_path / "hf"),
        "HF_TOKEN": "secret",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": "127.0.0.1",
    }
    yield repos, {**os.environ, **settings}
    server.shutdown()
    server.server_close()


@pytest.mark.process
def test_networks_go_to_a_hub_and_come_back(
    prepared: Path, moving_square: Path, tmp_path: Path, hub: Any
) -> None:
    pytest.importorskip("huggingface_hub")
    repos, environment = hub

    def python(*arguments: str) -> Any:
        options: dict[str, Any] = {"cwd": tmp_path, "capture_output": True, "text": True, "timeout": 300}
        return subprocess.run([sys.executable, *arguments], env=environment, check=False, **options)

    result = python("-m", "tsrnet.publish", f"run={prepared}/run", "repo=me/actions")
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "tsrnet.load('hf://me/actions') loads it"
    assert repos["me/actions"].keys() == FILES
    assert b'load("hf://me/actions")' in repos["me/actions"]["README.md"]
    repos["me/actions"]["setup.py"] = b"raise SystemExit"  # not ours: never fetched
    result = python("-c", "import tsrnet; print(*tsrnet.load('hf://me/actions@main').classes)")
    assert result.stdout.split() == list(load(prepared / "run").classes), result.stderr
    assert not list((tmp_path / "hf").rglob("setup.py"))
    result = python("-m", "tsrnet.detect", "run=hf://me/other", f"video={moving_square}")
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith("error: hf://me/other: cannot be loaded (")


def test_onnx_gives_what_the_networks_give(command: Command, prepared: Path, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    result = command("export", f"run={prepared}/run", "format=onnx", "output=onnx", folder=tmp_path)
    assert result.code == 0, result.err
    detector = load(prepared / "run")
    for stream in ("rgb", "flow"):
        session = onnxruntime.InferenceSession(tmp_path / "onnx" / f"{stream}.onnx")
        assert json.loads(session.get_modelmeta().custom_metadata_map["classes"]) == list(detector.classes)
        module = detector._modules[stream]
        for length in (3, 90):
            features = torch.randn(length, session.get_inputs()[0].shape[1])
            batch = VideoBatch.collate([Sample("a", features, torch.zeros(6))])
            expected = module(batch.features, batch.mask)
            found = dict(zip(OUTPUTS, session.run(None, {"features": features.numpy()}), strict=True))
            for name, ours in zip(OUTPUTS, vars(expected).values(), strict=True):
                np.testing.assert_allclose(found[name], ours[0].detach().numpy(), atol=TOLERANCE)


def test_a_model_that_onnx_cannot_express_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """W-TALC takes the highest eighth of the snippets: a trace would keep the number of one video."""
    pytest.importorskip("onnxruntime")
    settings = model_settings("wtalc")
    model = build_model(settings, num_features=8, num_classes=2)
    save_file(model.state_dict(), tmp_path / "rgb.safetensors")
    described = ModelDescription(3, ("a", "b"), {"rgb": 8}, {}, {})
    with pytest.raises(UserError, match="model=wtalc"):
        _export(tmp_path, described, settings, "rgb", tmp_path / "onnx")
    assert not list((tmp_path / "onnx").iterdir())
