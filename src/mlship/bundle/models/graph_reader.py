"""Reads the weights of an ONNX graph by the wire format alone: names, shapes and hashes; nothing is loaded.

Memory stays small whatever the size of the file: data is hashed as it passes. Format: onnx.proto (ModelProto,
GraphProto, NodeProto, AttributeProto, TensorProto, ValueInfoProto).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from mlship.bundle.rows.wire import BYTES, VARINT, Unreadable, Wire
from mlship_runtime.bundle.ustar import Stream

_MAX_DIMS = 64
_MODEL_GRAPH = 7
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT, _GRAPH_SPARSE = 1, 5, 11, 12, 15
_NODE_NAME, _NODE_OPERATOR, _NODE_ATTRIBUTE = 3, 4, 5
_ATTRIBUTE_NAME = 1


@dataclass(frozen=True)
class Weight:
    """`datatype` is the number of TensorProto.DataType (0 for attributes of nodes); `sha256` is that of the
    raw data; `external` says where data in another file is."""

    datatype: int
    shape: tuple[int, ...]
    sha256: str
    external: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Value:
    """An input or output: `datatype` as of weights (0: no tensor), `shape` with -1 for what is free."""

    name: str
    datatype: int
    shape: tuple[int, ...]


@dataclass
class Graph:
    """`weights` by name: initialisers, and attributes of nodes as `node/attribute`; `operators` counted."""

    weights: dict[str, Weight] = field(default_factory=dict)
    operators: Counter[str] = field(default_factory=Counter)
    inputs: list[Value] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)

    def add(self, name: str, weight: Weight) -> None:
        if name in self.weights:
            raise Unreadable(f"two weights are called {name[:80]!r}")
        self.weights[name] = weight


def read_graph(stream: Stream, size: int) -> Graph:
    """The graph in a file of `size` bytes; raises Unreadable."""
    wire, graph, seen = Wire(stream), Graph(), False
    for number, kind, stop in wire.fields(size):
        if (number, kind) == (_MODEL_GRAPH, BYTES):
            seen = True
            _read_graph(wire, stop, graph)
    if not seen:
        raise Unreadable("it has no graph")
    return graph


def _read_graph(wire: Wire, end: int, graph: Graph) -> None:
    nodes = 0
    for number, kind, stop in wire.fields(end):
        if kind != BYTES:
            continue
        if number == _GRAPH_NODE:
            _read_node(wire, stop, graph, nodes)
            nodes += 1
        elif number == _GRAPH_INITIALIZER:
            graph.add(*_read_tensor(wire, stop))
        elif number == _GRAPH_INPUT:
            graph.inputs.append(_read_value(wire, stop))
        elif number == _GRAPH_OUTPUT:
            graph.outputs.append(_read_value(wire, stop))
        elif number == _GRAPH_SPARSE:
            raise Unreadable("it has sparse weights")


def _read_node(wire: Wire, end: int, graph: Graph, position: int) -> None:
    name, operator, attributes = "", "", list[tuple[str, str]]()
    for number, kind, stop in wire.fields(end):
        if kind != BYTES:
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


def _read_attribute(wire: Wire, end: int) -> tuple[str, str]:
    """Its name, and the hash of everything else in it. Whoever writes ONNX writes the name first."""
    key = wire.varint()
    if key != _ATTRIBUTE_NAME << 3 | BYTES:
        raise Unreadable("an attribute does not begin with its name")
    stop = wire.varint() + wire.position
    if stop > end:
        raise Unreadable("a field is longer than what it is in")
    name, hasher = wire.text(stop), hashlib.sha256()
    for chunk in wire.rest(end):
        hasher.update(chunk)
    return name, hasher.hexdigest()


def _read_tensor(wire: Wire, end: int) -> tuple[str, Weight]:
    tensor = _Tensor(wire)
    for number, kind, value in wire.fields(end):
        reader = _TENSOR_FIELDS.get(number)
        if reader is not None:
            reader(tensor, number, kind, value)
    return tensor.name, tensor.weight()


class _Tensor:
    """A TensorProto while it is read."""

    def __init__(self, wire: Wire) -> None:
        self._wire, self._hasher, self._elsewhere = wire, hashlib.sha256(), False
        self.name, self.datatype = "", 0
        self.shape: list[int] = []
        self.external: list[tuple[str, str]] = []

    def dims(self, number: int, kind: int, value: int) -> None:
        if kind == VARINT:
            self.shape.append(value)
        while kind == BYTES and self._wire.position < value:
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
        if kind == BYTES:
            self.raw(number, kind, value)
        self._hasher.update(b"%d %d %d;" % (number, kind, value if kind != BYTES else 0))

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
    if kind != BYTES:
        raise Unreadable("a field of a weight has another form than ONNX gives it")
    return value


def _read_value(wire: Wire, end: int) -> Value:
    """A ValueInfoProto: name = 1, type = 2 { tensor_type = 1 { elem_type = 1, shape = 2 { dim = 1 … } } }."""
    name, datatype, shape = "", 0, list[int]()
    for number, kind, stop in wire.fields(end):
        if (number, kind) == (1, BYTES):
            name = wire.text(stop)
        elif (number, kind) == (2, BYTES):
            for tensor in _inner(wire, stop, 1):
                for inner, form, value in wire.fields(tensor):
                    if (inner, form) == (1, VARINT):
                        datatype = value
                    elif (inner, form) == (2, BYTES):
                        shape = [_read_dimension(wire, dim) for dim in _inner(wire, value, 1)]
    return Value(name, datatype, tuple(shape))


def _inner(wire: Wire, end: int, wanted: int) -> Iterator[int]:
    return (stop for number, kind, stop in wire.fields(end) if (number, kind) == (wanted, BYTES))


def _read_dimension(wire: Wire, end: int) -> int:
    sizes = [value for number, kind, value in wire.fields(end) if (number, kind) == (1, VARINT)]
    return sizes[-1] if sizes and sizes[-1] < 1 << 53 else -1


def _read_pair(wire: Wire, end: int) -> tuple[str, str]:
    key = value = ""
    for number, kind, stop in wire.fields(end):
        if kind == BYTES and number in (1, 2):
            if number == 1:
                key = wire.text(stop)
            else:
                value = wire.text(stop)
    return key, value
