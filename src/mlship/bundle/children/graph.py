"""ONNX graphs in one form: the same model gives the same bytes, whoever converted it and when."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from .failure import Failure, reason

GRAPH_NAME = "model"
OLDEST_JOINED = 13  # of graphs that are joined: see mlship_runtime.bundle.fusion


def normalised(model: Any) -> bytes:
    """`model` (an onnx.ModelProto, changed in place) without producer, documentation, metadata and repeated
    opsets, as bytes; raises Failure if it is no valid graph."""
    import onnx

    for field in (
        "producer_name",
        "producer_version",
        "domain",
        "model_version",
        "doc_string",
        "metadata_props",
    ):
        model.ClearField(field)
    model.ClearField("training_info")
    opsets = sorted({(opset.domain, opset.version) for opset in model.opset_import})
    del model.opset_import[:]
    model.opset_import.extend(onnx.helper.make_opsetid(domain, version) for domain, version in opsets)
    for graph in parts(model.graph):
        graph.name = GRAPH_NAME
        _strip(graph)
    for function in model.functions:
        function.opset_import.sort(key=lambda opset: (opset.domain, opset.version))
        for part in parts(function):
            _strip(part)
    try:
        onnx.checker.check_model(model)
    except Exception as error:
        raise Failure("the converted model is not a valid ONNX graph", cause=reason(error)) from error
    data: bytes = model.SerializeToString(deterministic=True)
    return data


@contextlib.contextmanager
def truth_as_whole_numbers() -> Iterator[None]:
    """skl2onnx 1.20 writes truth values into lists of whole numbers, which protobuf 7 refuses."""
    import onnx.helper

    original = onnx.helper.make_attribute

    def make_attribute(key: str, value: Any, *rest: Any, **named: Any) -> Any:
        if isinstance(value, list) and any(type(item).__name__ in ("bool", "bool_") for item in value):
            value = [int(item) for item in value]
        return original(key, value, *rest, **named)

    onnx.helper.make_attribute = make_attribute
    try:
        yield
    finally:
        onnx.helper.make_attribute = original


def rename(graph: Any, names: dict[str, str]) -> None:
    """Rename values of a graph everywhere; a value that has one of the new names already gives way."""
    clashing = [name for name in _values(graph) if name in names.values() and name not in names]
    changes = {**{name: f"{name}_inner" for name in clashing}, **names}
    for part in parts(graph):
        for value in (*part.input, *part.output, *part.value_info, *part.initializer):
            value.name = changes.get(value.name, value.name)
        for node in part.node:
            node.input[:] = [changes.get(name, name) for name in node.input]
            node.output[:] = [changes.get(name, name) for name in node.output]


def adopt(model: Any, wanted: dict[str, int], highest: dict[str, int]) -> None:
    """Declare the `wanted` versions of operator sets, where they are later than what a converter declared and
    no later than the `highest`, which it was asked for: it declares the first versions that will do."""
    from onnx import helper

    if not wanted:
        return
    for opset in model.opset_import:
        domain = "" if opset.domain == "ai.onnx" else opset.domain
        if opset.version < wanted.get(domain, 0) <= highest.get(domain, 0):
            opset.version = wanted[domain]
    needed = helper.find_min_ir_version_for(model.opset_import, ignore_unknown=True)
    model.ir_version = max(model.ir_version, needed)


def _values(graph: Any) -> Iterator[str]:
    seen = set()
    for part in parts(graph):
        for node in part.node:
            for name in (*node.input, *node.output):
                if name and name not in seen:
                    seen.add(name)
                    yield name


def parts(graph: Any) -> Iterator[Any]:
    """The graph (or function) and the graphs inside of its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from parts(attribute.g)
            for inner in attribute.graphs:
                yield from parts(inner)


def _strip(part: Any) -> None:
    """Take the words out of a graph or function; a function's inputs and outputs are names only."""
    _silence(part)
    for node in part.node:
        _silence(node)
        for attribute in node.attribute:
            attribute.doc_string = ""
            for tensor in [attribute.t] if attribute.HasField("t") else attribute.tensors:
                _silence(tensor)
    for field in ("initializer", "input", "output", "value_info"):
        for value in getattr(part, field, ()):
            if not isinstance(value, str):
                _silence(value)


def _silence(message: Any) -> None:
    for field in ("doc_string", "metadata_props"):
        _clear(message, field)


def _clear(message: Any, field: str) -> None:
    if field in message.DESCRIPTOR.fields_by_name:
        message.ClearField(field)
