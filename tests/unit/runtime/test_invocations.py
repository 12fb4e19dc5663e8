"""/invocations: every form of the same rows, and what is said of forms that are none."""

from __future__ import annotations

import json

import pytest

from mlship_runtime.bundle.spec import TensorSpec
from mlship_runtime.model.pipeline import Pipeline
from mlship_runtime.serving.application import Application
from mlship_runtime.serving.limits import Limits

DEEP = b"[" * 50000 + b"1" + b"]" * 50000


class TestInvocations:
    FORMS = (
        {"instances": [[1, 2], [3, 4]]},
        [[1, 2], [3, 4]],
        {"inputs": [[1, 2], [3, 4]]},
        {"inputs": {"X": [[1, 2], [3, 4]]}},
        {"instances": [{"X": [1, 2]}, {"X": [3, 4]}]},
        {"dataframe_split": {"columns": ["p", "q"], "data": [[1, 2], [3, 4]], "index": [0, 1]}},
        {"dataframe_split": {"data": [[1, 2], [3, 4]]}},
        {"dataframe_records": [{"p": 1, "q": 2}, {"p": 3, "q": 4}]},
    )

    @pytest.mark.parametrize("document", FORMS)
    def test_forms_for_a_matrix(self, matrix, document):
        assert matrix.predictions(document) == [
            {"label": [1], "sum": [3.0]},
            {"label": [1], "sum": [7.0]},
        ]

    RECORDS = (
        {"age": 40, "height": None, "word": "known"},
        {"age": 2, "height": 0.5, "word": None},
    )
    SPLIT = {"columns": ["word", "age", "height"], "data": [["known", 40, None], [None, 2, 0.5]]}
    TABLES = (
        {"instances": RECORDS},
        {"inputs": {"age": [40, 2], "height": [None, 0.5], "word": ["known", None]}},
        {"dataframe_split": SPLIT},
        {"dataframe_records": RECORDS},
    )

    @pytest.mark.parametrize("document", TABLES)
    def test_forms_for_columns(self, table, document):
        assert [prediction["sum"] for prediction in table.predictions(document)] == [[140.0], [2.5]]

    @pytest.mark.parametrize("content_type", [b"text/csv", b"Text/CSV; charset=utf-8"])
    def test_csv(self, table, content_type):
        text = b"age,height,word\n40,,known\n2,0.5,\n"
        assert [row["sum"] for row in table.predictions(text, content_type)] == [[140.0], [2.5]]

    def test_one_output_is_a_plain_list(self, make_tree):
        tree = make_tree(outputs=(TensorSpec("sum", "FP32", (-1, 1), nullable=False),))
        application = Application(Pipeline(tree))
        answer = application.answer(b"POST", b"/invocations", {}, b'{"instances": [[1, 2]]}')
        assert json.loads(answer.body) == {"predictions": [[3.0]]}

    BAD = (
        (b"", "the body is not JSON"),
        ([], "instances is not a list of rows"),
        (b"3", "the body is no invocation"),
        ({"instances": [[1]], "params": 3}, "params is not an object"),
        ({"instances": [[1]], "params": {"k": 3}}, "k is no parameter of this model: it takes none"),
        ({"instances": [[1]], "other": {}}, "the body is no invocation"),
        ({}, "the body is no invocation"),
        ({"instances": [], "inputs": []}, "the body is no invocation"),
        ({"instances": []}, "instances is not a list of rows"),
        ({"instances": [[1, 2, 3]]}, "row 0 of instances is not an object"),
        ({"inputs": [1]}, "inputs is not an object of columns"),
        ({"inputs": {"age": [1]}}, "height is missing"),
        ({"inputs": {"size": [1]}}, "size is not an input of this model: it reads age, height, word"),
        ({"inputs": {"age": 1}}, "age: shape [] does not fit [-1]"),
        ({"inputs": {"age": []}}, "age: shape [0] holds no values"),
        ({"dataframe_split": []}, "dataframe_split is not an object"),
        ({"dataframe_split": {"data": []}}, "dataframe_split does not name its columns"),
        (
            {"dataframe_split": {"columns": ["age", "age"], "data": []}},
            "dataframe_split names a column twice",
        ),
        (
            {"dataframe_split": {"columns": ["age"], "data": [[1, 2]]}},
            "row 0 of dataframe_split does not have 1",
        ),
        (
            {"dataframe_split": {"columns": [], "data": [], "dtypes": 1}},
            "dataframe_split has an unknown part",
        ),
        ({"dataframe_records": [{"age": 1}, {"height": 1}]}, "age is not in every row of dataframe_records"),
        ({"dataframe_records": [{"age": 1}, 2]}, "row 1 of dataframe_records is not an object"),
        ({"dataframe_records": [{"age": 1, "height": 2, "word": 3}]}, "word, row 0 is 3, not a text"),
        ({"instances": [{"age": [1], "height": 2, "word": "a"}]}, "age, row 0 is [1], not a whole number"),
        (
            {"dataframe_records": [{"age": 1, "height": [2], "word": "a"}]},
            "height, row 0 is [2], not a number",
        ),
        ({"dataframe_records": [{"age": 1, "height": 2, "word": ["a"]}]}, "word, row 0 is ['a'], not a text"),
        (
            {"dataframe_split": {"columns": ["age", "height", "word"], "data": [[1, 2, "a"], [[1], 2, "a"]]}},
            "age, row 1 is [1], not a whole number",
        ),
        (b'{"instances": %b}' % DEEP, "the body is nested too deeply"),
    )

    @pytest.mark.parametrize(("document", "says"), BAD, ids=[str(index) for index in range(len(BAD))])
    def test_a_bad_request(self, table, document, says):
        status, answer = table.post("/invocations", document)
        assert status == 400
        assert answer["error"].startswith(says)

    def test_a_row_of_a_single_column_holds_one_value(self, make_tree):
        tree = make_tree(inputs=(TensorSpec("a", "FP64", (-1,), nullable=False),), assemble={"X": ["a", "a"]})
        application = Application(Pipeline(tree))
        for body, status in ((b'{"instances": [1, 2]}', 200), (b'{"instances": [[1], [2]]}', 400)):
            assert application.answer(b"POST", b"/invocations", {}, body).status == status

    def test_columns_may_be_n_or_n_by_1(self, table):
        columns = {"age": [[1], [2]], "height": [1, 2], "word": ["a", "b"]}
        assert len(table.predictions({"inputs": columns})) == 2

    def test_of_a_name_given_twice_the_last_value_counts(self, table):
        body = b'{"instances": [{"age": 1, "age": 40, "height": null, "word": "known"}]}'
        assert [row["sum"] for row in table.predictions(body)] == [[140.0]]

    def test_csv_that_is_not_utf_8(self, table):
        assert table.post("/invocations", b"age\n\xff\n", b"text/csv")[0] == 400

    @pytest.mark.parametrize("content_type", [b"text/html", b"application/x-www-form-urlencoded", b"/"])
    def test_another_content_type(self, table, content_type):
        status, answer = table.post("/invocations", b"x", content_type)
        assert status == 415
        assert "text/csv" in answer["error"]

    @pytest.mark.parametrize("params", [{}, None])
    def test_parameters_may_stand_there_empty(self, matrix, params):
        assert len(matrix.predictions({"instances": [[1, 2]], "params": params})) == 1


class TestRows:
    """What is read row by row is read no further than it may go."""

    @pytest.fixture
    def two(self, make_tree):
        return Application(Pipeline(make_tree()), limits=Limits(rows=2))

    @pytest.mark.parametrize(
        ("kind", "body"),
        [
            (b"text/csv", b"p,q\n" + b"1,2\n" * 3 + b"no row at all\n"),
            (b"application/jsonlines", b"[1,2]\n\n" * 3 + b"no JSON at all\n"),
        ],
    )
    def test_too_many(self, two, kind, body):
        answer = two.answer(b"POST", b"/invocations", {b"content-type": kind}, body)
        assert answer.status == 400
        assert b"more than 2 rows" in answer.body

    @pytest.mark.parametrize(
        ("kind", "body"),
        [(b"text/csv", b"p,q\n1,2\n\n3,4\n\n"), (b"application/jsonlines", b"[1,2]\n \r\n[3,4]")],
    )
    def test_as_many_as_may_be(self, two, kind, body):
        answer = two.answer(b"POST", b"/invocations", {b"content-type": kind}, body)
        assert [row["sum"] for row in json.loads(answer.body)["predictions"]] == [[3.0], [7.0]]

    def test_the_first_fault_is_told(self, two):
        headers = {b"content-type": b"text/csv"}
        answer = two.answer(b"POST", b"/invocations", headers, b'p,q\n1\n"' + b"1,2\n" * 9)
        assert b"line 2 of the CSV has 1 fields" in answer.body
