"""The same rows give the same answers by every route, compared as golden answers are."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mlship.host.http import request
from mlship.host.local import LocalHost
from mlship.ops import invoke as verb
from mlship_runtime.bundle.spec import TensorSpec
from mlship_runtime.client import Client
from mlship_runtime.golden import compare
from mlship_runtime.model.datatypes import NUMPY_TYPES

REDUCE = """
import numpy as np

def reduce(columns):
    known = np.array([(name or "").startswith("kn") for name in columns["word"]], float)
    height = np.nan_to_num(columns["height"], nan=-1.0)
    return {"X": np.stack([columns["age"] + height + columns["big"] % 7, known * columns["yes"]], 1)}
"""
TEXTS = """
import numpy as np

def reduce(columns):
    return {"X": np.array([[len(text), 9 * text.count("é")] for text in columns["text"]], "f4")}
"""
COLUMNS = (
    TensorSpec("age", "INT8", (-1,), False),
    TensorSpec("height", "FP64", (-1,), True),
    TensorSpec("word", "BYTES", (-1,), True),
    TensorSpec("big", "UINT64", (-1,), False),
    TensorSpec("yes", "BOOL", (-1,), False),
)
X = TensorSpec("X", "FP32", (-1, 2), False)
BUNDLES: dict[str, tuple[dict[str, Any], dict[str, list[Any]]]] = {
    "matrix": ({}, {"X": [[1.5, 2.0], [-3.25, 1e-7], [0.1, 0.2]]}),
    "columns": (
        {"inputs": COLUMNS, "reduction": REDUCE, "reduced": (TensorSpec("X", "FP64", (-1, 2), False),)},
        {
            "age": [40, -2, 7],
            "height": [None, 1.85, 0.1],
            "word": ["known", None, 'comma, "quote" é'],
            "big": [2**64 - 1, 0, 5],
            "yes": [True, False, True],
        },
    ),
    "texts": (
        {"inputs": (TensorSpec("text", "BYTES", (-1,), False),), "reduction": TEXTS, "reduced": (X,)},
        {"text": ["", "é\U0001f40d", "a\nb"]},
    ),
}

Rows = dict[str, list[Any]]
Outputs = list[dict[str, Any]]
TOLERANCE = {"sum": {"abs": 1e-6, "rel": 1e-6}}


def v2_tensors(specs: Any, rows: Rows) -> list[dict[str, Any]]:
    return [
        {
            "name": spec.name,
            "datatype": spec.datatype,
            "shape": list(np.shape(rows[spec.name])),
            "data": rows[spec.name],
        }
        for spec in specs
    ]


def of_predictions(predictions: list[dict[str, Any]]) -> Outputs:
    return [
        {
            "name": name,
            "datatype": kind,
            "shape": [len(predictions), 1],
            "data": [row[name][0] for row in predictions],
        }
        for name, kind in (("label", "INT64"), ("sum", "FP32"))
    ]


def of_answer(answer: Any) -> Outputs:
    return [
        {"name": each.name, "datatype": each.datatype, "shape": list(each.shape), "data": list(each.data)}
        for each in answer.outputs.values()
    ]


def by_v2(client: Client, specs: Any, rows: Rows) -> Outputs:
    return of_answer(client.infer("tiny", rows))


def by_v2_in_bytes(client: Client, specs: Any, rows: Rows) -> Outputs:
    """Every column without missing values as an array; texts and missing values in JSON."""
    inputs: dict[str, Any] = dict(rows)
    for spec in specs:
        if spec.datatype != "BYTES" and None not in rows[spec.name]:
            inputs[spec.name] = np.array(rows[spec.name], NUMPY_TYPES[spec.datatype])
    if "height" in inputs:
        inputs["height"] = np.array([np.nan if each is None else each for each in rows["height"]])
    return of_answer(client.infer("tiny", inputs))


def by_json(form: Callable[[Any, Rows], Any]) -> Callable[[Client, Any, Rows], Outputs]:
    def route(client: Client, specs: Any, rows: Rows) -> Outputs:
        return of_predictions(client.invoke(json.dumps(form(specs, rows)).encode())["predictions"])

    return route


def records(rows: Rows) -> list[dict[str, Any]]:
    """With a matrix, its columns get names of their own."""
    table = flat(rows)
    return [dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)]


def flat(rows: Rows) -> Rows:
    if "X" not in rows:
        return rows
    return {f"x{place}": [row[place] for row in rows["X"]] for place in range(2)}


def split(specs: Any, rows: Rows) -> Any:
    table = flat(rows)
    return {
        "dataframe_split": {
            "columns": list(table),
            "data": [list(row) for row in zip(*table.values(), strict=True)],
        }
    }


def by_csv(client: Client, specs: Any, rows: Rows) -> Outputs:
    out, table = io.StringIO(newline=""), flat(rows)
    writer = csv.writer(out)
    writer.writerow(table)
    writer.writerows(zip(*table.values(), strict=True))
    return of_predictions(client.invoke(out.getvalue().encode(), "text/csv; header=present")["predictions"])


def by_lines(client: Client, specs: Any, rows: Rows) -> Outputs:
    body = "\n".join(map(json.dumps, rows["X"] if "X" in rows else records(rows)))
    return of_predictions(client.invoke(body.encode(), "application/jsonlines")["predictions"])


ROUTES: dict[str, Callable[[Client, Any, Rows], Outputs]] = {
    "V2": by_v2,
    "V2 in bytes": by_v2_in_bytes,
    "instances": by_json(lambda specs, rows: {"instances": rows["X"] if "X" in rows else records(rows)}),
    "inputs": by_json(lambda specs, rows: {"inputs": rows}),
    "dataframe_split": by_json(split),
    "dataframe_records": by_json(lambda specs, rows: {"dataframe_records": records(rows)}),
    "CSV": by_csv,
    "JSON lines": by_lines,
}


@pytest.mark.parametrize("bundle", BUNDLES)
def test_every_route_answers_alike(
    bundle: str, make_tree: Any, served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, rows = BUNDLES[bundle]
    tree = make_tree(**made)
    server, specs = served(tree), tree.spec.inputs
    body = json.dumps({"inputs": v2_tensors(specs, rows)}).encode()
    golden = invoked(server.url, body, monkeypatch)["outputs"]
    assert len(set(golden[1]["data"])) == 3, "answers that can be told apart"
    with Client(server.url) as client:
        for name, route in ROUTES.items():
            compared = compare(golden, route(client, specs, rows), TOLERANCE)
            assert (compared.rows, compared.differences) == (3, []), name
    body = json.dumps({"dataframe_records": records(rows)}).encode()
    again = of_predictions(invoked(server.url, body, monkeypatch)["predictions"])
    assert compare(golden, again, TOLERANCE).equal


def invoked(url: str, body: bytes, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What `mlship invoke --release 1` gets from a service that is reached at `url`."""

    def ask(asked: Any, release: Any) -> Any:
        return request(LocalHost(), f"tcp:{url.removeprefix('http://')}", asked)

    service = SimpleNamespace(name="tiny", target="t", service="tiny", adapter=SimpleNamespace(invoke=ask))
    monkeypatch.setattr(verb, "open_service", lambda ctx, target: service)
    context: Any = SimpleNamespace(timeout=None)
    return verb.invoke(context, "t", body, "application/json", release=1).body
