"""Files appear whole or not at all, under a name that nobody can prepare."""

from __future__ import annotations

import os
import platform
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tsrnet.core.errors import UserError
from tsrnet.core.files import atomic_path, fingerprint, part_of, remove_parts_of_the_dead


def test_a_file_appears_when_the_block_ends_with_the_rights_of_any_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.json"
    with atomic_path(path) as part:
        assert (part.parent, part.suffix) == (path.parent, path.suffix)
        part.write_text("1")
        assert not path.exists()
    (tmp_path / "plain").touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)
    assert list(path.parent.iterdir()) == [path]


def test_an_exception_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("before")
    with pytest.raises(UnicodeEncodeError), atomic_path(path) as part:
        part.write_text("half \udcff", encoding="utf-8")
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_in_its_place_is_replaced_and_none_is_written_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    path = tmp_path / "out" / "a.json"
    path.parent.mkdir()
    path.symlink_to(precious)
    assert part_of(path) != part_of(path)
    with atomic_path(path) as part:
        part.write_text("new")
    assert (precious.read_text(), path.read_text(), path.is_symlink()) == ("mine", "new", False)
    monkeypatch.setattr("tsrnet.core.files.secrets.token_hex", lambda _: "00000000")
    part_of(path).symlink_to(precious)  # were the name known
    with pytest.raises(UserError, match=r"a\.json: cannot be written"), atomic_path(path) as part:
        part.write_text("through")
    assert precious.read_text() == "mine"


def test_only_parts_of_dead_processes_of_this_machine_are_removed(tmp_path: Path) -> None:
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True
    ).stdout.strip()
    node = platform.node()
    names = {
        f".tsrnet-part.{node}.{dead}.0123abcd.pt": False,
        f"rgb/.tsrnet-part.{node}.{dead}.0123abcd.npy": False,
        f".tsrnet-part.{node}.{os.getpid()}.0123abcd.pt": True,
        f".tsrnet-part.elsewhere.{dead}.0123abcd.pt": True,
        f".tsrnet-part.{node}.{dead}.pt": True,
        f".notes.{node}.{dead}": True,
        f".tsrnet-part.{node}.{10**30}.0123abcd.pt": True,
    }
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    remove_parts_of_the_dead(tmp_path)
    assert {name: (tmp_path / name).exists() for name in names} == names


def test_a_fingerprint_is_size_and_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert fingerprint(tmp_path / "a") == {"bytes": 3, "sha256": digest}
