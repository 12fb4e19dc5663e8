"""The binary tensor extension: the same columns and answers as in JSON, and what is said of bytes that do not
fit."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlship_runtime.bundle.spec import TensorSpec
from mlship_runtime.errors import BadInput
from mlship_runtime.model.datatypes import NUMPY_TYPES
from mlship_runtime.model.pipeline import Pipeline
from mlship_runtime.serving.application import Application
from mlship_runtime.serving.v2 import InferCodec
from mlship_runtime.serving.v2_binary import json_length

INFER = b"/v2/models/tiny/infer"


def text_bytes(*texts: str) -> bytes:
    return b"".join(struct.pack("<I", len(text.encode())) + text.encode() for text in texts)


def announced(data: bytes, shape=(1, 2), datatype="FP32", name="X", size=None):
    size = len(data) if size is None else size
    return {
        "name": name,
        "datatype": datatype,
        "shape": list(shape),
        "parameters": {"binary_data_size": size},
    }


def body_of(tensors, *parts: bytes, pad: int = 0, **more):
    """(value of the length header, body)"""
    head = json.dumps({"inputs": tensors, **more}).encode() + b" " * pad
    return str(len(head)).encode(), b"".join((head, *parts))


def ask(application, said: bytes, body: bytes):
    return application.answer(b"POST", INFER, {b"inference-header-content-length": said}, body)


def read(answer):
    """The document of an answer, each tensor's bytes in the place of its data."""
    if not answer.headers:
        return json.loads(answer.body)
    name, _, length = answer.headers.strip().partition(b": ")
    assert name == b"inference-header-content-length"
    document, at = json.loads(answer.body[: int(length)]), int(length)
    for output in document["outputs"]:
        size = output.get("parameters", {}).pop("binary_data_size", None)
        if size is not None:
            output["data"], at = answer.body[at : at + size], at + size
            del output["parameters"]
    assert at == len(answer.body)
    return document


class TestIn:
    ROW = np.float32([1, 2]).tobytes()

    def test_a_row(self, matrix):
        answer = ask(matrix.application, *body_of([announced(self.ROW)], self.ROW, id="a"))
        assert (answer.status, answer.content_type) == (200, b"application/json")
        assert json.loads(answer.body) == matrix.infer(json_row(), id="a")[1]

    def test_the_bytes_of_the_body_are_the_column(self):
        data = np.arange(60, dtype=np.float32).tobytes()
        codec = InferCodec("m", "sha256:0", [TensorSpec("X", "FP32", (-1, 30), False)], [])
        for pad, shared in ((0, True), (1, False)):
            tensors = [announced(data, (2, 30))]
            aligned = -len(json.dumps({"inputs": tensors})) % 4
            said, body = body_of(tensors, data, pad=aligned + pad)
            array = codec.read(body, int(said))[1]["X"]
            assert array.tobytes() == data
            assert np.shares_memory(array, np.frombuffer(body, np.uint8)) == shared
            assert array.flags.aligned

    def test_code_that_is_not_ours_gets_columns_that_it_may_change(self):
        data = np.arange(4, dtype=np.float32).tobytes()
        specs = [TensorSpec("X", "FP32", (-1, 2), False)]
        codec = InferCodec("m", "sha256:0", specs, [], writable=True)
        said, body = body_of([announced(data, (2, 2))], data, pad=2)
        codec.read(body, int(said))[1]["X"][:] = 7
        assert body.endswith(data)

    def test_bytes_and_json_side_by_side(self, table):
        ages, words = np.int64([40, 2]).tobytes(), text_bytes("known", "ünknown")
        tensors = [
            announced(words, [2], "BYTES", "word"),
            {"name": "height", "datatype": "FP64", "shape": [2], "data": [None, 1.5]},
            announced(ages, [2], "INT64", "age"),
        ]
        answer = ask(table.application, *body_of(tensors, words, ages))
        assert json.loads(answer.body)["outputs"][1]["data"] == [140.0, 3.5]

    def test_nan_is_a_missing_value(self, table):
        parts = np.int64([40]).tobytes(), np.float64([np.nan]).tobytes(), text_bytes("")
        tensors = [
            announced(part, [1], datatype, name)
            for part, datatype, name in zip(
                parts, ("INT64", "FP64", "BYTES"), ("age", "height", "word"), strict=True
            )
        ]
        assert read(ask(table.application, *body_of(tensors, *parts)))["outputs"][1]["data"] == [40.0]

    NAN = np.float32([1, np.nan]).tobytes()
    BAD = (
        (b"", b"{}", "Inference-Header-Content-Length is not a number of bytes"),
        (b"-1", b"{}", "Inference-Header-Content-Length is not a number of bytes"),
        (b"2, 2", b"{}", "Inference-Header-Content-Length is not a number of bytes"),
        (b"9" * 5000, b"{}", "Inference-Header-Content-Length is not a number of bytes"),
        (b"3", b"{}", "Inference-Header-Content-Length is 3, the body has 2 bytes"),
        (b"0", b"{}", "the body is not JSON"),
        (b"1", b"{}", "the body is not JSON"),
        (*body_of([announced(ROW)]), "X: binary_data_size is 8, 0 bytes are left"),
        (*body_of([announced(ROW)], ROW[:7]), "X: binary_data_size is 8, 7 bytes are left"),
        (*body_of([announced(ROW)], ROW, b"\0"), "the body has 1 bytes behind its last tensor"),
        (*body_of([announced(ROW, size=4)], ROW), "X: binary_data_size is 4, [1, 2] of FP32 takes 8"),
        (*body_of([announced(ROW, (2, 2))], ROW), "X: binary_data_size is 8, [2, 2] of FP32 takes 16"),
        (*body_of([announced(ROW, (2**62, 2))], ROW), "X: binary_data_size is 8, [46116860184"),
        (*body_of([announced(ROW, (-1, 2))], ROW), "X: shape [-1, 2] must give its sizes"),
        (*body_of([announced(ROW, (-1, -2))], ROW), "X: shape [-1, -2] must give its sizes"),
        (*body_of([announced(ROW, (1, 3))], ROW), "X: shape [1, 3] does not fit [-1, 2]"),
        (*body_of([announced(ROW, (0, 2), size=0)]), "X: shape [0, 2] holds no values"),
        (*body_of([announced(ROW, size=-8)], ROW), "X is not a V2 tensor"),
        (*body_of([announced(ROW, size="8")], ROW), "X is not a V2 tensor"),
        (*body_of([announced(ROW, datatype="FP64")], ROW), "X is FP32, not FP64"),
        (*body_of([announced(ROW, datatype="BF16")], ROW), "X is FP32, not BF16"),
        (*body_of([announced(ROW), announced(ROW)], ROW, ROW), "X is given twice"),
        (*body_of([announced(ROW, name="Y")], ROW), "Y is not an input of this model"),
        (*body_of([{**announced(ROW), "data": [1, 2]}], ROW), "X has both data and a binary_data_size"),
        (*body_of([announced(NAN)], NAN), "X is missing in row 0"),
        (*body_of([announced(NAN)], np.float32([1, np.inf]).tobytes()), "X is infinite in row 0"),
        (*body_of([], ROW), "X is missing"),
    )

    @pytest.mark.parametrize(("said", "body", "says"), BAD, ids=[str(index) for index in range(len(BAD))])
    def test_bytes_that_do_not_fit_are_400(self, matrix, said, body, says):
        answer = ask(matrix.application, said, body)
        assert answer.status == 400
        assert json.loads(answer.body)["error"].startswith(says)

    def test_without_the_header_there_are_no_bytes(self, matrix):
        _, body = body_of([announced(self.ROW)])
        says = "X has a binary_data_size, the request no Inference-Header-Content-Length"
        assert matrix.post(INFER.decode(), body) == (400, {"error": says})

    TEXTS = (
        (b"\1\0\0", "word: its bytes are not those of 1 texts"),
        (b"\2\0\0\0a", "word: its bytes are not those of 1 texts"),
        (b"\xff\xff\xff\xffa", "word: its bytes are not those of 1 texts"),
        (text_bytes("a", "b"), "word: its bytes are not those of 1 texts"),
        (text_bytes("a") + b"\0", "word: its bytes are not those of 1 texts"),
        (b"\1\0\0\0\xff", "word: text 0 is not UTF-8"),
    )

    @pytest.mark.parametrize(("data", "says"), TEXTS, ids=[str(index) for index in range(len(TEXTS))])
    def test_texts_that_are_none(self, table, data, says):
        said, body = body_of([announced(data, [1], "BYTES", "word")], data)
        answer = ask(table.application, said, body)
        assert answer.status == 400
        assert json.loads(answer.body)["error"].startswith(says)

    def test_a_truth_value_is_0_or_1(self):
        codec = InferCodec("m", "sha256:0", [TensorSpec("b", "BOOL", (-1,), False)], [])
        said, body = body_of([announced(b"\0\2", [2], "BOOL", "b")], b"\0\2")
        with pytest.raises(BadInput, match="b holds a byte that is neither 0 nor 1"):
            codec.read(body, int(said))


def json_row(**more):
    return {"name": "X", "datatype": "FP32", "shape": [1, 2], "data": [1, 2], **more}


class TestOut:
    BOTH = ({"label": b"\1" + b"\0" * 7, "sum": np.float32([3]).tobytes()},)

    def outputs(self, matrix, **more):
        body = json.dumps({"inputs": [json_row()], **more}).encode()
        answer = matrix.application.answer(b"POST", INFER, {}, body)
        assert answer.status == 200
        return {output["name"]: output["data"] for output in read(answer)["outputs"]}, answer

    def test_all_outputs(self, matrix):
        found, answer = self.outputs(matrix, parameters={"binary_data_output": True}, id="é")
        assert found == self.BOTH[0]
        assert answer.content_type == b"application/octet-stream"
        assert read(answer)["id"] == "é"
        assert int(answer.headers.split()[1]) % 8 == 0

    def test_one_of_them(self, matrix):
        outputs = [{"name": "sum", "parameters": {"binary_data": True}}, {"name": "label"}]
        found, _ = self.outputs(matrix, outputs=outputs)
        assert found == {"sum": self.BOTH[0]["sum"], "label": [1]}
        assert list(found) == ["sum", "label"]

    def test_all_but_one(self, matrix):
        outputs = [{"name": "sum", "parameters": {"binary_data": False}}, {"name": "label"}]
        found, _ = self.outputs(matrix, outputs=outputs, parameters={"binary_data_output": True})
        assert found == {"sum": [3.0], "label": self.BOTH[0]["label"]}

    def test_none(self, matrix):
        for more in ({"parameters": {"binary_data_output": False}}, {"parameters": {"other": 1}}):
            found, answer = self.outputs(matrix, **more)
            assert found == {"sum": [3.0], "label": [1]}
            assert (answer.content_type, answer.headers) == (b"application/json", b"")

    @pytest.mark.parametrize("parameters", [1, {"binary_data_output": "yes"}])
    def test_parameters_of_another_form(self, matrix, parameters):
        status, answer = matrix.infer(json_row(), parameters=parameters)
        assert status == 400
        assert answer["error"].startswith("the body is not a V2 infer request")

    def test_what_is_not_finite_stays(self, matrix):
        body = {"inputs": [{**json_row(), "data": [3e38, 3e38]}], "parameters": {"binary_data_output": True}}
        answer = matrix.application.answer(b"POST", INFER, {}, json.dumps(body).encode())
        assert read(answer)["outputs"][1]["data"] == np.float32([np.inf]).tobytes()


VALUES = {
    "BOOL": [True, False],
    "BYTES": ["", "a", "é\U0001f40d"],
    **{f"INT{bits}": [-(2 ** (bits - 1)), 0, 2 ** (bits - 1) - 1] for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": [0, 1, 2**bits - 1] for bits in (8, 16, 32, 64)},
    "FP16": [-0.5, 65504.0],
    "FP32": [-0.5, 1e10],
    "FP64": [0.1, -1.7976931348623157e308, 5e-324],
}


def as_bytes(datatype, values):
    return text_bytes(*values) if datatype == "BYTES" else np.array(values, NUMPY_TYPES[datatype]).tobytes()


@pytest.mark.parametrize("datatype", sorted(NUMPY_TYPES))
@pytest.mark.parametrize("shape", [(-1,), (-1, 1), (-1, -1)], ids=str)
def test_every_datatype_is_the_same_in_json_and_in_bytes_both_ways(datatype, shape):
    values = VALUES[datatype]
    spec = TensorSpec("x", datatype, shape, False)
    codec = InferCodec("m", "sha256:0", [spec], [spec])
    sizes = [len(values), 1][: len(shape)]
    data = as_bytes(datatype, values)
    tensor = {"name": "x", "datatype": datatype, "shape": sizes, "data": values}
    _, from_json = codec.read(json.dumps({"inputs": [tensor]}).encode())
    said, body = body_of([announced(data, sizes, datatype, "x")], data)
    request, from_bytes = codec.read(body, int(said))
    assert from_bytes["x"].dtype == from_json["x"].dtype
    assert from_bytes["x"].shape == from_json["x"].shape
    assert from_bytes["x"].tolist() == from_json["x"].tolist()
    assert read(codec.write(request, from_bytes))["outputs"] == [tensor]
    request.parameters = codec.read(
        json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    )[0].parameters
    assert read(codec.write(request, from_json))["outputs"] == [{**tensor, "data": data}]


def test_a_missing_text_or_whole_number_is_said_in_json(make_tree):
    specs = [TensorSpec("word", "BYTES", (-1,), True), TensorSpec("n", "INT8", (-1,), True)]
    codec = InferCodec("m", "sha256:0", specs, specs)
    tensors = [
        {"name": "word", "datatype": "BYTES", "shape": [2], "data": ["a", None]},
        {"name": "n", "datatype": "INT8", "shape": [2], "data": [None, 1]},
    ]
    asked = {"inputs": tensors, "parameters": {"binary_data_output": True}}
    request, columns = codec.read(json.dumps(asked).encode())
    assert read(codec.write(request, columns))["outputs"] == tensors


def test_a_wider_type_takes_a_narrower_one(make_tree):
    application = Application(Pipeline(make_tree()))
    data = np.int16([1, 2]).tobytes()
    assert ask(application, *body_of([announced(data, datatype="INT16")], data)).status == 200


@given(
    st.lists(st.sampled_from([b"{", b'"inputs":', b"[", b"]", b"}", b"\xff"]) | st.binary(max_size=9)),
    st.one_of(st.integers(0, 300).map(str).map(str.encode), st.binary(max_size=5)),
)
def test_whatever_comes_is_read_or_refused(parts, said):
    codec = InferCodec("m", "sha256:0", [TensorSpec("X", "FP32", (-1, 2), False)], [])
    body = b"".join(parts)
    with pytest.raises(BadInput):
        codec.read(body, json_length(said, body))
