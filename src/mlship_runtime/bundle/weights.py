"""Where the weights of an ONNX file lie, read off its bytes: ONNX itself is not asked, and not needed.

Weights are the initializers of the model's graph. Sources: onnx.proto (field numbers, data types, "External
Tensor Data"); the protobuf encoding.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from mlship_runtime.bundle.external_data import externals
from mlship_runtime.bundle.protobuf import (
    BYTES,
    VARINT,
    Data,
    fields,
    message,
    not_onnx,
    numbers,
    payloads,
    varint,
)
from mlship_runtime.errors import InvalidBundle

Place = tuple[str, int, int]  # file beside the graph, offset and length in bytes

_FLOAT, _DOUBLE = 1, 11
_BITS = {
    1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 14: 64, 15: 128,
    16: 16, 17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4, 23: 4, 24: 8, 25: 2, 26: 2,
}  # fmt: skip
_GRAPH, _INITIALIZER = 7, 5  # of ModelProto and GraphProto; below of TensorProto
_DIMS, _TYPE, _FLOATS, _NAME, _RAW, _DOUBLES, _EXTERNAL, _LOCATION = 1, 2, 4, 8, 9, 10, 13, 14
_MOST_DIMS = 64  # more than any engine takes; their product would take long to compute
_KEY = b"location"  # without it nothing lies outside
_REPLACED = (_FLOATS, _RAW, _DOUBLES, _EXTERNAL, _LOCATION)


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
    return tuple(_weight(data, *payload) for payload in payloads(data, start, end, (_INITIALIZER,)))


def with_places(data: Data, places: Mapping[str, Place | bytes]) -> bytes:
    """The ONNX file with the weights that `places` names at these places, or inside where it has their bytes;
    all else byte for byte."""
    start, end = _graph(data)
    parts, head = list[bytes](), start
    for number, wire, begin, first, last in fields(data, start, end):
        if number != _INITIALIZER or wire != BYTES:
            continue
        place = places.get(_weight(data, first, last).name)
        if place is not None:
            parts += [data[head:begin], message(_INITIALIZER, _moved(data, first, last, place))]
            head = last
    parts.append(data[head:end])
    before = next(field[2] for field in fields(data, 0, len(data)) if field[0] == _GRAPH)
    return data[:before] + message(_GRAPH, b"".join(parts)) + data[end:]


def relocated(data: bytes, places: Mapping[str, str]) -> bytes:
    """The ONNX file with each location beside it replaced by that of `places`; raises InvalidBundle for one
    that is not among them, and for what else lies outside: the engine would read it from where it stands."""
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
    if _KEY in data and len(externals(data, "the model")) != len(moved):
        raise InvalidBundle("the model keeps more in other files than the weights of its graph")
    return with_places(data, moved) if moved else data


def _graph(data: Data) -> tuple[int, int]:
    found = list(payloads(data, 0, len(data), (_GRAPH,)))
    if len(found) != 1:
        raise not_onnx(f"it has {len(found)} graphs")
    return found[0]


def _weight(data: Data, start: int, end: int) -> Weight:
    name, kind, dims, external = "", 0, list[int](), False
    said: list[tuple[str, str]] = []
    inside: dict[int, list[tuple[int, int]]] = {}
    for number, wire, _, first, last in fields(data, start, end):
        if number == _NAME and wire == BYTES:
            name = data[first:last].decode("utf-8", "replace")
        elif number == _TYPE and wire == VARINT:
            kind = varint(data, first, last)[0]
        elif number == _DIMS:
            dims += numbers(data, first, last)
        elif number in (_RAW, _FLOATS, _DOUBLES):
            inside.setdefault(number if wire == BYTES else 0, []).append((first, last))
        elif number == _EXTERNAL and wire == BYTES:
            said.append(_pair(data, first, last))
        elif number == _LOCATION and wire == VARINT:
            external = varint(data, first, last)[0] == 1
    size = _size(dims, kind)
    piece = None
    if len(inside) == 1:
        ((number, ranges),) = inside.items()
        plain = number == _RAW or (number, kind) in ((_FLOATS, _FLOAT), (_DOUBLES, _DOUBLE))
        if plain and len(ranges) == 1 and ranges[0][1] - ranges[0][0] == size:
            piece = ranges[0]
    return Weight(name, size, None if external else piece, tuple(said) if external else None)


def _size(dims: list[int], kind: int) -> int:
    if len(dims) > _MOST_DIMS:
        raise not_onnx(f"a tensor has more than {_MOST_DIMS} dimensions")
    return (math.prod(dims) * _BITS.get(kind, 0) + 7) // 8


def _pair(data: Data, start: int, end: int) -> tuple[str, str]:
    found = {1: "", 2: ""}
    for number, wire, _, first, last in fields(data, start, end):
        if wire == BYTES and number in found:
            found[number] = data[first:last].decode("utf-8", "replace")
    return found[1], found[2]


def _moved(data: Data, start: int, end: int, place: Place | bytes) -> bytes:
    kept = [data[b:e] for number, _, b, _, e in fields(data, start, end) if number not in _REPLACED]
    if isinstance(place, bytes):
        return b"".join(kept) + message(_RAW, place)
    for key, value in zip(("location", "offset", "length"), place):
        pair = message(1, key.encode()) + message(2, str(value).encode("utf-8"))
        kept.append(message(_EXTERNAL, pair))
    return b"".join(kept) + bytes((_LOCATION << 3, 1))
