"""Object arrays are read as data; whatever else a file asks for is refused and not executed."""

from __future__ import annotations

import ast
import contextlib
import os
import pickle
import re
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tsrnet.core.errors import UserError
from tsrnet.core.object_arrays import read_npy

RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\n"
REAL = Path(__file__).parents[3] / "shared/data/wtalc_annotations"


class Call:
    """Pickles to a call of a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> Any:
        return self.function, self.arguments

    def __call__(self) -> None: ...  # pickle wants functions that can be called


def with_header(path: Path, pickled: bytes, length: int = 1) -> Path:
    """An .npy file of an object array with this pickle."""
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|O", "fortran_order": False, "shape": (length,)}
        )
        file.write(pickled)
    return path


def objects(*values: Any) -> np.ndarray:
    array = np.empty(len(values), object)
    for index, value in enumerate(values):
        array[index] = value
    return array


def same(one: Any, other: Any) -> bool:
    if isinstance(other, np.ndarray):
        equal = type(one) is np.ndarray and one.dtype == other.dtype and one.shape == other.shape
        return equal and all(map(same, one.ravel().tolist(), other.ravel().tolist()))
    if isinstance(other, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


VALUES = objects(
    np.arange(12, dtype=np.float32).reshape(3, 4),
    np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    np.array([1, 2], ">i4"),
    np.array([True, False]),
    np.array(["a", "bc"]),
    np.array([b"a", b"bc"]),
    np.zeros((0, 5), np.float16),
    objects([1.5, 2], "x"),
    [[67.5, 75.9], [], [-1, 2**40, None, True]],
    ["é", b"\xff", (1, 2, 3), (1, 2, 3, 4)],
    [np.float32(0.5), np.str_("name"), np.int64(7)],
    "x" * 2000,
    b"y" * 200,
    np.random.default_rng(0).normal(size=(60, 70)),
)


@pytest.mark.parametrize(("protocol", "old"), [(2, True), (3, True), (2, False), (3, False), (4, False)])
def test_data_is_read_as_numpy_reads_it(tmp_path: Path, protocol: int, old: bool) -> None:
    pickled = pickle.dumps(VALUES, protocol=protocol)
    if old:  # of numpy 1
        pickled = pickled.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
        assert b"numpy._core" not in pickled
    assert same(read_npy(with_header(tmp_path / "a.npy", pickled, len(VALUES))), VALUES)


def test_what_numpy_saves_is_read(tmp_path: Path) -> None:
    shared = np.ones((2, 3), np.float32)
    arrays = (VALUES, objects(shared, shared, [shared]), np.arange(5.0), np.array(25.0), np.array([b"a"]))
    for number, array in enumerate(arrays):
        np.save(tmp_path / f"{number}.npy", array, allow_pickle=True)
        assert same(read_npy(tmp_path / f"{number}.npy"), array)


def test_a_file_of_python_2_has_bytes_for_text(tmp_path: Path) -> None:
    """As cPickle wrote them: protocol 2, SHORT_BINSTRING and BINSTRING."""
    numbers = np.arange(300, dtype="<f4").reshape(30, 10)
    data = numbers.tobytes()

    def array(shape: bytes, kind: bytes, order: bytes, flags: bytes, content: bytes) -> bytes:
        make = RECONSTRUCT + b"cnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        dtype = b"cnumpy\ndtype\nU\x02" + kind + b"K\x00K\x01\x87R(K\x03U\x01" + order + b"NNN"
        flags = b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK" + flags + b"tb"
        return make + b"(K\x01" + shape + dtype + flags + b"\x89" + content + b"tb"

    inner = array(b"K\x1eK\x0a\x86", b"f4", b"<", b"\x00", b"T" + struct.pack("<i", len(data)) + data)
    names = b"](U\x09Billiardsq\x08h\x08U\x06Divinge"
    outer = array(b"K\x02\x85", b"O8", b"|", b"?", b"](" + inner + names + b"e")
    path = with_header(tmp_path / "a.npy", b"\x80\x02" + outer + b".", 2)
    assert same(np.load(path, allow_pickle=True, encoding="bytes"), read_npy(path))
    assert same(read_npy(path), objects(numbers, [b"Billiards", b"Billiards", b"Diving"]))


def test_numbers_stay_in_the_file(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", objects(np.ones((500, 64), np.float32)), allow_pickle=True)
    (array,) = read_npy(tmp_path / "a.npy")
    assert not array.flags.owndata
    assert not array.flags.writeable
    assert array.sum() == 500 * 64


@pytest.mark.skipif(not REAL.is_dir(), reason="the real annotations are not here")
def test_the_real_annotations_are_read_as_numpy_reads_them() -> None:
    for path in REAL.glob("*.npy"):
        assert same(read_npy(path), np.load(path, allow_pickle=True, encoding="bytes"))


def os_system() -> Call:
    return Call(Call(getattr, Call(__import__, "os"), "system"), "touch mark")


CODE = "open('mark', 'w').close()"
ATTACKS = {
    "os.system": Call(os.system, "touch mark"),
    "eval": Call(eval, CODE),
    "exec": Call(exec, CODE),
    "getattr": os_system(),
    "within lists": [[1.0, [Call(os.system, "touch mark")]]],
    "within an array": objects("x", objects(Call(os.system, "touch mark"))),
    "argument of an array": Call(np.ndarray, (1,), np.dtype("f4"), Call(eval, f"{CODE} or b'1234'")),
    "argument of a dtype": Call(np.dtype, Call(eval, f"{CODE} or 'f4'")),
    "numpy.load": Call(np.load, "inner.npy", None, True),
    "numpy.save": Call(np.save, "mark", np.ones(3)),
    "numpy.testing": Call(np.testing._private.utils.runstring, CODE, {}),
    "another file": Call(zipfile.ZipFile, "mark", "w"),
}


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("attack", ATTACKS.values(), ids=list(ATTACKS))
def test_a_hostile_file_executes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, attack: Any, protocol: int
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("inner.npy", objects(os_system()), allow_pickle=True)
    pickled = pickle.dumps(objects(attack), protocol=protocol)
    with pytest.raises(UserError, match=r"a\.npy: holds .*is not executed") as caught:
        read_npy(with_header(tmp_path / "a.npy", pickled))
    assert "\n" not in str(caught.value)
    assert {path.name for path in tmp_path.iterdir()} == {"a.npy", "inner.npy"}
    with contextlib.suppress(Exception):
        pickle.loads(pickled)
    assert len(list(tmp_path.iterdir())) > 2  # it is an attack


PROGRAMS = {
    "GLOBAL, protocol 0": b"cos\nsystem\n(S'touch mark'\ntR.",
    "a name alone": b"\x80\x02cos\nsystem\n.",
    "INST": b"(S'touch mark'\nios\nsystem\n.",
    "OBJ": b"(cos\nsystem\nS'touch mark'\no.",
    "NEWOBJ": b"\x80\x02cnumpy\nndarray\nK\x01\x85\x81.",
    "STACK_GLOBAL": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x0atouch mark\x85R.",
    "dotted name": b"\x80\x04\x8c\x05numpy\x8c\x0cf2py.compile\x93\x8c\x01x\x85R.",
    "EXT1": b"\x80\x02\x82\x01.",
    "BINPERSID": b"\x80\x02X\x01\x00\x00\x00aQ.",
    "a dictionary": b"\x80\x02}.",
    "state of a list": b"\x80\x02]K\x01\x85b.",
    "another kind of array": b"\x80\x02" + RECONSTRUCT + b"cnumpy\ndtype\nK\x00\x85U\x01b\x87R.",
    "bytes of a number": b"\x80\x02c__builtin__\nbytes\nK\x05\x85R.",
    "other codecs": b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00zip\x86R.",
    "records": b"\x80\x02cnumpy\ndtype\nU\x02V8K\x00K\x01\x87R.",
    "dates": b"\x80\x02cnumpy\ndtype\nU\x02M8K\x00K\x01\x87R.",
}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=list(PROGRAMS))
def test_other_instructions_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: bytes
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"a\.npy: holds .*is not executed"):
        read_npy(with_header(tmp_path / "a.npy", program))
    assert [path.name for path in tmp_path.iterdir()] == ["a.npy"]


GOOD = pickle.dumps(objects(np.ones((3, 4), np.float32)), protocol=2)
DAMAGED = {
    "nothing": b"",
    "no pickle": b"hello",
    "half of it": GOOD[: len(GOOD) // 2],
    "no end": GOOD[:-1],
    "an array of another size": GOOD.replace(b"K\x03K\x04\x86", b"K\x03K\x05\x86"),
    "an array of 2 ** 40 numbers": GOOD.replace(
        b"K\x03K\x04\x86", b"\x8a\x06\x00\x00\x00\x00\x00\x01K\x04\x86"
    ),
    "a length below 0": GOOD.replace(b"K\x03K\x04\x86", b"J\xff\xff\xff\xffK\x04\x86"),
    "text of 2 ** 60 bytes": b"\x80\x04\x8e" + (2**60).to_bytes(8, "little") + b"abc.",
    "an empty stack": b"\x80\x020.".replace(b"0", b"a"),
    "an unknown memo": b"\x80\x02h\x07.",
    "an array in itself": b"\x80\x02" + RECONSTRUCT + b"cnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    b"q\x00(K\x01K\x01\x85cnumpy\ndtype\nU\x02O8K\x00K\x01\x87R\x89]h\x00atb.",
    "no array": b"\x80\x02K\x07.",
}


@pytest.mark.parametrize("pickled", DAMAGED.values(), ids=list(DAMAGED))
def test_a_damaged_file_is_one_line(tmp_path: Path, pickled: bytes) -> None:
    path = with_header(tmp_path / "a.npy", pickled)
    with pytest.raises(UserError, match=r"a\.npy: .*get (it|the file) again") as caught:
        read_npy(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"text", np.lib.format.magic(1, 0), np.lib.format.magic(9, 9) + b"\x00" * 99]
)
def test_a_file_without_a_header_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.npy: is not a complete \.npy file"):
        read_npy(tmp_path / "a.npy")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.npy: there is no such file"):
        read_npy(tmp_path / "a.npy")


def test_nothing_of_the_package_lets_numpy_execute_files() -> None:
    package = Path(__file__).parents[2] / "src" / "tsrnet"
    allowed = re.compile(r"allow_pickle\s*=\s*True")
    for path in package.rglob("*.py"):
        code = ast.parse(path.read_text())
        calls = [ast.unparse(node) for node in ast.walk(code) if isinstance(node, ast.Call)]
        assert not [call for call in calls if allowed.search(call)], path


def _pickle_of_lists(*instructions: bytes) -> bytes:
    """An object array of one value: an empty list, memo 0, and what the instructions make of it."""
    inner = b"]q\x00" + b"".join(instructions)
    head = (
        RECONSTRUCT
        + b"cnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x01\x85cnumpy\ndtype\nU\x02O8K\x00K\x01\x87R"
    )
    state = b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb\x89]("
    return b"\x80\x02" + head + state + inner + b"etb."


def test_a_list_cannot_hold_itself(tmp_path: Path) -> None:
    path = with_header(tmp_path / "a.npy", _pickle_of_lists(b"h\x00a", b"h\x00a"))
    assert read_npy(path).tolist() == [[[], [[]]]]  # as each was when it was named again


def test_a_few_bytes_cannot_stand_for_many_values(tmp_path: Path) -> None:
    doubled = [b"]q" + bytes([i + 1]) + b"(h" + bytes([i]) + b"h" + bytes([i]) + b"e" for i in range(40)]
    path = with_header(tmp_path / "a.npy", _pickle_of_lists(*doubled))
    with pytest.raises(UserError, match="the same values too many times"):
        read_npy(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("zip", b"PK\x03\x04" + bytes(30)),
        ("token", b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), \n("),
        ("deep", b"\x93NUMPY\x01\x00\xa0\x0f" + b"(" * 4000),
        ("nothing", b""),
    ],
)
def test_a_damaged_header_is_one_line(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / f"{name}.npy"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"{name}\.npy: is not a complete \.npy file"):
        read_npy(path)
