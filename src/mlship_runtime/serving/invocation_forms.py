"""The JSON forms of `/invocations`, those of MLflow and SageMaker, as columns.

{"instances": [row, …]}, or the list alone · {"inputs": {column: [value, …]}} or a list for a single input ·
{"dataframe_split": {"columns": […], "data": [[…], …]}} · {"dataframe_records": [{column: value}, …]}
Beside any of them, `params` may stand, empty: there is nothing in a bundle that could take one.
Of a name that an object holds twice, the last value counts: the decoder does not tell.
Source: MLflow "Deploy MLflow Model as a Local Inference Server", TensorFlow Serving REST (instances, inputs).
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, Callable

import msgspec

from mlship_runtime.bundle.spec import TensorSpec
from mlship_runtime.errors import BadInput
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
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        only = inputs[0].name if len(inputs) == 1 else ""
        fault = notfinite.refusal(body, lambda document: notfinite.table_cells(document, only))
        raise fault or BadInput("the body is not JSON", cause=str(error)) from None
    form, content = _form_of(document)
    if form == "inputs":
        return _from_columns(content, inputs)
    if form == "dataframe_split":
        return _from_split(content, inputs)
    return _from_rows(form, content, inputs)


def _form_of(document: Any) -> tuple[str, Any]:
    if isinstance(document, list):
        return "instances", document
    forms = [name for name in _FORMS if isinstance(document, dict) and name in document]
    if len(forms) != 1 or not document.keys() <= {forms[0], "params"}:
        cause = f"it must be an object with one of {', '.join(_FORMS)}"
        raise BadInput("the body is no invocation", cause=cause)
    params = document.get("params") or {}
    if not isinstance(params, dict):
        raise BadInput("params is not an object", field="params")
    if params:
        raise BadInput(f"{next(iter(params))} is no parameter of this model", cause="it takes none")
    return forms[0], document[forms[0]]


def read_lines(body: bytes, inputs: Sequence[TensorSpec], most: int) -> dict[str, Array]:
    """The columns of JSON lines, a row in each and `most` rows; raises BadInput."""
    rows: list[Any] = []
    for number, line in enumerate(io.BytesIO(body), 1):
        if line.isspace():
            continue
        if len(rows) == most:
            raise BadInput(f"there are more than {most:,} rows", cause="no more are taken at a time")
        try:
            rows.append(msgspec.json.decode(line))
        except RecursionError:
            raise BadInput(f"line {number} is nested too deeply") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadInput(f"line {number} is not JSON", cause=str(error)) from None
    return _from_rows("the lines", rows, inputs)


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
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        if not _is_matrix(inputs):
            raise BadInput("dataframe_split does not name its columns")
        names = []
    if len(set(names)) != len(names):
        raise BadInput("dataframe_split names a column twice")
    if _is_matrix(inputs):
        return {inputs[0].name: _column(inputs[0], rows)}
    for index, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(names):
            raise BadInput(f"row {index} of dataframe_split does not have {len(names)} values")
    columns = {name: [row[place] for row in rows] for place, name in enumerate(names)}
    return _read(columns, inputs, _cells)


def _from_rows(form: str, content: Any, inputs: Sequence[TensorSpec]) -> dict[str, Array]:
    if not isinstance(content, list) or not content:
        raise BadInput(f"{form} is not a list of rows")
    if form != "dataframe_records" and len(inputs) == 1 and not isinstance(content[0], dict):
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
