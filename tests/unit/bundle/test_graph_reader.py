"""Weights out of an ONNX file by its bytes alone, against what the onnx package says of the same file."""

from __future__ import annotations

import hashlib
import io
from contextlib import suppress

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from mlship.bundle.models.graph_reader import Graph, Value, read_graph
from mlship.bundle.rows.wire import Unreadable


def model(*tensors: onnx.TensorProto) -> bytes:
    nodes = [
        helper.make_node("Add", ["x", "w"], ["s"], name="sum"),
        helper.make_node("Scaler", ["s"], ["y"], domain="ai.onnx.ml", offset=[1.0, 2.0], scale=[3.0, 4.0]),
    ]
    made = helper.make_graph(nodes, "g", [], [], initializer=list(tensors))
    return helper.make_model(made).SerializeToString()


def read(data: bytes) -> Graph:
    return read_graph(io.BytesIO(data), len(data))


def test_raw_data_has_its_own_hash() -> None:
    array = np.arange(6, dtype="f4").reshape(2, 3)
    weight = read(model(numpy_helper.from_array(array, "w"))).weights["w"]
    assert weight.sha256 == hashlib.sha256(array.tobytes()).hexdigest()
    assert (weight.shape, weight.datatype) == ((2, 3), TensorProto.FLOAT)


@pytest.mark.parametrize(
    ("kind", "values", "others"),
    [
        (TensorProto.FLOAT, [1.0, 2.0], [1.0, 3.0]),
        (TensorProto.DOUBLE, [1.0, 2.0], [1.0, 3.0]),
        (TensorProto.INT64, [1, 2], [1, 3]),
        (TensorProto.INT32, [1, 2], [1, 3]),
        (TensorProto.UINT64, [1, 2], [1, 3]),
        (TensorProto.STRING, [b"a", b"b"], [b"ab", b""]),
    ],
)
def test_data_in_typed_fields_is_told_apart(kind: int, values: list, others: list) -> None:
    one, two = (read(model(helper.make_tensor("w", kind, [2], given))) for given in (values, others))
    assert one.weights["w"].sha256 != two.weights["w"].sha256
    assert one == read(model(helper.make_tensor("w", kind, [2], values)))


def test_attributes_of_nodes_are_weights_too() -> None:
    graph = read(model())
    assert set(graph.weights) == {"Scaler#1/offset", "Scaler#1/scale"}
    assert graph.operators == {"Add": 1, "Scaler": 1}


def test_inputs_and_outputs_have_types_and_shapes() -> None:
    values = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 4]),
        helper.make_tensor_value_info("words", TensorProto.STRING, ["rows", 1]),
        helper.make_tensor_sequence_value_info("s", TensorProto.FLOAT, [1]),
    ]
    made = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", values, values[:1])
    graph = read(helper.make_model(made).SerializeToString())
    assert graph.inputs == [
        Value("x", TensorProto.FLOAT, (-1, 4)),
        Value("words", TensorProto.STRING, (-1, 1)),
        Value("s", 0, ()),
    ]
    assert graph.outputs == graph.inputs[:1]


def test_data_in_another_file_says_where() -> None:
    tensor = numpy_helper.from_array(np.ones(3, "f4"), "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "w.bin"), ("offset", "8"), ("length", "12")):
        tensor.external_data.add(key=key, value=value)
    weight = read(model(tensor)).weights["w"]
    assert dict(weight.external) == {"location": "w.bin", "offset": "8", "length": "12"}
    tensor.ClearField("external_data")
    with pytest.raises(Unreadable, match="does not say where"):
        read(model(tensor))


GOOD = model(numpy_helper.from_array(np.arange(4, dtype="f4"), "w"))
BAD = {
    "no graph": (b"", "no graph"),
    "cut short": (GOOD[:-3], "in its middle|longer than"),
    "a field beyond its message": (b"\x3a\x7f\x0a", "longer than"),
    "a group": (b"\x3b", "unknown form 3"),
    "a number without end": (b"\x38" + b"\xff" * 11, "64 bits"),
    "a name of a gigabyte": (b"\x3a\x85\x80\x80\x80\x04\x2a\x80\x80\x80\x80\x04\x42", "longer than"),
    "two weights of one name": (model(*[numpy_helper.from_array(np.ones(1), "w")] * 2), "two weights"),
    "a weight with a name that is a number": (b"\x3a\x04\x2a\x02\x40\x01", "another form"),
    "an attribute without a name": (b"\x3a\x06\x0a\x04\x2a\x02\x18\x01", "begin with its name"),
    "sparse weights": (b"\x3a\x02\x7a\x00", "sparse"),
    "a weight of a hundred dimensions": (
        model(helper.make_tensor("w", TensorProto.FLOAT, [1] * 100, [1.0])),
        "too many dimensions",
    ),
}


@pytest.mark.parametrize(("data", "why"), BAD.values(), ids=BAD)
def test_what_cannot_be_read_is_said(data: bytes, why: str) -> None:
    with pytest.raises(Unreadable, match=why):
        read(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with suppress(Unreadable):
        read(data)


@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_a_changed_byte_never_breaks_the_reader(at: int, by: int) -> None:
    data = bytearray(GOOD)
    data[at] ^= by
    with suppress(Unreadable):
        read(bytes(data))
