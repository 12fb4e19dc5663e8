"""JSON tensors to numpy and back: nothing is lost, nothing wrong gets through unnamed."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlship_runtime.bundle.spec import DATATYPES, TensorSpec
from mlship_runtime.errors import BadInput
from mlship_runtime.model.datatypes import (
    EXACT_WHOLE,
    NUMPY_TYPES,
    column_type,
    datatype_of,
    is_float,
    is_whole,
)
from mlship_runtime.model.tensors import decode_tensor, from_tensors, to_tensors


def values_of(datatype, nullable):
    """Values that a column of `datatype` can hold exactly."""
    if datatype == "BYTES":
        values = st.text()
    elif datatype == "BOOL":
        values = st.booleans()
    elif is_float(datatype):
        values = st.floats(allow_nan=False, allow_infinity=False, width=int(datatype[2:]))
    else:
        limits = np.iinfo(NUMPY_TYPES[datatype])
        most = EXACT_WHOLE if nullable else 1 << 64
        values = st.integers(max(int(limits.min), -most), min(int(limits.max), most))
    return st.one_of(st.none(), values) if nullable else values


@st.composite
def tensors(draw):
    datatype = draw(st.sampled_from(sorted(DATATYPES)))
    nullable = draw(st.booleans())
    width = draw(st.integers(1, 3))
    rows = draw(st.integers(1, 4))
    column = width == 1 and draw(st.booleans())
    shape = [rows] if column else [rows, width]
    values = draw(st.lists(values_of(datatype, nullable), min_size=rows * width, max_size=rows * width))
    spec = TensorSpec("t", datatype, (-1, *shape[1:]), nullable)
    return spec, {"name": "t", "datatype": datatype, "shape": shape, "data": values}


@given(tensors())
def test_what_goes_in_comes_out(case):
    spec, tensor = case
    arrays = from_tensors([tensor], [spec])
    assert arrays["t"].dtype == column_type(spec)
    assert arrays["t"].shape == tuple(tensor["shape"])
    (back,) = to_tensors(arrays, [spec])
    assert back == tensor
    assert [type(value) for value in back["data"]] == [type(value) for value in tensor["data"]]
    assert from_tensors([json.loads(json.dumps(back))], [spec])["t"].tobytes() == arrays["t"].tobytes() or (
        spec.datatype == "BYTES"
    )


@given(tensors())
def test_nested_data_is_the_same_tensor(case):
    spec, tensor = case
    rows, *rest = tensor["shape"]
    width = math.prod(rest)
    nested = (
        [tensor["data"][row * width : (row + 1) * width] for row in range(rows)] if rest else tensor["data"]
    )
    flat = decode_tensor(spec, spec.datatype, tensor["shape"], tensor["data"])
    deep = decode_tensor(spec, spec.datatype, tensor["shape"], nested)
    assert flat.shape == deep.shape
    assert to_tensors({"t": flat}, [spec]) == to_tensors({"t": deep}, [spec])


@given(tensors())
def test_datatypes_have_their_numpy_types(case):
    spec, tensor = case
    array = from_tensors([tensor], [spec])["t"]
    if not (spec.nullable and (is_whole(spec.datatype) or spec.datatype == "BOOL")):
        assert datatype_of(array.dtype) == spec.datatype


def spec_of(datatype, shape=(-1,), nullable=False):
    return TensorSpec("age", datatype, shape, nullable)


@pytest.mark.parametrize(
    ("spec", "given_type", "shape", "data", "expected"),
    [
        (spec_of("FP32"), "INT64", [2], [1, 2], [1.0, 2.0]),
        (spec_of("FP64"), "FP32", [1], [0.5], [0.5]),
        (spec_of("INT64"), "INT8", [1], [5], [5]),
        (spec_of("INT16"), "UINT8", [1], [200], [200]),
        (spec_of("INT64"), "INT64", [1], [3.0], [3]),
        (spec_of("FP64"), "FP64", [2, 1], [1.0, 2.0], [1.0, 2.0]),
        (spec_of("FP64", (-1, 1)), "FP64", [2], [1.0, 2.0], [[1.0], [2.0]]),
        (spec_of("FP64", (-1, -1)), "FP64", [1, 3], [[1, 2, 3]], [[1.0, 2.0, 3.0]]),
        (spec_of("BOOL"), "BOOL", [4], [1, 0, True, False], [True, False, True, False]),
        (spec_of("BOOL", nullable=True), "BOOL", [2], [0, 1], [0.0, 1.0]),
        (spec_of("FP64", (-1, 2, 2)), "FP64", [1, 2, 2], [[[1, 2], [3, 4]]], [[[1.0, 2.0], [3.0, 4.0]]]),
    ],
)
def test_what_is_accepted_without_loss(spec, given_type, shape, data, expected):
    assert decode_tensor(spec, given_type, shape, data).tolist() == expected


WRONG = [
    (spec_of("FP32"), "FP64", [1], [1.0], "age is FP32, not FP64"),
    (spec_of("INT8"), "INT16", [1], [1], "age is INT8, not INT16"),
    (spec_of("INT64"), "FP64", [1], [1.0], "age is INT64, not FP64"),
    (spec_of("FP64"), "BOOL", [1], [True], "age is FP64, not BOOL"),
    (spec_of("FP64"), "BYTES", [1], ["1"], "age is FP64, not BYTES"),
    (spec_of("FP64"), "DECIMAL", [1], [1], "age is FP64, not DECIMAL"),
    (spec_of("FP64"), "FP64", [1], [None], "age, row 0 is null: it is not nullable"),
    (spec_of("FP64"), "FP64", [2], [1.0, "x"], "age, row 1 is 'x', not a number (FP64)"),
    (spec_of("FP64"), "FP64", [1], [True], "age, row 0 is True, not a number (FP64)"),
    (spec_of("FP64"), "FP64", [1], [float("inf")], "age, row 0 is inf, not a number (FP64)"),
    (spec_of("FP64"), "FP64", [1], [float("nan")], "age, row 0 is nan, not a number (FP64)"),
    (spec_of("FP64", nullable=True), "FP64", [1], [float("-inf")], "age, row 0 is -inf, not a number (FP64)"),
    (spec_of("FP32"), "FP32", [1], [1e39], "age, row 0 is 1e+39, too large for FP32"),
    (spec_of("FP64"), "FP64", [2], [1, 10**400], "age, row 1 is 1000000"),
    (spec_of("FP32"), "INT64", [1], [2**24 + 1], "age, row 0: 16777217 has no exact FP32"),
    (spec_of("INT64"), "INT64", [1], [1.5], "age, row 0 is 1.5, not a whole number (INT64)"),
    (spec_of("INT8"), "INT8", [2], [1, 128], "age, row 1 is 128, not a whole number (INT8)"),
    (spec_of("UINT8"), "UINT8", [1], [-1], "age, row 0 is -1, not a whole number (UINT8)"),
    (spec_of("INT8", nullable=True), "INT8", [1], [300], "age, row 0 is 300, not a whole number (INT8)"),
    (
        spec_of("INT64", nullable=True),
        "INT64",
        [1],
        [2**53 + 1],
        "age, row 0 is 9007199254740993, not a whole",
    ),
    (spec_of("BOOL"), "BOOL", [3], [1, 0, 2], "age, row 2 is 2, not true or false (BOOL)"),
    (spec_of("BOOL"), "BOOL", [2], [1, 1.0], "age, row 1 is 1.0, not true or false (BOOL)"),
    (spec_of("BOOL"), "INT64", [1], [1], "age is BOOL, not INT64"),
    (spec_of("BYTES"), "BYTES", [1], [1], "age, row 0 is 1, not a text (BYTES)"),
    (spec_of("FP64"), "FP64", [0], [], "age: shape [0] holds no values"),
    (spec_of("FP64"), "FP64", [-1], [], "age: shape [-1] must give its sizes"),
    (spec_of("FP64"), "FP64", [], [], "age: shape [] does not fit [-1]"),
    (spec_of("FP64"), "FP64", [1, 2], [1, 2], "age: shape [1, 2] does not fit [-1]"),
    (spec_of("FP64", (-1, 3)), "FP64", [2, 2], [1, 2, 3, 4], "age: shape [2, 2] does not fit [-1, 3]"),
    (spec_of("FP64"), "FP64", [3], [1.0, 2.0], "age: data does not fill shape [3]"),
    (spec_of("FP64", (-1, 2)), "FP64", [2, 2], [[1, 2], [3]], "age: data does not fill shape [2, 2]"),
    (spec_of("FP64", (-1, 2)), "FP64", [2, 2], [[1, 2], 3], "age: data does not fill shape [2, 2]"),
    (spec_of("FP64", (-1, 2)), "FP64", [1, 2], [[1, [2]]], "age, row 0 is [2], not a number (FP64)"),
    (spec_of("FP64"), "FP64", [1], {"0": 1}, "age: data is not a list"),
    (spec_of("FP64", (-1, 2)), "FP64", [2, 2], [1, 2, None, 4], "age, row 1 is null"),
]


@pytest.mark.parametrize(
    ("spec", "given_type", "shape", "data", "says"), WRONG, ids=[case[-1] for case in WRONG]
)
def test_what_is_wrong_is_named(spec, given_type, shape, data, says):
    with pytest.raises(BadInput) as caught:
        decode_tensor(spec, given_type, shape, data)
    assert str(caught.value).startswith(says)
    assert caught.value.field == "age"


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["a"], "b is missing"),
        (["a", "b", "c"], "c is not an input of this model: it reads a, b"),
        (["a", "b", "a"], "a is given twice"),
    ],
)
def test_inputs_are_complete(names, says):
    specs = [TensorSpec(name, "FP64", (-1,), False) for name in "ab"]
    given_tensors = [{"name": name, "datatype": "FP64", "shape": [1], "data": [1.0]} for name in names]
    with pytest.raises(BadInput) as caught:
        from_tensors(given_tensors, specs)
    assert str(caught.value) == says


def test_batches_of_unequal_length():
    specs = [TensorSpec(name, "FP64", (-1,), False) for name in "ab"]
    given_tensors = [
        {"name": "a", "datatype": "FP64", "shape": [2], "data": [1.0, 2.0]},
        {"name": "b", "datatype": "FP64", "shape": [1], "data": [1.0]},
    ]
    with pytest.raises(BadInput, match="b has 1 rows, a has 2"):
        from_tensors(given_tensors, specs)


def test_outputs_that_are_not_finite_are_null():
    specs = [TensorSpec("p", "FP32", (-1, 2), False)]
    arrays = {"p": np.array([[np.nan, 0.5], [np.inf, -np.inf]], np.float32)}
    assert to_tensors(arrays, specs)[0]["data"] == [None, 0.5, None, None]
