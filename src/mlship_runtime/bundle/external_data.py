"""Tensors that an ONNX model keeps in other files, wherever in it they are: read off its bytes.

ONNX libraries follow whatever path a model names, so the model's bytes are read here first, by a reader of
Protocol Buffers that knows only the fields on the way to a tensor. Nothing but the standard library.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Optional, Union

from mlship_runtime.errors import InvalidBundle

_DEEPEST = 64  # graphs in nodes in graphs …
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_EXTERNAL = 1  # TensorProto.DataLocation

# Message -> its fields that lead to a tensor, by number: what each of them is.
_WAYS = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
_Value = Union[int, memoryview]


@dataclass(frozen=True)
class External:
    """A tensor whose bytes lie in `location`: `length` bytes (None: up to the end) from `offset` on."""

    tensor: str
    location: str
    offset: int
    length: Optional[int]


def externals(data: bytes, file: str) -> list[External]:
    """The tensors of the model `data` that lie elsewhere, in the order of the file. Raises InvalidBundle if
    `data` is no whole model, or says nonsense about where a tensor lies; `file` names it in messages."""
    try:
        return list(_below("model", memoryview(data), 0))
    except _Malformed as error:
        cause = str(error)
    # Out here nothing holds on to views of `data`, which may be a file mapped into memory.
    raise InvalidBundle(f"{file} is not an ONNX model", cause=cause)


class _Malformed(Exception):
    """What is wrong with the bytes."""


def _below(kind: str, data: memoryview, depth: int) -> Iterator[External]:
    if depth > _DEEPEST:
        raise _Malformed(f"its parts lie more than {_DEEPEST} deep in each other")
    if kind == "tensor":
        tensor = _tensor(data)
        if tensor is not None:
            yield tensor
        return
    ways = _WAYS[kind]
    for number, value in _fields(data):
        if number in ways:
            yield from _below(ways[number], _message(value), depth + 1)


def _tensor(data: memoryview) -> External | None:
    name, location = "", 0
    said: dict[str, str] = {}
    for number, value in _fields(data):
        if number == 8:
            name = _text(value)
        elif number == 13:
            key, text = _entry(_message(value))
            if key in said:
                raise _Malformed(f"the tensor {name!r} says its {key} twice")
            said[key] = text
        elif number == 14:
            if value not in (0, _EXTERNAL):
                raise _Malformed("a tensor's data location is none that is known")
            location = _EXTERNAL if value == _EXTERNAL else 0
    if location != _EXTERNAL and not said:
        return None
    if location != _EXTERNAL or "location" not in said:
        raise _Malformed(f"the tensor {name!r} says only half of where it lies")
    length = _number(said, "length") if "length" in said else None
    return External(name, said["location"], _number(said, "offset") if "offset" in said else 0, length)


def _entry(data: memoryview) -> tuple[str, str]:
    key = value = ""
    for number, found in _fields(data):
        if number == 1:
            key = _text(found)
        elif number == 2:
            value = _text(found)
    return key, value


def _number(said: dict[str, str], key: str) -> int:
    text = said[key]
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise _Malformed(f"a tensor's {key} is {text[:40]!r}")
    return int(text)


def _text(value: _Value) -> str:
    try:
        return bytes(_message(value)).decode("utf-8")
    except UnicodeDecodeError as error:
        raise _Malformed("a name is not UTF-8") from error


def _message(value: _Value) -> memoryview:
    if isinstance(value, int):
        raise _Malformed("there is a number where a part should be")
    return value


def _fields(data: memoryview) -> Iterator[tuple[int, _Value]]:
    """Number and value of each field of a message, in their order."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if not 0 < number < 1 << 29:
            raise _Malformed(f"a field has the number {number}")
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == _BYTES:
            size, at = _varint(data, at)
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
        else:
            raise _Malformed(f"a field is of the unknown kind {wire}")
        if size > len(data) - at:
            raise _Malformed("it ends in the middle of a field")
        yield number, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise _Malformed("it ends in the middle of a number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise _Malformed("a number has more than ten bytes")
