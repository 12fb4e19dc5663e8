"""What a release answers, route by route, without a socket."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mlship_runtime import __version__
from mlship_runtime.application import Application
from mlship_runtime.pipeline import Pipeline
from mlship_runtime.spec import TensorSpec


def tensor(name, datatype="FP64", shape=(-1,), nullable=False):
    return TensorSpec(name, datatype, tuple(shape), nullable)


@pytest.fixture
def matrix(make_tree):
    """One input X FP32 [-1, 2]; outputs label and sum."""
    return Application(Pipeline(make_tree()), release=3)


REDUCE = """
import numpy as np

def reduce(columns):
    if (columns["age"] == 13).any():
        raise LookupError("a secret of the reduction")
    if (columns["age"] == 14).any():
        return {"X": np.zeros((1, 9))}
    known = np.array([name == "known" for name in columns["word"]], float)
    return {"X": np.stack([columns["age"] + np.nan_to_num(columns["height"]), known * 100], 1)}
"""
COLUMNS = (
    tensor("age", "INT64"),
    tensor("height", "FP64", nullable=True),
    tensor("word", "BYTES", nullable=True),
)


@pytest.fixture
def table(make_tree):
    """Columns age INT64, height FP64 nullable, word BYTES nullable; a reduction to X."""
    tree = make_tree(inputs=COLUMNS, reduction=REDUCE, reduced=(tensor("X", "FP64", (-1, 2)),))
    return Application(Pipeline(tree))


def post(application, path, document, content_type=b"application/json"):
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    answer = application.answer(b"POST", path.encode(), content_type, body)
    return answer.status, json.loads(answer.body)


def get(application, path):
    answer = application.answer(b"GET", path.encode(), b"", b"")
    return answer.status, json.loads(answer.body)


def infer(application, *tensors, **more):
    return post(application, "/v2/models/tiny/infer", {"inputs": list(tensors), **more})


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
        status, answer = infer(matrix, x([1, 2]), id="a")
        assert status == 200
        assert answer == {
            "model_name": "tiny",
            "model_version": matrix._pipeline.digest,
            "id": "a",
            "outputs": [
                {"name": "label", "datatype": "INT64", "shape": [1, 1], "data": [1]},
                {"name": "sum", "datatype": "FP32", "shape": [1, 1], "data": [3.0]},
            ],
        }

    def test_no_id_is_not_echoed(self, matrix):
        assert "id" not in infer(matrix, x([1, 2]))[1]
        assert "id" not in infer(matrix, x([1, 2]), id=None)[1]

    def test_columns_with_missing_values_through_the_reduction(self, table):
        status, answer = infer(table, *row(40, None, "known"))
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
        assert infer(matrix, given)[1]["outputs"][1]["data"] == [3.0, 7.0]

    def test_a_column_may_be_n_or_n_by_1(self, table):
        flat, deep = row(40, rows=2), row(40, rows=2)
        for each in deep:
            each["shape"] = [2, 1]
        assert infer(table, *flat) == infer(table, *deep)

    def test_outputs_by_name(self, matrix):
        outputs = infer(matrix, x([1, 2]), outputs=[{"name": "sum", "parameters": {}}])[1]["outputs"]
        assert [output["name"] for output in outputs] == ["sum"]

    def test_results_that_are_not_finite_are_null(self, matrix):
        outputs = infer(matrix, x([3e38, 3e38]))[1]["outputs"]
        assert outputs[1]["data"] == [None]

    def test_the_version_in_the_path(self, matrix):
        digest = matrix._pipeline.digest
        for version in (digest, digest.replace(":", "%3A")):
            path = f"/v2/models/tiny/versions/{version}/infer"
            assert post(matrix, path, {"inputs": [x([1, 2])]})[0] == 200
        status, answer = post(matrix, "/v2/models/tiny/versions/1/infer", {"inputs": [x([1, 2])]})
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
        ({"inputs": [x([1, 2], (-1, 2))]}, "X: shape [-1, 2] does not fit [-1, 2]"),
        ({"inputs": [x([1, None])]}, "X, row 0 is null: it is not nullable"),
        ({"inputs": [x([1, "2"])]}, "X, row 0 is '2', not a number (FP32)"),
        ({"inputs": [x([1, True])]}, "X, row 0 is True, not a number (FP32)"),
        ({"inputs": [x([1, 1e39])]}, "X holds a number too large for FP32"),
        ({"inputs": [x("12")]}, "X: data is not a list"),
        ({"inputs": [x([1, 2])], "outputs": [{"name": "odds"}]}, "odds is not an output of this model"),
        (NAN, "the body is not JSON"),
        (
            b'{"inputs":[{"name":"X","datatype":"FP32","shape":[1,2],"data":[1,1e999]}]}',
            "X: data cannot be read",
        ),
    )

    @pytest.mark.parametrize(("document", "says"), BAD, ids=[str(index) for index in range(len(BAD))])
    def test_a_bad_request_is_400_and_names_the_column(self, matrix, document, says):
        status, answer = post(matrix, "/v2/models/tiny/infer", document)
        assert status == 400
        assert answer["error"].startswith(says)

    def test_batches_of_unequal_length(self, table):
        age, height, word = row()
        status, answer = infer(table, age, {**height, "shape": [2], "data": [1.0, 2.0]}, word)
        assert (status, answer["error"]) == (400, "height has 2 rows, age has 1")

    def test_null_is_for_nullable_columns_only(self, table):
        status, answer = infer(table, *row(None))
        assert (status, answer["error"]) == (400, "age, row 0 is null: it is not nullable")


class TestFailures:
    def test_a_reduction_that_raises_shows_its_kind_and_no_more(self, table, capfd):
        status, answer = infer(table, *row(13))
        assert status == 500
        assert answer == {"error": "the reduction failed on this input (LookupError)"}
        assert "a secret of the reduction" in capfd.readouterr().err

    def test_a_reduction_with_the_wrong_shape(self, table, capfd):
        status, answer = infer(table, *row(14))
        assert status == 500
        assert answer == {"error": "the reduction failed on this input (wrong result)"}
        assert "[1, 9]" in capfd.readouterr().err

    def test_an_unforeseen_error_is_answered_too(self, matrix, capfd, monkeypatch):
        monkeypatch.setattr(matrix._pipeline, "predict", lambda columns: 1 / 0)
        status, answer = infer(matrix, x([1, 2]))
        assert (status, answer["error"]) == (500, "the request could not be answered (ZeroDivisionError)")
        assert "ZeroDivisionError" in capfd.readouterr().err


def predictions(application, document, content_type=b"application/json"):
    status, answer = post(application, "/invocations", document, content_type)
    assert status == 200, answer
    return answer["predictions"]


class TestInvocations:
    FORMS = (
        {"instances": [[1, 2], [3, 4]]},
        {"inputs": [[1, 2], [3, 4]]},
        {"inputs": {"X": [[1, 2], [3, 4]]}},
        {"instances": [{"X": [1, 2]}, {"X": [3, 4]}]},
        {"dataframe_split": {"columns": ["p", "q"], "data": [[1, 2], [3, 4]], "index": [0, 1]}},
        {"dataframe_split": {"data": [[1, 2], [3, 4]]}},
        {"dataframe_records": [{"p": 1, "q": 2}, {"p": 3, "q": 4}]},
    )

    @pytest.mark.parametrize("document", FORMS)
    def test_forms_for_a_matrix(self, matrix, document):
        assert predictions(matrix, document) == [
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
        assert [prediction["sum"] for prediction in predictions(table, document)] == [[140.0], [2.5]]

    @pytest.mark.parametrize("content_type", [b"text/csv", b"Text/CSV; charset=utf-8"])
    def test_csv(self, table, content_type):
        text = b"age,height,word\n40,,known\n2,0.5,\n"
        assert [row["sum"] for row in predictions(table, text, content_type)] == [[140.0], [2.5]]

    def test_one_output_is_a_plain_list(self, make_tree):
        tree = make_tree(outputs=(tensor("sum", "FP32", (-1, 1)),))
        assert predictions(Application(Pipeline(tree)), {"instances": [[1, 2]]}) == [[3.0]]

    BAD = (
        (b"", "the body is not JSON"),
        ([], "the body is no invocation"),
        ({}, "the body is no invocation"),
        ({"instances": [], "inputs": []}, "the body is no invocation"),
        ({"instances": [], "params": {}}, "the body is no invocation"),
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
        (b'{"instances": %b}' % TestV2.DEEP, "the body is nested too deeply"),
    )

    @pytest.mark.parametrize(("document", "says"), BAD, ids=[str(index) for index in range(len(BAD))])
    def test_a_bad_request(self, table, document, says):
        status, answer = post(table, "/invocations", document)
        assert status == 400
        assert answer["error"].startswith(says)

    def test_csv_that_is_not_utf_8(self, table):
        assert post(table, "/invocations", b"age\n\xff\n", b"text/csv")[0] == 400

    def test_another_content_type(self, table):
        status, answer = post(table, "/invocations", b"x", b"application/x-npy")
        assert status == 415
        assert "text/csv" in answer["error"]


class TestRoutes:
    def test_metadata(self, table):
        assert get(table, "/v2") == (200, {"name": "mlship", "version": __version__, "extensions": []})
        status, answer = get(table, "/v2/models/tiny")
        assert status == 200
        assert answer["versions"] == [table._pipeline.digest]
        assert answer["inputs"][0] == {"name": "age", "datatype": "INT64", "shape": [-1]}
        assert answer["outputs"][1] == {"name": "sum", "datatype": "FP32", "shape": [-1, 1]}
        assert get(table, f"/v2/models/tiny/versions/{table._pipeline.digest}") == (status, answer)

    READY = ("/v2/health/ready", "/v2/models/tiny/ready", "/readyz", "/ping")

    def test_ready_or_not(self, matrix):
        assert {get(matrix, path)[0] for path in self.READY} == {200}
        matrix.ready = False
        assert {get(matrix, path)[0] for path in self.READY} == {503}
        assert {get(matrix, path)[0] for path in ("/v2/health/live", "/healthz")} == {200}

    @pytest.mark.parametrize("path", ["/", "/nowhere", "/v2/models/other", "/v2/", "*", "//v2", "/%FF"])
    def test_nothing_there(self, matrix, path):
        status, answer = get(matrix, path)
        assert status == 404
        assert answer["error"]

    def test_a_query_and_other_quoting_do_not_matter(self, matrix):
        assert get(matrix, "/v2/health/live?probe=1")[0] == 200
        assert get(matrix, "/v2/models/%74iny")[0] == 200

    @pytest.mark.parametrize(
        ("method", "path", "allow"),
        [
            (b"POST", b"/v2", b"Allow: GET, HEAD\r\n"),
            (b"GET", b"/invocations", b"Allow: POST\r\n"),
            (b"DELETE", b"/v2/models/tiny/infer", b"Allow: POST\r\n"),
        ],
    )
    def test_a_method_that_is_not_allowed(self, matrix, method, path, allow):
        answer = matrix.answer(method, path, b"", b"")
        assert (answer.status, answer.headers) == (405, allow)

    def test_every_answer_names_the_bundle(self, matrix):
        digest = matrix._pipeline.digest.encode()
        assert matrix.headers == (
            b"Mlship-Bundle: %b\r\nMlship-Release: 3\r\n"
            b"X-Amzn-SageMaker-Custom-Attributes: mlship-bundle=%b\r\n" % (digest, digest)
        )


class TestMetrics:
    def test_what_is_counted(self, matrix):
        infer(matrix, x([1, 2]))
        infer(matrix, x([1, 2]))
        infer(matrix, x([1]))
        get(matrix, "/nowhere/1")
        get(matrix, "/nowhere/2")
        matrix.refuse(413, "too large")
        matrix.connections = 5
        answer = matrix.answer(b"GET", b"/metrics", b"", b"")
        assert answer.content_type.startswith(b"text/plain; version=0.0.4")
        found = dict(line.rsplit(" ", 1) for line in answer.body.decode().splitlines() if line[0] != "#")
        common = 'model="tiny",version="1.0"'
        assert found[f'mlship_requests_total{{{common},route="infer",code="200"}}'] == "2"
        assert found[f'mlship_requests_total{{{common},route="infer",code="400"}}'] == "1"
        assert found[f'mlship_requests_total{{{common},route="unknown",code="404"}}'] == "2"
        assert found[f'mlship_requests_total{{{common},route="refused",code="413"}}'] == "1"
        assert found[f'mlship_request_duration_seconds_count{{{common},route="infer"}}'] == "3"
        assert found[f'mlship_request_duration_seconds_bucket{{{common},route="infer",le="+Inf"}}'] == "3"
        assert found[f"mlship_model_duration_seconds_count{{{common}}}"] == "2"
        assert found[f"mlship_connections{{{common}}}"] == "5"
        (build,) = (line for line in found if line.startswith("mlship_build_info"))
        assert f'digest="{matrix._pipeline.digest}"' in build
        assert 'release="3"' in build

    def test_the_lines_are_well_formed_and_buckets_grow(self, matrix):
        for _ in range(50):
            infer(matrix, x([1, 2]))
        lines = matrix.answer(b"GET", b"/metrics", b"", b"").body.decode().splitlines()
        name = "mlship_model_duration_seconds_bucket"
        counts = [int(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name)]
        assert counts == sorted(counts)
        assert counts[-1] == 50
        described = {line.split()[2] for line in lines if line.startswith("# TYPE")}
        for line in lines:
            if line[0] != "#":
                metric = line.partition("{")[0]
                assert metric in described or metric.rpartition("_")[0] in described


def test_large_whole_numbers_survive_json(make_tree):
    """UINT64 beyond the range that the fast decoder knows."""
    tree = make_tree(inputs=(tensor("n", "UINT64"), tensor("m", "INT64")), assemble={"X": ["n", "m"]})
    application = Application(Pipeline(tree))
    tensors = [
        {"name": "n", "datatype": "UINT64", "shape": [1], "data": [2**64 - 1]},
        {"name": "m", "datatype": "INT64", "shape": [1], "data": [0]},
    ]
    status, answer = infer(application, *tensors)
    assert status == 200
    assert np.float32(answer["outputs"][1]["data"][0]) == np.float32(2**64 - 1)
