"""Where the weights of an ONNX file lie, read off its bytes: ONNX itself is not asked, and not needed.

Weights are the initializers of the model's graph. Sources: onnx.proto (field numbers, data types, "External
Tensor Data"); the protobuf encoding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from mmap import mmap
from typing import Union

from mlship_runtime.errors import InvalidBundle

Data = Union[bytes, mmap]
Place = tuple[str, int, int]  # file beside the graph, offset and length in bytes

_FLOAT, _DOUBLE = 1, 11
_BITS = {
    1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 14: 64, 15: 128,
    16: 16, 17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4, 23: 4, 24: 8, 25: 2, 26: 2,
}  # fmt: skip
_GRAPH, _INITIALIZER = 7, 5  # of ModelProto and GraphProto; below of TensorProto
_DIMS, _TYPE, _FLOATS, _NAME, _RAW, _DOUBLES, _EXTERNAL, _LOCATION = 1, 2, 4, 8, 9, 10, 13, 14
_REPLACED = (_FLOATS, _RAW, _DOUBLES, _EXTERNAL, _LOCATION)
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

_Field = tuple[int, int, int, int, int]  # number, kind, where it begins, its payload's begin and end


@dataclass(frozen=True)
class Weight:
    """One initializer. `inside` is where its bytes lie in the ONNX file, if they do so in one piece and as
    they are in memory; `outside` what it says of another file (key and value). `size` is what its shape and
    type ask for, in bytes (0 for texts)."""

    name: str
    size: int
    inside: tuple[int, int] | None
    outside: tuple[tuple[str, str], ...] | None


def read_weights(data: Data) -> tuple[Weight, ...]:
    """The weights in the order of the graph; raises InvalidBundle for what is no ONNX file."""
    start, end = _graph(data)
    return tuple(_weight(data, *payload) for payload in _payloads(data, start, end, (_INITIALIZER,)))


def with_places(data: Data, places: Mapping[str, Place | bytes]) -> bytes:
    """The ONNX file with the weights that `places` names at these places, or inside where it has their bytes;
    all else byte for byte."""
    start, end = _graph(data)
    parts, head = list[bytes](), start
    for number, wire, begin, first, last in _fields(data, start, end):
        if number != _INITIALIZER or wire != _BYTES:
            continue
        place = places.get(_weight(data, first, last).name)
        if place is not None:
            parts += [data[head:begin], _message(_INITIALIZER, _moved(data, first, last, place))]
            head = last
    parts.append(data[head:end])
    before = next(field[2] for field in _fields(data, 0, len(data)) if field[0] == _GRAPH)
    return data[:before] + _message(_GRAPH, b"".join(parts)) + data[end:]


def relocated(data: bytes, places: Mapping[str, str]) -> bytes:
    """The ONNX file with each location beside it replaced by that of `places`; raises InvalidBundle for one
    that is not among them."""
    moved: dict[str, Place | bytes] = {}
    for weight in read_weights(data):
        if weight.outside is None:
            continue
        said = dict(weight.outside)
        try:
            place = places[said["location"]], int(said["offset"]), int(said["length"])
        except (KeyError, ValueError):
            raise InvalidBundle(
                f"the model looks for weights outside of the bundle ({weight.name[:80]!a})"
            ) from None
        moved[weight.name] = place
    return with_places(data, moved) if moved else data


def _graph(data: Data) -> tuple[int, int]:
    found = list(_payloads(data, 0, len(data), (_GRAPH,)))
    if len(found) != 1:
        raise _not_onnx(f"it has {len(found)} graphs")
    return found[0]


def _weight(data: Data, start: int, end: int) -> Weight:
    name, kind, dims, external = "", 0, list[int](), False
    said: list[tuple[str, str]] = []
    inside: dict[int, list[tuple[int, int]]] = {}
    for number, wire, _, first, last in _fields(data, start, end):
        if number == _NAME and wire == _BYTES:
            name = data[first:last].decode("utf-8", "replace")
        elif number == _TYPE and wire == _VARINT:
            kind = _varint(data, first, last)[0]
        elif number == _DIMS:
            dims += _numbers(data, first, last)
        elif number in (_RAW, _FLOATS, _DOUBLES):
            inside.setdefault(number if wire == _BYTES else 0, []).append((first, last))
        elif number == _EXTERNAL and wire == _BYTES:
            said.append(_pair(data, first, last))
        elif number == _LOCATION and wire == _VARINT:
            external = _varint(data, first, last)[0] == 1
    size = (math.prod(dims) * _BITS.get(kind, 0) + 7) // 8
    piece = None
    if len(inside) == 1:
        ((number, ranges),) = inside.items()
        plain = number == _RAW or (number, kind) in ((_FLOATS, _FLOAT), (_DOUBLES, _DOUBLE))
        if plain and len(ranges) == 1 and ranges[0][1] - ranges[0][0] == size:
            piece = ranges[0]
    return Weight(name, size, None if external else piece, tuple(said) if external else None)


def _pair(data: Data, start: int, end: int) -> tuple[str, str]:
    found = {1: "", 2: ""}
    for number, wire, _, first, last in _fields(data, start, end):
        if wire == _BYTES and number in found:
            found[number] = data[first:last].decode("utf-8", "replace")
    return found[1], found[2]


def _moved(data: Data, start: int, end: int, place: Place | bytes) -> bytes:
    kept = [data[b:e] for number, _, b, _, e in _fields(data, start, end) if number not in _REPLACED]
    if isinstance(place, bytes):
        return b"".join(kept) + _message(_RAW, place)
    for key, value in zip(("location", "offset", "length"), place):
        pair = _message(1, key.encode()) + _message(2, str(value).encode("utf-8"))
        kept.append(_message(_EXTERNAL, pair))
    return b"".join(kept) + bytes((_LOCATION << 3, 1))


def _payloads(data: Data, start: int, end: int, numbers: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    for number, wire, _, first, last in _fields(data, start, end):
        if number in numbers and wire == _BYTES:
            yield first, last


def _fields(data: Data, start: int, end: int) -> Iterator[_Field]:
    at = start
    while at < end:
        begin = at
        key, at = _varint(data, at, end)
        wire, first = key & 7, at
        if wire == _VARINT:
            _, at = _varint(data, at, end)
        elif wire == _BYTES:
            size, first = _varint(data, at, end)
            at = first + size
        elif wire in (_FIXED64, _FIXED32):
            at += 8 if wire == _FIXED64 else 4
        else:
            raise _not_onnx("it has a field of an unknown kind")
        if at > end:
            raise _not_onnx("it ends in its middle")
        yield key >> 3, wire, begin, first, at


def _numbers(data: Data, start: int, end: int) -> Iterator[int]:
    while start < end:
        number, start = _varint(data, start, end)
        yield number


def _varint(data: Data, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
    raise _not_onnx("a number in it has no end")


def _message(number: int, payload: bytes) -> bytes:
    return _encoded(number << 3 | _BYTES) + _encoded(len(payload)) + payload


def _encoded(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)


def _not_onnx(cause: str) -> InvalidBundle:
    return InvalidBundle("the file is not an ONNX model", cause=cause)
