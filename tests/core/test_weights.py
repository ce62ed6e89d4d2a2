"""Weights are loaded whole and finite, or refused in a line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tsrnet.core.errors import UserError
from tsrnet.core.weights import check_size, load_weights


def linear() -> torch.nn.Module:
    return torch.nn.Linear(3, 2)


STATE = linear().state_dict()


@pytest.mark.parametrize(
    "state",
    [
        {**STATE, "bias": torch.tensor([1.0, torch.nan])},
        {**STATE, "bias": torch.tensor([1.0, -torch.inf])},
        {**STATE, "bias": torch.ones(2, dtype=torch.complex64)},
        {**STATE, "weight": torch.ones(1).expand(10**6, 10**6)},  # of 4 bytes
        {**STATE, "bias": "text"},
        {"bias": STATE["bias"]},
        {"state_dict": None},
        *([], None, 3, torch.ones(2), {}),
    ],
    ids=repr,
)
def test_other_things_are_refused(tmp_path: Path, state: Any) -> None:
    path = tmp_path / "a.pt"
    torch.save(state, path)
    with pytest.raises(UserError, match=r"a\.pt: is not a file with the weights of a line \(.+\); give"):
        load_weights(linear(), path, need="a line")


@pytest.mark.parametrize(
    "change",
    [
        lambda content: b"",
        lambda content: content[:100],
        lambda content: content[: len(content) // 2],
        lambda content: content[:-30],
        lambda content: content.replace(b"torch", b"posix"),
        lambda content: b"PK\x03\x04" + content[:40],
        lambda content: b"\x80\x02}q\x00.",
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "a.pt"
    torch.save(STATE, path)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(UserError, match=r"a\.pt: is not a file with the weights of a line"):
        load_weights(linear(), path, need="a line")


def test_a_network_larger_than_its_file_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    torch.save(STATE, path)
    check_size(linear, path)
    with pytest.raises(UserError, match=r"a\.pt: .*the network has 1,000,000,000,000 weights"):
        check_size(lambda: torch.nn.Linear(10**6, 10**6, bias=False), path)
