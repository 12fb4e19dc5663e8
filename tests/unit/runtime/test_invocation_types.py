"""/invocations by content type and Accept: CSV with a line of names and without, JSON lines, NumPy arrays."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlship_runtime.bundle.spec import TensorSpec
from mlship_runtime.errors import BadInput
from mlship_runtime.model.pipeline import Pipeline
from mlship_runtime.serving import npy
from mlship_runtime.serving.application import Application
from mlship_runtime.serving.media_types import chosen_type


def npy_of(array) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def sums(asked, body: bytes, content_type: bytes):
    return [row["sum"][0] for row in asked.predictions(body, content_type)]


class TestCsv:
    COLUMNS = (
        (b"text/csv", b"age,height,word\n40,,known\n", [140.0]),
        (b"text/csv", b"40,,known\n2,0.5,\n", [140.0, 2.5]),
        (b"text/csv; header=absent", b"40,,known", [140.0]),
        (b'text/csv;charset=utf-8;HEADER="Present"', b"word,age,height\nknown,40,\n", [140.0]),
    )

    @pytest.mark.parametrize(("kind", "text", "found"), COLUMNS)
    def test_columns(self, table, kind, text, found):
        assert sums(table, text, kind) == found

    MATRIX = (
        (b"text/csv", b"1,2\n3,4\n", [3.0, 7.0]),
        (b"text/csv", b"p,q\n1,2\n", [3.0]),
        (b"text/csv; header=absent", b"0,1\n1,2\n", [1.0, 3.0]),
        (b"text/csv; header=present", b"0,1\n1,2\n", [3.0]),
    )

    @pytest.mark.parametrize(("kind", "text", "found"), MATRIX)
    def test_a_matrix(self, matrix, kind, text, found):
        assert sums(matrix, text, kind) == found

    BAD = (
        (b"text/csv", b"age,heigth,word\n40,,known\n", "heigth is not an input"),
        (b"text/csv", b"1,2\n3,4\n", "1 is not an input"),
        (b"text/csv", b"x,2,a\n", "line 1, age: 'x' is not a whole number"),
        (b"text/csv; header=absent", b"1,2,a,b\n", "line 1 of the CSV has 4 fields, the model reads 3"),
        (b"text/csv; header=present", b"40,,known\n2,,\n", "40 is not an input"),
        (b"text/csv; header=maybe", b"40,,known\n", "header of text/csv is neither present nor absent"),
        (b"text/csv", b'"\n', "line 1 of the CSV is not well formed"),
        (b"text/csv", b"\x00", "line 1 of the CSV is not well formed"),
        (b"text/csv", b"", "the CSV has no rows"),
    )

    @pytest.mark.parametrize(("kind", "text", "says"), BAD)
    def test_what_does_not_fit(self, table, kind, text, says):
        status, answer = table.post("/invocations", text, kind)
        assert status == 400
        assert answer["error"].startswith(says)

    def test_names_or_values(self, matrix):
        status, answer = matrix.post("/invocations", b"0,1\n1,2\n", b"text/csv")
        assert (status, answer["error"][:40]) == (400, "the first line of the CSV may be names o")

    def test_columns_of_texts_alone_must_be_named(self, make_tree):
        inputs = (TensorSpec("a", "BYTES", (-1,), False), TensorSpec("b", "BYTES", (-1,), False))
        step = "import numpy as np\ndef reduce(c):\n    return {'X': np.ones((len(c['a']), 2), 'f4')}"
        reduced = (TensorSpec("X", "FP32", (-1, 2), False),)
        application = Application(Pipeline(make_tree(inputs=inputs, reduction=step, reduced=reduced)))
        for kind, status in ((b"text/csv", 400), (b"text/csv; header=absent", 200)):
            headers = {b"content-type": kind}
            assert application.answer(b"POST", b"/invocations", headers, b"x,y\n").status == status


class TestLines:
    def test_objects(self, table):
        body = b'{"age": 40, "height": null, "word": "known"}\n\n{"age": 2, "height": 1, "word": null}'
        assert sums(table, body, b"application/jsonlines") == [140.0, 3.0]

    def test_rows_of_a_matrix(self, matrix):
        assert sums(matrix, b"[1, 2]\r\n[3, 4]\n", b"application/x-ndjson") == [3.0, 7.0]

    BAD = (
        (b"", "the lines is not a list of rows"),
        (b"[1,2]\n[1", "line 2 is not JSON"),
        (b"[" * 10**6, "the body is nested too deeply"),
        (b"\xff", "line 1 is not JSON"),
        (b"[1,NaN]", "line 1 is not JSON"),
    )

    @pytest.mark.parametrize(("body", "says"), BAD, ids=[str(index) for index in range(len(BAD))])
    def test_what_does_not_fit(self, matrix, body, says):
        status, answer = matrix.post("/invocations", body, b"application/jsonlines")
        assert status == 400
        assert answer["error"].startswith(says)


class TestNpy:
    @pytest.mark.parametrize("order", ["C", "F"])
    @pytest.mark.parametrize("kind", ["f4", ">f4", "i2"])
    def test_a_matrix(self, matrix, kind, order):
        array = np.array([[1, 2], [3, 4]], kind, order=order)
        assert sums(matrix, npy_of(array), b"application/x-npy") == [3.0, 7.0]

    GOOD = npy_of(np.float32([[1, 2]]))
    BAD = (
        (b"", "the body is no array of NumPy"),
        (b"\x93NUMPY\x01\x00", "the body is no array of NumPy"),
        (b"\x93NUMPY\x09\x00" + GOOD[8:], "the body is no array of NumPy"),
        (GOOD[:-1], "an array of [1, 2] takes 8 bytes, 7 follow its header"),
        (GOOD + b"\0", "an array of [1, 2] takes 8 bytes, 9 follow its header"),
        (GOOD[:40], "the body is no array of NumPy"),
        (GOOD.replace(b"(1, 2)", b"(9**9,)"), "the body is no array of NumPy"),
        (GOOD.replace(b"(1, 2)", b"(-1, -2)"), "the body is no array of NumPy"),
        (
            GOOD.replace(b"(1, 2), }" + b" " * 35, b"(99999999999999999, 99999999999999999, 2), }"),
            "an array of [9999",
        ),
        (GOOD.replace(b"'<f4', ", b"'|O', "), "the body is no array of NumPy"),
        (GOOD.replace(b"'<f4'", b"'<f3'"), "the array holds <f3, not numbers"),
        (npy_of(np.array(["a"])), "the array holds <U1, not numbers"),
        (npy_of(np.zeros((0, 2), "f4")), "X: shape [0, 2] holds no values"),
        (npy_of(np.float32([[1, np.inf]])), "X is infinite in row 0"),
        (npy_of(np.float32(3)), "X: shape [] does not fit [-1, 2]"),
    )

    @pytest.mark.parametrize(("body", "says"), BAD, ids=[str(index) for index in range(len(BAD))])
    def test_what_does_not_fit(self, matrix, body, says):
        status, answer = matrix.post("/invocations", body, b"application/x-npy")
        assert status == 400
        assert answer["error"].startswith(says)

    def test_several_inputs(self, table):
        assert table.post("/invocations", self.GOOD, b"application/x-npy")[0] == 400

    @given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
    def test_a_changed_byte_is_read_or_refused(self, place, byte):
        body = bytearray(self.GOOD)
        body[place] = byte
        try:
            npy.decoded(bytes(body))
        except BadInput:
            return


class TestAnswers:
    def ask(self, asked, accept: bytes, body: bytes = b'{"instances": [[1, 2], [3, 4]]}'):
        return asked.application.answer(b"POST", b"/invocations", {b"accept": accept}, body)

    def test_csv(self, matrix):
        answer = self.ask(matrix, b"text/csv")
        assert (answer.status, answer.content_type) == (200, b"text/csv; charset=utf-8")
        assert answer.body == b"1,3.0\n1,7.0\n"

    def test_csv_of_what_is_not_finite(self, matrix):
        assert self.ask(matrix, b"text/csv", b'{"instances": [[3e38, 3e38]]}').body == b"1,\n"

    def test_json_lines(self, matrix):
        answer = self.ask(matrix, b"application/x-jsonlines")
        assert answer.content_type == b"application/jsonlines"
        assert answer.body == b'{"label":[1],"sum":[3.0]}\n{"label":[1],"sum":[7.0]}\n'

    def test_an_array(self, make_tree):
        application = Application(Pipeline(make_tree(outputs=(TensorSpec("sum", "FP32", (-1, 1), False),))))
        headers = {b"accept": b"application/x-npy"}
        answer = application.answer(b"POST", b"/invocations", headers, b"[[1, 2]]")
        assert np.load(io.BytesIO(answer.body)).tolist() == [[3.0]]
        assert (
            application.answer(
                b"POST", b"/invocations", {b"accept": b"application/jsonlines"}, b"[[1, 2]]"
            ).body
            == b"[3.0]\n"
        )

    @pytest.mark.parametrize(
        "accept", [b"text/html", b"application/x-npy", b"text/csv;q=0, application/xml", b"", b"*/*;q=0"]
    )
    def test_none_of_ours(self, matrix, accept):
        answer = self.ask(matrix, accept)
        assert answer.status == 406
        assert "text/csv" in json.loads(answer.body)["error"]


@pytest.mark.parametrize(
    ("accept", "found"),
    [
        (b"*/*", b"a/x"),
        (b"b/*", b"b/y"),
        (b"text/html, */*;q=0.1", b"a/x"),
        (b"a/x;q=0.5, b/y", b"b/y"),
        (b"*/*, a/x;q=0", b"b/y"),
        (b"B/other", b"b/y"),
        (b"a/x;q=2", None),
        (b"a/x;q=nan", None),
        (b"a/x;q=x", None),
        (b";;,,", None),
    ],
)
def test_accept(accept, found):
    assert chosen_type(accept, [b"a/x", b"b/y"], {b"b/other": b"b/y"}) == found


@given(st.binary(max_size=40))
def test_any_accept(accept):
    assert chosen_type(accept, [b"a/x"], {}) in (b"a/x", None)
