"""Whatever is wrong with a file is one line that names it, and nothing in it is dropped."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from pydantic.dataclasses import dataclass

from tsrnet.core.errors import UserError
from tsrnet.core.reading import (
    as_config,
    read_json,
    read_json_as,
    read_rows,
    read_table,
    read_yaml,
    reading,
    within,
)
from tsrnet.core.settings import Name, Number


@dataclass(frozen=True)
class Entry:
    label: Name
    segment: tuple[Number, Number]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is not a JSON file"),
        (b'{"a": 1', "is not a JSON file"),
        (b'{"a": 1, "b": 1, "a": 2}', "'a' is listed twice"),
        (b"[" * 100_000, "is not a JSON file"),
        (b"[" * 60 + b"]" * 60, "is not a JSON file .data in more than 50 levels"),
        (b"1" * 400, "a number of 400 digits"),
        (b'["\\ud800"]', "surrogates not allowed"),
        (b"\xff\xfe[]", "is not readable text"),
        (b"[1]", "need a mapping"),
        (b'{"label": "a"}', "segment: got nothing, need a list of 2 numbers"),
        (b'{"label": "a", "segment": "12"}', "segment: got '12', need a list of 2 numbers"),
        (b'{"label": "a", "segment": [1, "1_0"]}', "segment.1: got '1_0', need a number"),
        (b'{"label": "a", "segment": [1, true]}', "segment.1: got True, need a number"),
        (b'{"label": " ", "segment": [1, 2]}', "label: got ' ', need a name in one line"),
        (b'{"label": "a\\nb", "segment": [1, 2]}', "label: got .*, need a name in one line"),
        (b'{"label": "a", "segment": [' + b"1," * 1000 + b"1]}", r"got \[1, 1, .*\.\.\.\], need"),
    ],
)
def test_json_is_typed_and_named(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=said) as caught:
        read_json_as(Entry, path)
    assert str(caught.value).startswith(str(path))
    assert len(str(caught.value)) < 300 + len(str(path))


def test_json_that_is_right(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(
        '\ufeff{"label": "\\ud83d\\ude00 é", "segment": [1, "2.5"], "more": null}', encoding="utf-8"
    )
    assert read_json_as(Entry, path) == Entry("😀 é", (1.0, 2.5))
    assert read_json(path, entry=len) == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: &x [1]\nb: *x\n", "it has an alias"),
        ("a: {b: 1, b: 2}\n", "duplicate key"),
        ("a: !!python/object/apply:os.system ['true']\n", "could not determine a constructor"),
        ("a: " + "[" * 5000, "is not a YAML file"),
        ("a: " + "x" * 200_000, "200,003 characters"),
        ("a: [1\n", "is not a YAML file"),
        ("[1]\n", "it holds a list"),
        ("a: [{b: '${oc.env:HOME}'}]\n", "for a value"),
        ("'${a}': 1\n", "for a value"),
        ("a: ???\n", "for a value"),
    ],
)
def test_yaml_is_plain_data(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=said) as caught:
        as_config(read_yaml(path), path)
    assert str(path) in str(caught.value)


def test_what_omegaconf_writes_is_read(tmp_path: Path) -> None:
    content = {"a": {"rate": 1e-05, "names": ["rgb", "é"], "none": None, "on": True, "date": "2020-01-01"}}
    path = tmp_path / "a.yaml"
    OmegaConf.save(content, path)
    assert as_config(read_yaml(path), path) == content


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('a,b\n"1,2\n3,4\n', "line 2: unexpected end of data; close the quotes"),
        ('a,b\n"1,2\n3",4\n5,6\n', "line 2: a cell of several lines; close the quotes"),
        ("a,b\n1," + "x" * 200_000 + "\n", "line 2: field larger than field limit"),
        ("a\n1\n", "need each of b once in the first line"),
        ("a,b,b\n1,2,3\n", "need each of b once in the first line"),
        ("a,b\n1,2,3\n", "line 2: got 3 cells, need 2"),
        ("a,b\n\n1,\n", "line 3: a value is missing; need b"),
        ("", "need each of a, b once in the first line"),
    ],
)
def test_no_row_of_a_table_is_lost(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=said):
        read_table(path, ("a", "b"))


def test_rows_have_their_lines() -> None:
    assert read_rows("a.csv", 'a,b\r\n\r\n"c, d",e\r\n') == [(1, ["a", "b"]), (3, ["c, d", "e"])]


def test_anything_that_is_raised_becomes_one_line() -> None:
    for error in (MemoryError(), RecursionError("too\ndeep"), KeyError("a"), OverflowError(34, "far")):
        with pytest.raises(UserError, match=r"^a\.npy: is not an array \([^\n]+\); get it again$"), _array():
            raise error
    with pytest.raises(UserError, match=r"^mine$"), _array():
        raise UserError("mine")
    with pytest.raises(UserError, match=r"^a\.npy: mine$"), within("a.npy"):
        raise UserError("mine")
    with pytest.raises(KeyboardInterrupt), _array():
        raise KeyboardInterrupt


def _array() -> AbstractContextManager[None]:
    return reading("a.npy", "an array")
