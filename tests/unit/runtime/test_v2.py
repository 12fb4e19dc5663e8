"""Infer requests of the Open Inference Protocol, version 2: what is understood, and what is said else."""

from __future__ import annotations

import json
import math

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlship_runtime.bundle.spec import TensorSpec
from mlship_runtime.errors import BadInput
from mlship_runtime.model.pipeline import Pipeline
from mlship_runtime.model.tensors import from_tensors
from mlship_runtime.serving.application import Application
from mlship_runtime.serving.v2 import InferCodec


def x(data, shape=(1, 2), datatype="FP32", name="X"):
    return {"name": name, "datatype": datatype, "shape": list(shape), "data": data}


def row(age=1, height=None, word=None, rows=1):
    return [
        {"name": "age", "datatype": "INT64", "shape": [rows], "data": [age] * rows},
        {"name": "height", "datatype": "FP64", "shape": [rows], "data": [height] * rows},
        {"name": "word", "datatype": "BYTES", "shape": [rows], "data": [word] * rows},
    ]


class TestV2:
    def test_an_answer(self, matrix):
        status, answer = matrix.infer(x([1, 2]), id="a")
        assert status == 200
        assert answer == {
            "model_name": "tiny",
            "model_version": matrix.application._pipeline.digest,
            "id": "a",
            "outputs": [
                {"name": "label", "datatype": "INT64", "shape": [1, 1], "data": [1]},
                {"name": "sum", "datatype": "FP32", "shape": [1, 1], "data": [3.0]},
            ],
        }

    def test_no_id_is_not_echoed(self, matrix):
        assert "id" not in matrix.infer(x([1, 2]))[1]
        assert "id" not in matrix.infer(x([1, 2]), id=None)[1]

    def test_columns_with_missing_values_through_the_reduction(self, table):
        status, answer = table.infer(*row(40, None, "known"))
        assert status == 200
        assert answer["outputs"][1]["data"] == [140.0]

    @pytest.mark.parametrize(
        "given",
        [
            x([1, 2, 3, 4], (2, 2)),
            x([[1, 2], [3, 4]], (2, 2)),
            x([1, 2, 3, 4], (2, 2), "INT64"),
            {**x([1.0, 2.0, 3.0, 4.0], (2, 2)), "parameters": {"anything": 1}},
        ],
    )
    def test_forms_of_the_same_batch(self, matrix, given):
        assert matrix.infer(given)[1]["outputs"][1]["data"] == [3.0, 7.0]

    def test_a_column_may_be_n_or_n_by_1(self, table):
        flat, deep = row(40, rows=2), row(40, rows=2)
        for each in deep:
            each["shape"] = [2, 1]
        assert table.infer(*flat) == table.infer(*deep)

    def test_outputs_by_name(self, matrix):
        outputs = matrix.infer(x([1, 2]), outputs=[{"name": "sum", "parameters": {}}])[1]["outputs"]
        assert [output["name"] for output in outputs] == ["sum"]

    def test_results_that_are_not_finite_are_null(self, matrix):
        outputs = matrix.infer(x([3e38, 3e38]))[1]["outputs"]
        assert outputs[1]["data"] == [None]

    def test_the_version_in_the_path(self, matrix):
        digest = matrix.application._pipeline.digest
        for version in (digest, digest.replace(":", "%3A")):
            path = f"/v2/models/tiny/versions/{version}/infer"
            assert matrix.post(path, {"inputs": [x([1, 2])]})[0] == 200
        status, answer = matrix.post("/v2/models/tiny/versions/1/infer", {"inputs": [x([1, 2])]})
        assert status == 404
        assert digest in answer["error"]

    DEEP = b"[" * 50000 + b"1" + b"]" * 50000
    NAN = b'{"inputs":[{"name":"X","datatype":"FP32","shape":[1,2],"data":[1,NaN]}]}'

    BAD = (
        (b"", "the body is not JSON"),
        (b"{", "the body is not JSON"),
        (b'{"inputs": [\xff]}', "the body is not JSON"),
        (b"[]", "the body is not a V2 infer request"),
        (b"{}", "the body is not a V2 infer request"),
        (b'{"inputs": 1}', "the body is not a V2 infer request"),
        (b'{"inputs": [1]}', "an input is not a V2 tensor"),
        (b'{"inputs": [], "id": 1}', "the body is not a V2 infer request"),
        (b'{"inputs": []}', "X is missing"),
        (b'{"inputs": %b}' % DEEP, "the body is nested too deeply"),
        ({"inputs": [x([1, 2], name="Y")]}, "Y is not an input of this model: it reads X"),
        ({"inputs": [x([1, 2]), x([1, 2])]}, "X is given twice"),
        ({"inputs": [x([1, 2], datatype="FP64")]}, "X is FP32, not FP64"),
        ({"inputs": [x([1, 2], datatype=7)]}, "X is not a V2 tensor"),
        ({"inputs": [x([1, 2], ("one", 2))]}, "X is not a V2 tensor"),
        ({"inputs": [{"name": "X", "datatype": "FP32", "shape": [1, 2]}]}, "X has no data"),
        ({"inputs": [{"name": "X", "shape": [1, 2], "data": [1, 2]}]}, "X is not a V2 tensor"),
        ({"inputs": [x([1, 2, 3], (1, 3))]}, "X: shape [1, 3] does not fit [-1, 2]"),
        ({"inputs": [x([1, 2], (2,))]}, "X: shape [2] does not fit [-1, 2]"),
        ({"inputs": [x([], (0, 2))]}, "X: shape [0, 2] holds no values"),
        ({"inputs": [x([1, 2], (2, 2))]}, "X: data does not fill shape [2, 2]"),
        ({"inputs": [x([1, 2], (-1, 2))]}, "X: shape [-1, 2] must give its sizes"),
        ({"inputs": [x([1, None])]}, "X, row 0 is null: it is not nullable"),
        ({"inputs": [x([1, "2"])]}, "X, row 0 is '2', not a number (FP32)"),
        ({"inputs": [x([1, True])]}, "X, row 0 is True, not a number (FP32)"),
        ({"inputs": [x([1, 1e39])]}, "X, row 0 is 1e+39, too large for FP32"),
        ({"inputs": [x("12")]}, "X: data is not a list"),
        ({"inputs": [x([1, 2])], "outputs": [{"name": "odds"}]}, "odds is not an output of this model"),
        (NAN, "X is NaN in row 0"),
        (
            b'{"inputs":[{"name":"X","datatype":"FP32","shape":[1,2],"data":[1,1e999]}]}',
            "X is infinite in row 0",
        ),
    )

    @pytest.mark.parametrize(("document", "says"), BAD, ids=[str(index) for index in range(len(BAD))])
    def test_a_bad_request_is_400_and_names_the_column(self, matrix, document, says):
        status, answer = matrix.post("/v2/models/tiny/infer", document)
        assert status == 400
        assert answer["error"].startswith(says)

    def test_batches_of_unequal_length(self, table):
        age, height, word = row()
        status, answer = table.infer(age, {**height, "shape": [2], "data": [1.0, 2.0]}, word)
        assert (status, answer["error"]) == (400, "height has 2 rows, age has 1")

    def test_null_is_for_nullable_columns_only(self, table):
        status, answer = table.infer(*row(None))
        assert (status, answer["error"]) == (400, "age, row 0 is null: it is not nullable")


def test_large_whole_numbers_survive_json(make_tree):
    """UINT64 beyond the range that the fast decoder knows."""
    inputs = (TensorSpec("n", "UINT64", (-1,), False), TensorSpec("m", "INT64", (-1,), False))
    application = Application(Pipeline(make_tree(inputs=inputs, assemble={"X": ["n", "m"]})))
    tensors = [
        {"name": "n", "datatype": "UINT64", "shape": [1], "data": [2**64 - 1]},
        {"name": "m", "datatype": "INT64", "shape": [1], "data": [0]},
    ]
    body = json.dumps({"inputs": tensors}).encode()
    answer = application.answer(b"POST", b"/v2/models/tiny/infer", {}, body)
    assert np.float32(json.loads(answer.body)["outputs"][1]["data"][0]) == np.float32(2**64 - 1)


@pytest.mark.parametrize("datatype", ["FP32", "FP64", "FP16", "INT16"])
@pytest.mark.parametrize("shape", [(2000, 3), (6000,), (1, 6000), (2001, 3)], ids=str)
@pytest.mark.parametrize("odd", [3, None, 1e39, 1e300, True, "x", 0.5])
def test_large_requests_are_read_as_small_ones(datatype, shape, odd):
    """Where the data is long, numbers are packed in another way."""
    spec = TensorSpec("a", datatype, (-1, *shape[1:]), False)
    values = [index % 100 if datatype == "INT16" else index / 7 for index in range(6000)]
    values[100] = odd
    tensors = [x(values, shape, datatype, "a")]
    body = json.dumps({"inputs": tensors}).encode()
    codec = InferCodec("m", "sha256:0", [spec], [])
    assert outcome(lambda: codec.read(body)[1]) == outcome(from_tensors, tensors, [spec])


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-300, 300),
    st.sampled_from([2**53, 2**63, -1e39, 0.1, "x"]),
    st.floats(),
)
DATATYPES = st.sampled_from(["FP64", "FP32", "INT64", "INT8", "UINT64", "BOOL", "BYTES"])


@st.composite
def schemas(draw):
    alike = draw(st.one_of(st.none(), DATATYPES))
    nullable = draw(st.booleans())
    shapes = st.sampled_from([(-1,), (-1,), (-1, 1), (-1, 2)])
    return [
        TensorSpec(name, alike or draw(DATATYPES), draw(shapes), nullable if alike else draw(st.booleans()))
        for name in "abc"[: draw(st.integers(1, 3))]
    ]


@st.composite
def requests(draw, specs):
    """Mostly what fits `specs`, with something wrong in places."""
    rows = draw(st.integers(1, 3))
    tensors = []
    for spec in draw(st.permutations(specs)):
        shape = (
            [rows, *spec.shape[1:]]
            if draw(st.integers(0, 9))
            else draw(st.lists(st.integers(-1, 3), max_size=3))
        )
        size = abs(math.prod(shape)) if draw(st.integers(0, 9)) else 2
        values = st.one_of(VALUES, fitting(spec)) if not draw(st.integers(0, 5)) else fitting(spec)
        data = draw(st.lists(values, min_size=size, max_size=size))
        datatype = spec.datatype if draw(st.integers(0, 9)) else draw(DATATYPES)
        tensors.append({"name": spec.name, "datatype": datatype, "shape": shape, "data": data})
    if not draw(st.integers(0, 9)):
        tensors = tensors[1:] + tensors[:1] * draw(st.integers(0, 2))
    return tensors


def fitting(spec):
    values = {"BOOL": st.booleans(), "BYTES": st.text(max_size=3)}.get(spec.datatype)
    if values is None:
        values = st.floats(-1e6, 1e6) if spec.datatype.startswith("FP") else st.integers(0, 127)
    return st.one_of(values, st.none()) if spec.nullable else values


def outcome(read, *arguments):
    """Types, shapes and bytes of the arrays, or the message."""
    try:
        arrays = read(*arguments)
    except BadInput as error:
        return str(error)
    return {name: (array.dtype, array.shape, array.tolist().__repr__()) for name, array in arrays.items()}


@given(st.data())
def test_the_fast_path_and_the_thorough_one_say_the_same(data):
    specs = data.draw(schemas())
    tensors = data.draw(requests(specs))
    try:
        body = json.dumps({"inputs": tensors}, allow_nan=False).encode()
    except ValueError:
        hypothesis.reject()
    codec = InferCodec("m", "sha256:0", specs, [])
    assert outcome(lambda: codec.read(body)[1]) == outcome(from_tensors, tensors, specs)
