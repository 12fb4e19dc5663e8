"""Requests and answers of `/invocations`: the JSON forms of MLflow and SageMaker, and CSV.

{"instances": [row, …]} · {"inputs": {column: [value, …]}} or a list for a single input ·
{"dataframe_split": {"columns": […], "data": [[…], …]}} · {"dataframe_records": [{column: value}, …]}
Of a name that an object holds twice, the last value counts: the decoder does not tell.
Answer: {"predictions": [one per row]}; with several outputs each prediction is an object with their names.
Source: MLflow "Deploy MLflow Model as a Local Inference Server", TensorFlow Serving REST (instances, inputs).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Callable

import msgspec
import numpy as np
import orjson

from mlship_runtime.bundle.spec import TensorSpec
from mlship_runtime.errors import BadInput
from mlship_runtime.model.columns import read_csv
from mlship_runtime.model.datatypes import Array
from mlship_runtime.model.tensors import check_complete, decode_tensor, unknown_input
from mlship_runtime.serving import notfinite

_FORMS = ("instances", "inputs", "dataframe_split", "dataframe_records")
_MAX_DEPTH = 8


def read_json(body: bytes, inputs: Sequence[TensorSpec]) -> dict[str, Array]:
    """The columns of a JSON request; raises BadInput that names the column."""
    try:
        document = msgspec.json.decode(body)
    except RecursionError:
        raise BadInput("the body is nested too deeply") from None
    except msgspec.DecodeError as error:
        only = inputs[0].name if len(inputs) == 1 else ""
        fault = notfinite.refusal(body, lambda document: notfinite.table_cells(document, only))
        raise fault or BadInput("the body is not JSON", cause=str(error)) from None
    if not isinstance(document, dict) or len(document) != 1 or next(iter(document)) not in _FORMS:
        raise BadInput(
            "the body is no invocation", cause=f"it must be an object with one of {', '.join(_FORMS)}"
        )
    ((form, content),) = document.items()
    if form == "inputs":
        return _from_columns(content, inputs)
    if form == "dataframe_split":
        return _from_split(content, inputs)
    return _from_rows(form, content, inputs)


def read_text(body: bytes, inputs: Sequence[TensorSpec]) -> dict[str, Array]:
    """The columns of a CSV request (UTF-8, the first line names the columns); raises BadInput."""
    try:
        return read_csv(body.decode("utf-8-sig"), inputs)
    except UnicodeDecodeError as error:
        raise BadInput("the CSV is not UTF-8", cause=str(error)) from None


def write(results: Mapping[str, Array]) -> bytes:
    """One prediction per row; not-finite numbers are null."""
    predictions: Any
    if len(results) == 1:
        predictions = _rows(next(iter(results.values())))
    else:
        # Values of their own, for orjson knows arrays of every NumPy integer, but not every NumPy scalar.
        columns = {name: array.tolist() for name, array in results.items()}
        count = len(next(iter(results.values())))
        predictions = [{name: rows[index] for name, rows in columns.items()} for index in range(count)]
    return orjson.dumps({"predictions": predictions}, option=orjson.OPT_SERIALIZE_NUMPY)


def _rows(array: Array) -> Any:
    return array.tolist() if array.dtype.kind == "O" else np.ascontiguousarray(array)


def _from_columns(content: Any, inputs: Sequence[TensorSpec]) -> dict[str, Array]:
    if isinstance(content, list) and len(inputs) == 1:
        content = {inputs[0].name: content}
    if not isinstance(content, dict):
        raise BadInput("inputs is not an object of columns")
    return _read(content, inputs, _column)


def _read(
    columns: Mapping[str, Any], inputs: Sequence[TensorSpec], column: Callable[[TensorSpec, Any], Array]
) -> dict[str, Array]:
    known = {spec.name: spec for spec in inputs}
    for name in columns:
        if name not in known:
            raise unknown_input(name, known)
    found = {name: column(known[name], values) for name, values in columns.items()}
    check_complete(found, known)
    return found


def _from_split(content: Any, inputs: Sequence[TensorSpec]) -> dict[str, Array]:
    if not isinstance(content, dict) or not isinstance(content.get("data"), list):
        raise BadInput("dataframe_split is not an object with columns and data")
    for key in content:
        if key not in ("columns", "data", "index"):
            raise BadInput(f"dataframe_split has an unknown part {key!r}", field=key)
    rows, names = content["data"], content.get("columns")
    if _is_matrix(inputs):
        return {inputs[0].name: _column(inputs[0], rows)}
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise BadInput("dataframe_split does not name its columns")
    if len(set(names)) != len(names):
        raise BadInput("dataframe_split names a column twice")
    for index, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(names):
            raise BadInput(f"row {index} of dataframe_split does not have {len(names)} values")
    columns = {name: [row[place] for row in rows] for place, name in enumerate(names)}
    return _read(columns, inputs, _cells)


def _from_rows(form: str, content: Any, inputs: Sequence[TensorSpec]) -> dict[str, Array]:
    if not isinstance(content, list) or not content:
        raise BadInput(f"{form} is not a list of rows")
    if form == "instances" and len(inputs) == 1 and not isinstance(content[0], dict):
        return {inputs[0].name: _cells(inputs[0], content)}
    names = list(content[0]) if isinstance(content[0], dict) else []
    for index, row in enumerate(content):
        if not isinstance(row, dict):
            raise BadInput(f"row {index} of {form} is not an object with the columns' names")
        if row.keys() != content[0].keys():
            name = min(row.keys() ^ content[0].keys())
            raise BadInput(f"{name} is not in every row of {form}", field=name)
    columns = {name: [row[name] for row in content] for name in names}
    if _is_matrix(inputs) and inputs[0].name not in columns:
        return {inputs[0].name: _column(inputs[0], [[row[name] for name in names] for row in content])}
    return _read(columns, inputs, _cells)


def _is_matrix(inputs: Sequence[TensorSpec]) -> bool:
    """A single input [-1, n] takes the columns of a table in their order, whatever their names."""
    return len(inputs) == 1 and len(inputs[0].shape) == 2


def _cells(spec: TensorSpec, values: list[Any]) -> Array:
    """One value for each row: a list in the place of a single value is refused, also if it holds only one."""
    if len(spec.shape) == 1:
        return decode_tensor(spec, spec.datatype, [len(values)], values)
    return _column(spec, values)


def _column(spec: TensorSpec, values: Any) -> Array:
    shape: list[int] = []
    inner = values
    while isinstance(inner, list) and len(shape) < _MAX_DEPTH:
        shape.append(len(inner))
        inner = inner[0] if inner else None
    return decode_tensor(spec, spec.datatype, shape, values)
