"""Reads the weights of an ONNX graph by the wire format alone: names, shapes and hashes; nothing is loaded.

Memory stays small whatever the size of the file: data is hashed as it passes. Format: Protocol Buffers
encoding; onnx.proto (ModelProto, GraphProto, NodeProto, AttributeProto, TensorProto).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from mlship_runtime.bundle.ustar import CHUNK, Stream

_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5
_MAX_TEXT = 4096
_MAX_DIMS = 64
_MODEL_GRAPH = 7
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_SPARSE = 1, 5, 15
_NODE_NAME, _NODE_OPERATOR, _NODE_ATTRIBUTE = 3, 4, 5
_ATTRIBUTE_NAME = 1


class Unreadable(Exception):
    """The file is not a graph that can be read so; the text says why."""


@dataclass(frozen=True)
class Weight:
    """`datatype` is the number of TensorProto.DataType (0 for attributes of nodes); `sha256` is that of the
    raw data; `external` says where data in another file is."""

    datatype: int
    shape: tuple[int, ...]
    sha256: str
    external: tuple[tuple[str, str], ...] = ()


@dataclass
class Graph:
    """`weights` by name: initialisers, and attributes of nodes as `node/attribute`; `operators` counted."""

    weights: dict[str, Weight] = field(default_factory=dict)
    operators: Counter[str] = field(default_factory=Counter)

    def add(self, name: str, weight: Weight) -> None:
        if name in self.weights:
            raise Unreadable(f"two weights are called {name[:80]!r}")
        self.weights[name] = weight


def read_graph(stream: Stream, size: int) -> Graph:
    """The graph in a file of `size` bytes; raises Unreadable."""
    wire, graph, seen = _Wire(stream), Graph(), False
    for number, kind, stop in wire.fields(size):
        if (number, kind) == (_MODEL_GRAPH, _BYTES):
            seen = True
            _read_graph(wire, stop, graph)
    if not seen:
        raise Unreadable("it has no graph")
    return graph


class _Wire:
    """Fields of a message in order. Of a field of bytes its end is given, and whoever gets it reads up to
    there or leaves it."""

    def __init__(self, stream: Stream) -> None:
        self._stream, self.position = stream, 0

    def fields(self, end: int) -> Iterator[tuple[int, int, int]]:
        """Number, kind, and value (of bytes: the position of their end) of the fields up to `end`."""
        while self.position < end:
            key = self.varint()
            number, kind = key >> 3, key & 7
            if kind == _BYTES:
                stop = self.varint() + self.position
                if stop > end:
                    raise Unreadable("a field is longer than what it is in")
                yield number, kind, stop
                for _ in self.rest(stop):
                    continue
            elif kind == _VARINT:
                yield number, kind, self.varint()
            elif kind in (_EIGHT, _FOUR):
                yield number, kind, int.from_bytes(self.take(8 if kind == _EIGHT else 4), "little")
            else:
                raise Unreadable(f"a field has the unknown form {kind}")
        if self.position != end:
            raise Unreadable("a field is longer than what it is in")

    def varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise Unreadable("a number has more than 64 bits")

    def take(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self._stream.read(size - len(data))
            if not part:
                raise Unreadable("it ends in its middle")
            data += part
        self.position += size
        return data

    def rest(self, stop: int) -> Iterator[bytes]:
        while self.position < stop:
            yield self.take(min(CHUNK, stop - self.position))

    def text(self, stop: int) -> str:
        if stop - self.position > _MAX_TEXT:
            raise Unreadable("a name is too long")
        return self.take(stop - self.position).decode("utf-8", "replace")


def _read_graph(wire: _Wire, end: int, graph: Graph) -> None:
    nodes = 0
    for number, kind, stop in wire.fields(end):
        if kind != _BYTES:
            continue
        if number == _GRAPH_NODE:
            _read_node(wire, stop, graph, nodes)
            nodes += 1
        elif number == _GRAPH_INITIALIZER:
            graph.add(*_read_tensor(wire, stop))
        elif number == _GRAPH_SPARSE:
            raise Unreadable("it has sparse weights")


def _read_node(wire: _Wire, end: int, graph: Graph, position: int) -> None:
    name, operator, attributes = "", "", list[tuple[str, str]]()
    for number, kind, stop in wire.fields(end):
        if kind != _BYTES:
            continue
        if number == _NODE_NAME:
            name = wire.text(stop)
        elif number == _NODE_OPERATOR:
            operator = wire.text(stop)
        elif number == _NODE_ATTRIBUTE:
            attributes.append(_read_attribute(wire, stop))
    graph.operators[operator] += 1
    for attribute, sha256 in attributes:
        graph.add(f"{name or f'{operator}#{position}'}/{attribute}", Weight(0, (), sha256))


def _read_attribute(wire: _Wire, end: int) -> tuple[str, str]:
    """Its name, and the hash of everything else in it. Whoever writes ONNX writes the name first."""
    key = wire.varint()
    if key != _ATTRIBUTE_NAME << 3 | _BYTES:
        raise Unreadable("an attribute does not begin with its name")
    stop = wire.varint() + wire.position
    if stop > end:
        raise Unreadable("a field is longer than what it is in")
    name, hasher = wire.text(stop), hashlib.sha256()
    for chunk in wire.rest(end):
        hasher.update(chunk)
    return name, hasher.hexdigest()


def _read_tensor(wire: _Wire, end: int) -> tuple[str, Weight]:
    tensor = _Tensor(wire)
    for number, kind, value in wire.fields(end):
        reader = _TENSOR_FIELDS.get(number)
        if reader is not None:
            reader(tensor, number, kind, value)
    return tensor.name, tensor.weight()


class _Tensor:
    """A TensorProto while it is read."""

    def __init__(self, wire: _Wire) -> None:
        self._wire, self._hasher, self._elsewhere = wire, hashlib.sha256(), False
        self.name, self.datatype = "", 0
        self.shape: list[int] = []
        self.external: list[tuple[str, str]] = []

    def dims(self, number: int, kind: int, value: int) -> None:
        if kind == _VARINT:
            self.shape.append(value)
        while kind == _BYTES and self._wire.position < value:
            self.shape.append(self._wire.varint())
        if len(self.shape) > _MAX_DIMS:
            raise Unreadable("a weight has too many dimensions")

    def kind(self, number: int, kind: int, value: int) -> None:
        self.datatype = value

    def text(self, number: int, kind: int, value: int) -> None:
        self.name = self._wire.text(_end(kind, value))

    def raw(self, number: int, kind: int, value: int) -> None:
        for chunk in self._wire.rest(_end(kind, value)):
            self._hasher.update(chunk)

    def typed(self, number: int, kind: int, value: int) -> None:
        if kind == _BYTES:
            self.raw(number, kind, value)
        self._hasher.update(b"%d %d %d;" % (number, kind, value if kind != _BYTES else 0))

    def outside(self, number: int, kind: int, value: int) -> None:
        self.external.append(_read_pair(self._wire, _end(kind, value)))

    def place(self, number: int, kind: int, value: int) -> None:
        self._elsewhere = value == 1

    def weight(self) -> Weight:
        if self._elsewhere and not self.external:
            raise Unreadable(f"the data of {self.name[:80]!r} is elsewhere, and it does not say where")
        external = tuple(self.external) if self._elsewhere else ()
        return Weight(self.datatype, tuple(self.shape), self._hasher.hexdigest(), external)


_TENSOR_FIELDS = {
    1: _Tensor.dims,
    2: _Tensor.kind,
    4: _Tensor.typed,  # float
    5: _Tensor.typed,  # int32
    6: _Tensor.typed,  # string
    7: _Tensor.typed,  # int64
    8: _Tensor.text,
    9: _Tensor.raw,
    10: _Tensor.typed,  # double
    11: _Tensor.typed,  # uint64
    13: _Tensor.outside,
    14: _Tensor.place,
}


def _end(kind: int, value: int) -> int:
    if kind != _BYTES:
        raise Unreadable("a field of a weight has another form than ONNX gives it")
    return value


def _read_pair(wire: _Wire, end: int) -> tuple[str, str]:
    key = value = ""
    for number, kind, stop in wire.fields(end):
        if kind == _BYTES and number in (1, 2):
            if number == 1:
                key = wire.text(stop)
            else:
                value = wire.text(stop)
    return key, value
