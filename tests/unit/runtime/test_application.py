"""Routes, failures and metrics of a release, without a socket."""

from __future__ import annotations

import json

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mlship_runtime import __version__
from mlship_runtime.bundle.spec import TensorSpec
from mlship_runtime.model.pipeline import Pipeline
from mlship_runtime.serving.application import Application
from mlship_runtime.serving.limits import Limits


def x(data, shape=(1, 2), datatype="FP32", name="X"):
    return {"name": name, "datatype": datatype, "shape": list(shape), "data": data}


def row(age=1, height=None, word=None, rows=1):
    return [
        {"name": "age", "datatype": "INT64", "shape": [rows], "data": [age] * rows},
        {"name": "height", "datatype": "FP64", "shape": [rows], "data": [height] * rows},
        {"name": "word", "datatype": "BYTES", "shape": [rows], "data": [word] * rows},
    ]


class TestFailures:
    def test_a_reduction_that_raises_shows_its_kind_and_no_more(self, table, capfd):
        status, answer = table.infer(*row(13))
        assert status == 500
        assert answer == {"error": "the reduction failed on this input (LookupError)"}
        assert "a secret of the reduction" in capfd.readouterr().err

    def test_a_reduction_with_the_wrong_shape(self, table, capfd):
        status, answer = table.infer(*row(14))
        assert status == 500
        assert answer == {"error": "the reduction failed on this input (wrong result)"}
        assert "[1, 9]" in capfd.readouterr().err

    def test_an_unforeseen_error_is_answered_too(self, matrix, capfd, monkeypatch):
        monkeypatch.setattr(matrix.application._pipeline, "predict", lambda columns: 1 / 0)
        status, answer = matrix.infer(x([1, 2, 3, 4], shape=(2, 2)))
        assert (status, answer["error"]) == (500, "the request could not be answered (ZeroDivisionError)")
        assert "ZeroDivisionError" in capfd.readouterr().err


class TestRoutes:
    def test_metadata_names_the_classes(self, make_tree):
        outputs = (
            TensorSpec("label", "INT64", (-1, 1), nullable=False),
            TensorSpec("sum", "FP32", (-1, 1), nullable=False, classes=("yes",)),
        )
        application = Application(Pipeline(make_tree(outputs=outputs)))
        label, given = json.loads(application.answer(b"GET", b"/v2/models/tiny", {}, b"").body)["outputs"]
        assert "parameters" not in label
        assert given["parameters"] == {"classes": ["yes"]}

    def test_metadata(self, table):
        assert table.get("/v2") == (
            200,
            {"name": "mlship", "version": __version__, "extensions": ["binary_tensor_data"]},
        )
        status, answer = table.get("/v2/models/tiny")
        assert status == 200
        assert answer["versions"] == [table.application._pipeline.digest]
        assert answer["inputs"][0] == {"name": "age", "datatype": "INT64", "shape": [-1]}
        assert answer["outputs"][1] == {"name": "sum", "datatype": "FP32", "shape": [-1, 1]}
        assert table.get(f"/v2/models/tiny/versions/{table.application._pipeline.digest}") == (status, answer)

    def test_a_service_of_another_name(self, make_tree):
        application = Application(Pipeline(make_tree()), service="tiny eu")
        ask = {
            path: application.answer(b"GET", path, {}, b"")
            for path in (b"/v2/models/tiny%20eu", b"/v2/models/tiny")
        }
        one, other = ask.values()
        assert (one.status, one.body) == (200, other.body)
        assert application.answer(b"GET", b"/v2/models/tiny%20eu/ready", {}, b"").status == 200
        assert application.answer(b"GET", b"/v2/models/eu", {}, b"").status == 404

    READY = ("/v2/health/ready", "/v2/models/tiny/ready", "/readyz", "/ping")

    def test_ready_or_not(self, matrix):
        assert {matrix.get(path)[0] for path in self.READY} == {200}
        matrix.application.ready = False
        assert {matrix.get(path)[0] for path in self.READY} == {503}
        assert {matrix.get(path)[0] for path in ("/v2/health/live", "/healthz")} == {200}

    @pytest.mark.parametrize("path", ["/", "/nowhere", "/v2/models/other", "/v2/", "*", "//v2", "/%FF"])
    def test_nothing_there(self, matrix, path):
        status, answer = matrix.get(path)
        assert status == 404
        assert answer["error"]

    def test_a_query_and_other_quoting_do_not_matter(self, matrix):
        assert matrix.get("/v2/health/live?probe=1")[0] == 200
        assert matrix.get("/v2/models/%74iny")[0] == 200

    @pytest.mark.parametrize(
        ("method", "path", "allow"),
        [
            (b"POST", b"/v2", b"Allow: GET, HEAD\r\n"),
            (b"GET", b"/invocations", b"Allow: POST\r\n"),
            (b"DELETE", b"/v2/models/tiny/infer", b"Allow: POST\r\n"),
        ],
    )
    def test_a_method_that_is_not_allowed(self, matrix, method, path, allow):
        answer = matrix.application.answer(method, path, {}, b"")
        assert (answer.status, answer.headers) == (405, allow)

    def test_every_answer_names_the_bundle(self, matrix):
        digest = matrix.application._pipeline.digest.encode()
        assert matrix.application.headers == (
            b"Mlship-Bundle: %b\r\nMlship-Release: 3\r\n"
            b"X-Amzn-SageMaker-Custom-Attributes: mlship-bundle=%b\r\n" % (digest, digest)
        )


class TestMetrics:
    def test_what_is_counted(self, matrix):
        matrix.infer(x([1, 2]))
        matrix.infer(x([1, 2]))
        matrix.infer(x([1]))
        matrix.get("/nowhere/1")
        matrix.get("/nowhere/2")
        matrix.application.refuse(413, "too large")
        matrix.application.connections = 5
        matrix.application.waiting = 4
        answer = matrix.application.answer(b"GET", b"/metrics", {}, b"")
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
        assert found[f"mlship_queue_depth{{{common}}}"] == "4"
        (build,) = (line for line in found if line.startswith("mlship_build_info"))
        assert f'digest="{matrix.application._pipeline.digest}"' in build
        assert 'release="3"' in build

    def test_prometheus_reads_them(self, make_tree):
        application = Application(Pipeline(make_tree(name="a-b")))
        application.answer(b"POST", b"/v2/models/a-b/infer", {}, b"{}")
        text = application.answer(b"GET", b"/metrics", {}, b"").body.decode()
        figures = {figure.name: figure for figure in text_string_to_metric_families(text)}
        assert {name: figure.type for name, figure in figures.items()} == {
            "mlship_build_info": "gauge",
            "mlship_connections": "gauge",
            "mlship_queue_depth": "gauge",
            "mlship_worker_restarts": "counter",
            "mlship_requests": "counter",
            "mlship_request_duration_seconds": "histogram",
            "mlship_model_duration_seconds": "histogram",
        }
        (sample,) = figures["mlship_requests"].samples
        assert sample.labels == {"model": "a-b", "version": "1.0", "route": "infer", "code": "400"}

    def test_restarts_are_told_by_reason(self, matrix):
        matrix.application.tell_restarts(lambda: {"died": 2, "hung": 0})
        text = matrix.application.answer(b"GET", b"/metrics", {}, b"").body.decode()
        figures = {figure.name: figure for figure in text_string_to_metric_families(text)}
        found = {
            sample.labels["reason"]: sample.value for sample in figures["mlship_worker_restarts"].samples
        }
        assert found == {"died": 2, "hung": 0}

    def test_the_lines_are_well_formed_and_buckets_grow(self, matrix):
        for _ in range(50):
            matrix.infer(x([1, 2]))
        lines = matrix.application.answer(b"GET", b"/metrics", {}, b"").body.decode().splitlines()
        name = "mlship_model_duration_seconds_bucket"
        counts = [int(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name)]
        assert counts == sorted(counts)
        assert counts[-1] == 50
        described = {line.split()[2] for line in lines if line.startswith("# TYPE")}
        for line in lines:
            if line[0] != "#":
                metric = line.partition("{")[0]
                assert metric in described or metric.rpartition("_")[0] in described


class TestLimits:
    @pytest.fixture
    def bound(self, make_tree):
        return Application(Pipeline(make_tree()), limits=Limits(rows=3, depth=4))

    def said(self, application, target, document):
        headers = {b"content-type": b"application/json"}
        answer = application.answer(b"POST", target, headers, json.dumps(document).encode())
        return answer.status, json.loads(answer.body)

    @pytest.mark.parametrize("rows", [3, 4])
    def test_rows(self, bound, rows):
        values = [1.0] * 2 * rows
        tensor = {"name": "X", "datatype": "FP32", "shape": [rows, 2], "data": values}
        for target, document in (
            (b"/v2/models/tiny/infer", {"inputs": [tensor]}),
            (b"/invocations", {"inputs": {"X": [[1, 1]] * rows}}),
        ):
            status, answer = self.said(bound, target, document)
            assert status == (200 if rows == 3 else 400)
            assert rows == 3 or answer["error"].startswith("the request has 4 rows")

    @pytest.mark.parametrize("target", [b"/v2/models/tiny/infer", b"/invocations"])
    def test_depth(self, bound, target):
        status, answer = self.said(bound, target, {"inputs": [[[[[1]]]]]})
        assert (status, answer["error"][:30]) == (400, "the body is nested too deeply:")
