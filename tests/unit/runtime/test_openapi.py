"""The OpenAPI document, and that it is true: Schemathesis asks a server in a process of its own by it."""

from __future__ import annotations

import dataclasses
import io
import json
import urllib.request
from typing import Any

import hypothesis
import numpy as np
import pytest
import schemathesis
from schemathesis.checks import load_all_checks
from schemathesis.specs.openapi.checks import positive_data_acceptance

from mlship_runtime.bundle.spec import Seen, TensorSpec
from mlship_runtime.model.pipeline import Pipeline
from mlship_runtime.serving import openapi
from mlship_runtime.serving.application import Application

EXAMPLES = 5  # of each operation, of good data and of bad

REDUCE = "import numpy as np\ndef reduce(c):\n    return {'X': np.ones((len(c['age']), 2), 'f4')}"
COLUMNS = (
    TensorSpec("age", "INT64", (-1,), False),
    TensorSpec("height", "FP64", (-1,), True),
    TensorSpec("word", "BYTES", (-1,), True),
    TensorSpec("known", "BOOL", (-1,), False),
)
SUM = (TensorSpec("sum", "FP32", (-1, 1), False),)


KINDS = ["matrix", "columns", "one output"]


@pytest.fixture(params=KINDS)
def tree(request: pytest.FixtureRequest, make_tree: Any) -> Any:
    if request.param == "columns":
        reduced = (TensorSpec("X", "FP32", (-1, 2), False),)
        return make_tree(inputs=COLUMNS, reduction=REDUCE, reduced=reduced)
    return make_tree() if request.param == "matrix" else make_tree(outputs=SUM, name="a/b c")


@schemathesis.serializer("application/jsonlines", "application/x-npy", "text/csv")
def as_text(ctx: Any, value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, list) and value and all(type(item) in (int, float) for item in value):
        out = io.BytesIO()
        np.save(out, np.array(value, "f4"))
        return out.getvalue()
    return value.encode(errors="surrogatepass") if isinstance(value, str) else json.dumps(value).encode()


@pytest.mark.parametrize(
    "tree",
    ["columns", *(pytest.param(kind, marks=pytest.mark.faults) for kind in KINDS if kind != "columns")],
    indirect=True,
)
def test_the_document_is_true(tree: Any, served: Any) -> None:
    """Whatever is asked has a status, content type and form that the document names; what it forbids is
    refused, and the worker lives."""
    server = served(tree)
    load_all_checks()
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json", wait_for_schema=20)
    checked = []
    for mode in schemathesis.GenerationMode:
        for found in schema.get_all_operations():
            operation = found.ok()
            checked.append(operation.label)
            ask(operation, mode)
    listed = {
        f"{verb.upper()} {path}" for path, verbs in schema.raw_schema["paths"].items() for verb in verbs
    }
    assert listed - set(checked) == {"GET /openapi.json"}, "which it does not ask for what it came from"
    assert server.ended is None


def ask(operation: Any, mode: Any) -> None:
    @hypothesis.settings(
        max_examples=EXAMPLES if operation.method == "post" else 2,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
    )
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def asked(case: Any) -> None:
        # What fits the document may still not fit together: its data may not fill its shape.
        case.call_and_validate(excluded_checks=[positive_data_acceptance])

    try:
        asked()
    except hypothesis.errors.Unsatisfiable:
        assert mode.is_negative, operation.label  # there is nothing that a GET could be told wrongly


def test_its_examples_are_accepted(tree: Any) -> None:
    application = Application(Pipeline(tree))
    document = json.loads(application.answer(b"GET", b"/openapi.json", {}, b"").body)
    posted = {path: verbs["post"] for path, verbs in document["paths"].items() if "post" in verbs}
    assert len(posted) == 3
    for path, operation in posted.items():
        body = json.dumps(operation["requestBody"]["content"]["application/json"]["example"]).encode()
        assert application.answer(b"POST", path.encode(), {}, body).status == 200, path


def test_examples_are_like_those_of_the_build(tree: Any) -> None:
    seen = (Seen(low=18.5, high=90.0), Seen(values=("a", "b")), None)
    inputs = tuple(
        TensorSpec(name, datatype, (-1,), False, seen=each)
        for name, datatype, each in zip("pqr", ("INT8", "BYTES", "FP32"), seen, strict=True)
    )
    document = openapi.document(dataclasses.replace(tree.spec, inputs=inputs), tree.digest)
    taken = document["paths"]["/invocations"]["post"]["requestBody"]["content"]
    assert taken["application/json"]["example"] == {"inputs": {"p": [18], "q": ["a"], "r": [0]}}


def test_every_route_is_in_it(tree: Any) -> None:
    application = Application(Pipeline(tree))
    document = json.loads(application.answer(b"GET", b"/openapi.json", {}, b"").body)
    assert {path.encode() for path in document["paths"]} == set(application._routes)
    for path, verbs in document["paths"].items():
        allowed = application._routes[path.encode()].handlers.keys() - {b"HEAD"}
        assert {verb.upper().encode() for verb in verbs} == allowed


def test_it_is_read_over_http(tree: Any, served: Any) -> None:
    with urllib.request.urlopen(f"{served(tree).url}/openapi.json", timeout=20) as answer:
        assert answer.headers["Content-Type"] == "application/json"
        assert json.loads(answer.read())["openapi"] == "3.1.0"
