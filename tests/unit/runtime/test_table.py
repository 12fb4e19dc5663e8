"""Columns of one array: read so where they come in the order of the schema, and side by side at no cost."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mlship_runtime.bundle.spec import TensorSpec
from mlship_runtime.errors import BadInput
from mlship_runtime.model.assembly import Feed
from mlship_runtime.model.table import Table
from mlship_runtime.serving.v2 import InferCodec

NAMES = ("a", "b", "c")
CODEC = InferCodec("m", "d", [TensorSpec(name, "FP64", (-1,), nullable=False) for name in NAMES], [])


class Node:
    name, shape, takes_missing = "X", (-1, 3), False

    def __init__(self, dtype=np.float32):
        self.dtype = np.dtype(dtype)


def body(columns):
    tensors = [
        {"name": name, "datatype": "FP64", "shape": [len(values)], "data": values} for name, values in columns
    ]
    return json.dumps({"inputs": tensors}).encode()


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("order", [NAMES, NAMES[::-1], ("b", "a", "c")])
def test_any_order_gives_the_same_matrix(rows, order):
    values = {name: [at + 10.0 * row for row in range(rows)] for at, name in enumerate(NAMES)}
    _, found = CODEC.read(body([(name, values[name]) for name in order]))
    assert isinstance(found, Table) is (order == NAMES)
    assert {name: array.tolist() for name, array in found.items()} == values
    fed = Feed(Node(), NAMES).assemble(found)
    assert (fed.dtype, fed.flags.c_contiguous) == (np.dtype(np.float32), True)
    assert fed.tolist() == np.array([values[name] for name in NAMES]).T.tolist()
    other = Feed(Node(), ("c", "a", "b")).assemble(found)
    assert other.tolist() == np.array([values[name] for name in ("c", "a", "b")]).T.tolist()


def test_a_number_too_large_for_the_model_is_named():
    _, found = CODEC.read(body([("a", [1.0]), ("b", [1e300]), ("c", [1.0])]))
    with pytest.raises(BadInput, match="b, row 0 is 1e\\+300, too large for the model"):
        Feed(Node(), NAMES).assemble(found)


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ([("a", [1.0]), ("b", [1.0])], "c is missing"),
        ([("a", [1.0]), ("b", [1.0]), ("b", [1.0])], "b is given twice"),
        ([("a", [1.0]), ("b", [1.0]), ("c", [1.0, 2.0])], "c has 2 rows, a has 1"),
        ([("a", []), ("b", []), ("c", [])], "holds no values"),
        ([("a", [1.0]), ("b", [1.0]), ("c", [1.0]), ("a", [1.0])], "a is given twice"),
    ],
)
def test_what_does_not_fit_is_said(columns, says):
    with pytest.raises(BadInput, match=says):
        CODEC.read(body(columns))
