"""Offline W&B runs, read back from what was written."""

from __future__ import annotations

import contextlib
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from wandb.proto import wandb_internal_pb2

from tsrnet.reporting.wandb import DashboardSettings, _mode, log_losses, open_dashboard

SETTINGS = DashboardSettings(group="sweep_1", tags=("mine",), mode="offline")


def chunks(data: bytes) -> Iterator[bytes]:
    """Records of a file in LevelDB's log format, after W&B's header of 7 bytes."""
    position, whole = 7, b""
    while position + 7 <= len(data):
        if 32768 - position % 32768 < 7:  # the rest of a block is padding
            position += 32768 - position % 32768
            continue
        length, kind = struct.unpack_from("<HB", data, position + 4)
        whole += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # full, or the last part
            yield whole
            whole = b""


def records(folder: Path) -> list[Any]:
    """All records of the run that was written last."""
    path = sorted((folder / "wandb").glob("offline-run-*/*.wandb"))[-1]
    found = []
    for data in chunks(path.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        found.append(record)
    return found


def run_of(folder: Path) -> Any:
    return next(record.run for record in records(folder) if record.WhichOneof("record_type") == "run")


def history(folder: Path) -> list[dict[str, Any]]:
    rows = [r.history for r in records(folder) if r.WhichOneof("record_type") == "history"]
    return [
        {item.key or item.nested_key[0]: json.loads(item.value_json) for item in row.item} for row in rows
    ]


def open_run(folder: Path, memory: Path, config: dict[str, Any]) -> Any:
    return open_dashboard(
        SETTINGS, config, folder=folder, name="loss.alpha=3", tags=["demo", "SIMULATED"], memory=memory
    )


def exit_code(folder: Path) -> int:
    return int(next(r.exit.exit_code for r in records(folder) if r.WhichOneof("record_type") == "exit"))


def test_a_run_that_was_cut_off_is_continued_and_no_two_runs_merge(tmp_path: Path) -> None:
    memory, ids = tmp_path / "memory", []
    for number, (config, fails) in enumerate(
        (({"a": 1}, True), ({"a": 1}, False), ({"a": 1}, False), ({"a": 2}, False))
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        with contextlib.suppress(KeyError), open_run(folder, memory, config):
            log_losses("tsrnet-rgb", 20, {"loss/total": 0.25})
            if fails:
                raise KeyError("cut off")
        ids.append(run_of(folder).run_id)
        assert exit_code(folder) == fails
    assert ids[0] == ids[1]
    assert len({ids[1], ids[2], ids[3]}) == 3
    run = run_of(tmp_path / "1")
    assert (run.run_group, run.display_name, list(run.tags)) == (
        "sweep_1",
        "loss.alpha=3",
        ["demo", "SIMULATED", "mine"],
    )
    assert history(tmp_path / "1")[0]["tsrnet-rgb/loss/total"] == 0.25
    assert history(tmp_path / "1")[0]["tsrnet-rgb/step"] == 20


def test_nothing_is_logged_where_no_run_is_open() -> None:
    log_losses("tsrnet-rgb", 10, {"loss/total": 0.5})


def test_the_mode_follows_from_whether_the_user_is_logged_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert _mode("auto") == "offline"
    (tmp_path / ".netrc").write_text("machine api.wandb.ai\n login user\n password key\n")
    (tmp_path / ".netrc").chmod(0o600)
    assert _mode("auto") == "online"
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert _mode("auto") == "offline"
    assert _mode("online") == "online"


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ValueError, match=r"logger\.mode: got sometimes"):
        DashboardSettings(mode="sometimes")
