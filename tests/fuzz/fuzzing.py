"""Files that were changed, for readers: bytes and values that parsers stumble over.

`TSRNET_FUZZ=10000 python -m pytest tests/fuzz` tries so many files a reader; the suite tries 25.
"""

from __future__ import annotations

import copy
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tsrnet.core.errors import UserError

NUMBER = int(os.environ.get("TSRNET_FUZZ", "25"))
FUZZ = settings(
    max_examples=NUMBER,
    deadline=5000,  # ms
    suppress_health_check=list(HealthCheck),
    derandomize=NUMBER <= 25,  # of the suite: the same files every time
    database=None,
)
MEMORY = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else None
NASTY: list[Any] = [
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 10**12, 10**400, 0.5, -0.0, 1e308, -1e308, 1e-320),
    *(float("nan"), float("inf"), -float("inf")),
    *(
        "",
        " ",
        "12",
        "1_0",
        "nan",
        "1e999",
        "abc",
        "a/b",
        "../x",
        ".a",
        "v_a",
        "a\0b",
        "a\nb",
        "\x85",
        "\u2028",
    ),
    *("\ud800", "é" * 200, "x" * 100_000, "${seed}", "${oc.env:HOME}", "???", "$x^{", "Ambiguous", "testing"),
    *([], {}, [1], [1, 2], [2, 1], [1, 2, 3], ["a"], [[]], [None], {"a": 1}, {"name": "x"}, {"": {}}),
]
TOKENS = [
    *(
        b'"',
        b"'",
        b"\n",
        b"\r",
        b"\0",
        b",",
        b";",
        b"\t",
        b"|",
        b"{",
        b"}",
        b"[",
        b"]",
        b":",
        b"\xff",
        b"\xc3",
    ),
    *(
        b"nan",
        b"inf",
        b"-1",
        b"1e400",
        b"9" * 400,
        b"1_0",
        b"null",
        b"true",
        b"&a",
        b"*a",
        b"!!python/name:os",
    ),
    *(b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"\x1c", b"[" * 2000, b"- " * 2000, b"x" * 200_000, b"<<", b"${a}"),
]


@st.composite
def changed_bytes(draw: st.DrawFn, content: bytes, most: int = 4) -> bytes:
    """A file with some bytes flipped, cut, doubled or replaced by what parsers stumble over."""
    for _ in range(draw(st.integers(1, most))):
        start = draw(st.integers(0, len(content)))
        stop = min(len(content), start + draw(st.sampled_from([0, 1, 2, 4, 8, 40])))
        middle = draw(
            st.one_of(
                st.sampled_from(TOKENS),
                st.binary(max_size=8),
                st.just(content[start:stop] * 2),
                st.just(bytes(byte ^ 0x80 for byte in content[start:stop])),
            )
        )
        tail = content[stop:] if draw(st.integers(0, 9)) else b""
        content = content[:start] + middle + tail
    return content


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path to every value inside."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, one in inner for place in places(one, (*path, key)))]


@st.composite
def changed_values(draw: st.DrawFn, document: Any) -> Any:
    """A document with some values, or keys, replaced, removed or doubled."""
    document = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(places(document)))
        new = copy.deepcopy(draw(st.sampled_from(NASTY)))
        if not path:
            if draw(st.booleans()):
                document = new
            continue
        parent = document
        for key in path[:-1]:
            parent = parent[key]
        what = draw(st.sampled_from(["replace", "replace", "remove", "rename", "double"]))
        if what == "replace":
            parent[path[-1]] = new
        elif what == "double" and isinstance(parent, list):
            parent.append(copy.deepcopy(parent[path[-1]]))
        elif what == "rename" and isinstance(parent, dict):
            parent[str(new)] = parent.pop(path[-1])
        else:
            parent.pop(path[-1])
    return document


def as_json(document: Any) -> bytes:
    return json.dumps(document).encode()


def as_yaml(document: Any) -> bytes:
    return yaml.safe_dump(document, allow_unicode=True).encode(errors="surrogatepass")


def changed(document: Any, dump: Callable[[Any], bytes] = as_json) -> st.SearchStrategy[bytes]:
    return st.one_of(changed_values(document).map(dump), changed_bytes(dump(document)))


@dataclass(frozen=True)
class Reader:
    """How files are made and read; `read` returns (found, expected) where that can be counted."""

    files: st.SearchStrategy[Any]
    read: Callable[[Path, Any], tuple[int, int] | None]


def one_file(
    name: str, files: st.SearchStrategy[bytes], read: Callable[[Path], object], **others: bytes
) -> Reader:
    def write_and_read(folder: Path, content: bytes) -> tuple[int, int] | None:
        for other, text in others.items():
            (folder / other.replace("__", ".")).write_bytes(text)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        found = read(path)
        return found if isinstance(found, tuple) and type(found[0]) is int else None

    return Reader(files, write_and_read)


def check_reader(reader: Reader) -> None:
    """Try a reader: it returns all that a file holds, or a UserError names it, within 5 s."""

    @FUZZ
    @given(reader.files)
    def check(content: Any) -> None:
        with tempfile.TemporaryDirectory(dir=MEMORY) as temporary:
            named = ""
            counted = None
            try:
                counted = reader.read(Path(temporary), content)
            except UserError as error:
                named = str(error)
            assert not named or temporary in named
            if counted:
                assert counted[0] == counted[1]

    check()
