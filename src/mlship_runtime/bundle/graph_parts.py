"""The parts of an ONNX file that joining two of them needs, read off its bytes, and its names changed.

Source: onnx.proto (field numbers of ModelProto, GraphProto, NodeProto, ValueInfoProto, FunctionProto).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Callable

from mlship_runtime.bundle.protobuf import BYTES, VARINT, fields, message, not_onnx, payloads, varint

IR_VERSION, GRAPH, OPSETS, FUNCTIONS = 1, 7, 8, 25  # of ModelProto
NODES, WEIGHTS, INPUTS, OUTPUTS, SPARSE = 1, 5, 11, 12, 15  # of GraphProto
_STANDARD = ("", "ai.onnx")  # two names of one set of operators

# The fields of each kind of message that lead to names or are some: values and nodes, free dimensions.
_WAYS: Mapping[str, Mapping[int, str]] = {
    "graph": {1: "node", 5: "tensor", 11: "value", 12: "value", 13: "value", 15: "sparse"},
    "node": {1: "name", 2: "name", 3: "name", 5: "attribute"},
    "attribute": {6: "graph", 11: "graph"},
    "tensor": {8: "name"},
    "sparse": {1: "tensor"},
    "value": {1: "name", 2: "type"},
    "type": {1: "of tensors", 4: "of elements", 5: "of values", 8: "of tensors", 9: "of elements"},
    "of tensors": {2: "shape"},
    "of elements": {1: "type"},
    "of values": {2: "type"},
    "shape": {1: "dimension"},
    "dimension": {2: "free"},
}


@dataclass(frozen=True)
class Value:
    """What a graph reads or gives: `element` is the number of its TensorProto.DataType, `rank` the number of
    its dimensions (-1 where the graph does not say)."""

    element: int
    rank: int


class GraphFile:
    """One ONNX file: its versions, the span of its graph, what it reads (without constants) and gives.
    Raises InvalidBundle for what is none."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        spans = list(payloads(data, 0, len(data), (GRAPH,)))
        if len(spans) != 1:
            raise not_onnx(f"it has {len(spans)} graphs")
        ((self.start, self.end),) = spans
        self.ir_version = next((n for k, n in _whole(data, 0, len(data)) if k == IR_VERSION), 0)
        self.opsets = dict(_opset(data, *span) for span in payloads(data, 0, len(data), (OPSETS,)))
        self.functions = {
            _function(data, *span): data[slice(*span)] for span in payloads(data, 0, len(data), (FUNCTIONS,))
        }
        constants = {_text(data, *span, 8) for span in payloads(data, self.start, self.end, (WEIGHTS,))}
        self.inputs = {name: v for name, v in self._values(INPUTS) if name not in constants}
        self.outputs = dict(self._values(OUTPUTS))

    @property
    def names(self) -> set[str]:
        """The names of all values and nodes, in inner graphs, too."""
        return set(_names(self.data, "graph", self.start, self.end))

    @property
    def domains(self) -> set[str]:
        """The operator sets that are really used."""
        found = set(_domains(self.data, "graph", self.start, self.end))
        for function in self.functions.values():
            found |= {_domain(function, *span) for span in payloads(function, 0, len(function), (7,))}
        return found

    def renamed(self, numbers: tuple[int, ...], change: Callable[[str], str], free: str) -> Iterator[bytes]:
        """The graph's fields of these numbers with `change` done to every name in them, and `free` put before
        the names of free dimensions. Of its inputs, those that must be fed."""
        for number, wire, _, first, last in fields(self.data, self.start, self.end):
            if number not in numbers or wire != BYTES:
                continue
            if number != INPUTS or _text(self.data, first, last, 1) in self.inputs:
                yield message(number, _changed(self.data, _WAYS["graph"][number], first, last, change, free))

    def without_inputs(self) -> Iterator[bytes]:
        """The graph's fields as they are, but for the inputs that must be fed."""
        for number, _, begin, first, last in fields(self.data, self.start, self.end):
            if number != INPUTS or _text(self.data, first, last, 1) not in self.inputs:
                yield self.data[begin:last]

    def _values(self, number: int) -> Iterator[tuple[str, Value]]:
        for start, end in payloads(self.data, self.start, self.end, (number,)):
            yield _text(self.data, start, end, 1), _value(self.data, start, end)


def text_of(name: bytes) -> str:
    """A name as text, whatever its bytes are; `bytes_of` gives them back."""
    return name.decode("utf-8", "surrogateescape")


def bytes_of(name: str) -> bytes:
    """The bytes of a name."""
    return name.encode("utf-8", "surrogateescape")


def _changed(data: bytes, kind: str, start: int, end: int, change: Callable[[str], str], free: str) -> bytes:
    if kind == "name":
        name = text_of(data[start:end])
        return bytes_of(change(name)) if name else b""
    if kind == "free":
        return free.encode() + data[start:end]
    parts, ways, head = list[bytes](), _WAYS[kind], start
    for number, wire, begin, first, last in fields(data, start, end):
        if number in ways and wire == BYTES:
            inner = _changed(data, ways[number], first, last, change, free)
            parts += [data[head:begin], message(number, inner)]
            head = last
    return b"".join((*parts, data[head:end]))


def _names(data: bytes, kind: str, start: int, end: int) -> Iterator[str]:
    if kind == "name":
        yield text_of(data[start:end])
    for number, wire, _, first, last in fields(data, start, end) if kind in _WAYS else ():
        if number in _WAYS[kind] and wire == BYTES:
            yield from _names(data, _WAYS[kind][number], first, last)


def _domains(data: bytes, kind: str, start: int, end: int) -> Iterator[str]:
    if kind == "node":
        yield _domain(data, start, end)
    for number, wire, _, first, last in fields(data, start, end):
        inner = _WAYS[kind].get(number)
        if inner in ("node", "attribute", "graph") and wire == BYTES:
            yield from _domains(data, inner, first, last)


def _domain(data: bytes, start: int, end: int) -> str:
    """Of a node."""
    found = _text(data, start, end, 7)
    return "" if found in _STANDARD else found


def _opset(data: bytes, start: int, end: int) -> tuple[str, int]:
    version = next((n for k, n in _whole(data, start, end) if k == 2), 0)
    domain = _text(data, start, end, 1)
    return "" if domain in _STANDARD else domain, version


def _function(data: bytes, start: int, end: int) -> tuple[str, str, str]:
    """What tells a function of the model from others: domain, name, overload."""
    return _text(data, start, end, 10), _text(data, start, end, 1), _text(data, start, end, 13)


def _value(data: bytes, start: int, end: int) -> Value:
    element, rank = 0, -1
    for kind in payloads(data, start, end, (2,)):
        for tensor in payloads(data, *kind, (1,)):
            element = next((n for k, n in _whole(data, *tensor) if k == 1), 0)
            for shape in payloads(data, *tensor, (2,)):
                rank = sum(1 for _ in payloads(data, *shape, (1,)))
    return Value(element, rank)


def _whole(data: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Field numbers and values of the whole numbers in a message."""
    for number, wire, _, first, last in fields(data, start, end):
        if wire == VARINT:
            yield number, varint(data, first, last)[0]


def _text(data: bytes, start: int, end: int, number: int) -> str:
    found = ""
    for first, last in payloads(data, start, end, (number,)):
        found = text_of(data[first:last])
    return found
