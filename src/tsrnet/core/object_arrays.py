"""Reads object arrays of .npy files without executing anything that they hold.

Such a file holds a pickle: a program for a small stack machine that can call any Python function.
numpy.load(..., allow_pickle=True) on a stranger's file runs whatever the stranger wants. The machine here
calls no function. It follows only the instructions that make arrays, lists, tuples, bytes, str, numbers and
None, and refuses all others.
"""

from __future__ import annotations

import math
import mmap
import pickletools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, cast

import numpy as np
import numpy.typing as npt

from tsrnet.core.errors import UserError
from tsrnet.core.reading import reading

_NAMES = {
    "numpy.core.multiarray _reconstruct": "array",
    "numpy._core.multiarray _reconstruct": "array",  # numpy 2
    "numpy.core.multiarray scalar": "scalar",
    "numpy._core.multiarray scalar": "scalar",
    "numpy ndarray": "ndarray",
    "numpy dtype": "dtype",
    "_codecs encode": "encode",  # bytes, as Python 3 writes them for Python 2
    "__builtin__ bytes": "bytes",  # empty bytes
}
"""The names that a file may use, and their meaning here. None of these functions is looked up or called."""
_LITERALS = {"BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"} | {
    *("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "SHORT_BINBYTES")
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_BLOCKS = {"BINSTRING": 5, "BINBYTES": 5, "BINBYTES8": 9}  # bytes of the instruction before its data
_MAPPED_FROM = 1024
_MOST_REPEATED = 1_000_000
"""Values that a file may repeat. Each repeats all its content, so a few could stand for any number."""
_MARK = object()


class _RefusedError(Exception):
    """The file asks for more than data."""


@dataclass
class _Unfinished:
    """An array or a dtype whose content comes with the next BUILD. The file may refer to it before."""

    value: Any = None


def read_npy(path: Path) -> npt.NDArray[Any]:
    """Read the array of an .npy file; an object array may hold arrays, lists, bytes, str and numbers.

    Numbers stay in the file until they are used (memory map); changes to them stay in memory. Strings of
    Python 2 are bytes. Raises UserError where the file is missing, is no .npy file or holds anything else;
    nothing in it is executed.
    """
    with reading(path, "a complete .npy file"), path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0
        shape, columns, kind = (header if version == (1, 0) else np.lib.format.read_array_header_2_0)(file)
        if not kind.hasobject:
            order: Literal["C", "F"] = "F" if columns else "C"
            return np.asarray(np.memmap(file, kind, "c", file.tell(), shape, order))
        program = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)  # arrays keep it open
        program.seek(file.tell())
        try:
            array = _run(program)
        except _RefusedError as error:
            raise UserError(
                f"{path}: holds {error}, which is not data and is not executed; need an object array of"
                " arrays, lists, bytes, text or numbers: get the file from its authors"
            ) from error
        if not isinstance(array, np.ndarray):
            raise ValueError(f"it holds a {type(array).__name__}")
        return array


def _run(program: mmap.mmap) -> Any:
    """Return the value of the pickle that begins at the position of `program`."""
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    repeated = 0

    def again(value: Any) -> Any:
        """Copy the value in its present state, so that no list can hold itself."""
        nonlocal repeated
        repeated += 1
        if repeated > _MOST_REPEATED:
            raise ValueError("the same values too many times")
        if isinstance(value, list | tuple):
            return type(value)(again(one) for one in value)
        if (
            isinstance(value, _Unfinished)
            and isinstance(value.value, np.ndarray)
            and value.value.dtype == object
        ):
            for one in value.value.flat:
                again(one)
        return value

    def pop() -> Any:
        value = stack.pop()
        if not isinstance(value, _Unfinished):
            return value
        if value.value is None:
            raise ValueError("an array that holds itself")
        return value.value

    def pop_to_mark() -> list[Any]:
        values = []
        while stack[-1] is not _MARK:
            values.append(pop())
        stack.pop()
        return values[::-1]

    argument: Any
    for instruction, argument, position in pickletools.genops(cast(IO[bytes], program)):
        match instruction.name:
            case "PROTO" | "FRAME":
                pass
            case "STOP":
                return pop()
            case "MARK":
                stack.append(_MARK)
            case "EMPTY_LIST":
                stack.append([])
            case name if name in _CONSTANTS:
                stack.append(_CONSTANTS[name])
            case name if name in _LITERALS:
                stack.append(argument)
            case "SHORT_BINSTRING":
                stack.append(argument.encode("latin-1"))
            case name if name in _BLOCKS and position is not None:
                stack.append(_block(program, position + _BLOCKS[name], len(argument)))
            case "APPEND":
                value = pop()
                stack[-1].append(value)
            case "APPENDS":
                values = pop_to_mark()
                stack[-1].extend(values)
            case "TUPLE":
                stack.append(tuple(pop_to_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3" as name:
                stack.append(tuple(pop() for _ in range(int(name[-1])))[::-1])
            case "BINPUT" | "LONG_BINPUT" | "MEMOIZE" as name:
                memo[len(memo) if name == "MEMOIZE" else argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(again(memo[argument]))
            case "GLOBAL":
                stack.append(_name(argument))
            case "STACK_GLOBAL":
                name, module = pop(), pop()
                stack.append(_name(f"{module} {name}"))
            case "REDUCE":
                arguments, made = pop(), pop()
                stack.append(_make(made, arguments))
            case "BUILD":
                state = pop()
                _build(stack[-1], state)
            case name:
                raise _RefusedError(f"the pickle instruction {name}")
    raise ValueError("it has no end")


def _block(program: mmap.mmap, start: int, length: int) -> bytes | memoryview:
    if length < _MAPPED_FROM:
        return program[start : start + length]
    return memoryview(program)[start : start + length]


def _name(text: str) -> str:
    if text not in _NAMES:
        raise _RefusedError(f"the name {text.replace(' ', '.')}")
    return _NAMES[text]


def _make(made: Any, arguments: tuple[Any, ...]) -> Any:
    """Return what a function of Python or numpy would return, for the few functions that data needs."""
    if made == "array" and arguments[0] == "ndarray":
        return _Unfinished()
    if made == "dtype":
        return _Unfinished(_dtype(arguments[0]))
    if made == "scalar":
        kind, data = arguments
        return np.frombuffer(data, _checked(kind, objects=False))[0]
    if made == "encode" and arguments[1] in ("latin1", "latin-1"):
        return arguments[0].encode("latin-1")
    if made == "bytes" and not arguments:
        return b""
    raise _RefusedError(f"a call of {made}")


def _build(unfinished: Any, state: tuple[Any, ...]) -> None:
    """Fill an array or a dtype with what numpy's __setstate__ would be given."""
    if not isinstance(unfinished, _Unfinished):
        raise _RefusedError(f"attributes of a {type(unfinished).__name__}")
    if isinstance(unfinished.value, np.dtype):
        if any(part is not None for part in state[2:5]):
            raise _RefusedError("arrays of records")
        byte_order: Any = _text(state[1])
        unfinished.value = unfinished.value.newbyteorder(byte_order)
        return
    shape, kind, by_column, data = state[-4:]
    if not all(isinstance(size, int) and size >= 0 for size in shape):
        raise ValueError(f"an array of shape {shape}")
    order: Any = "F" if by_column else "C"
    if _checked(kind, objects=True).hasobject:
        flat = np.empty(len(data), object)
        for index, value in enumerate(data):
            flat[index] = value
    else:
        flat = np.frombuffer(data, kind) if math.prod(shape) else np.empty(0, kind)
    unfinished.value = flat.reshape(shape, order=order)


def _dtype(code: Any) -> np.dtype[Any]:
    text = _text(code)
    if not re.fullmatch(r"[biufSUO]\d*", text):
        raise _RefusedError(f"values of the type {text}")
    return np.dtype("O" if text[0] == "O" else text)


def _checked(kind: Any, *, objects: bool) -> np.dtype[Any]:
    if not isinstance(kind, np.dtype) or (kind.hasobject and not objects):
        raise ValueError(f"values of the type {kind}")
    return kind


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
