"""Requests and answers of `/invocations` by their content types, those of MLflow and SageMaker.

In: application/json, application/jsonlines, text/csv with a line of names or without, application/x-npy.
Out, as Accept says: {"predictions": [one per row]} (with several outputs each prediction is an object with
their names), one prediction per line, CSV without a line of names, or one array.
Source: MLflow "Deploy MLflow Model as a Local Inference Server"; SageMaker AI, "Common data formats for
inference", and the encoders of sagemaker-inference-toolkit.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any, Optional

import numpy as np
import orjson

from mlship_runtime.bundle.spec import TensorSpec
from mlship_runtime.errors import BadInput
from mlship_runtime.model.columns import check_columns
from mlship_runtime.model.csv_columns import read_csv
from mlship_runtime.model.datatypes import Array
from mlship_runtime.model.fields import is_number
from mlship_runtime.serving import npy
from mlship_runtime.serving.answer import Answer, error_answer
from mlship_runtime.serving.invocation_forms import read_json, read_lines
from mlship_runtime.serving.media_types import chosen_type, main_type, parameter_of

JSON, LINES, CSV, NPY = b"application/json", b"application/jsonlines", b"text/csv", b"application/x-npy"
_SAME = {
    b"": JSON,
    b"application/csv": CSV,
    b"application/x-ndjson": LINES,
    b"application/x-jsonlines": LINES,
    b"application/jsonl": LINES,
}
_KNOWN = b"application/json, text/csv, application/jsonlines or application/x-npy".decode()


class WrongType(Exception):
    """A request is of a content type that is none of ours, or wants no other answer: `answer` says so."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def read(content_type: bytes, body: bytes, inputs: Sequence[TensorSpec], most: int) -> dict[str, Array]:
    """The columns of a request of `most` rows, which is looked at here where rows are read one by one. Raises
    BadInput that names the column, and WrongType."""
    kind = main_type(content_type)
    kind = _SAME.get(kind, kind)
    if kind == JSON:
        return read_json(body, inputs)
    if kind == CSV:
        return _read_text(body, inputs, parameter_of(content_type, b"header"), most)
    if kind == LINES:
        return read_lines(body, inputs, most)
    if kind == NPY:
        return _read_npy(body, inputs)
    raise WrongType(error_answer(415, f"the content type is not {_KNOWN}"))


def answer_type(accept: Optional[bytes], outputs: Sequence[TensorSpec]) -> bytes:
    """What `write` is to write; raises WrongType if there is nothing that the client takes."""
    if accept is None or accept in (b"*/*", JSON):
        return JSON
    offered = [JSON, CSV, LINES]
    if len(outputs) == 1 and outputs[0].datatype != "BYTES":
        offered.append(NPY)
    found = chosen_type(accept, offered, _SAME)
    if found is None:
        names = b", ".join(offered).decode()
        raise WrongType(error_answer(406, f"none of what Accept names can be answered: {names} can"))
    return found


def write(results: Mapping[str, Array], kind: bytes = JSON) -> Answer:
    """One prediction per row. In JSON, not-finite numbers are null; in CSV they are empty."""
    if kind == NPY:
        return Answer(200, npy.encoded(next(iter(results.values()))), NPY)
    if kind == CSV:
        return Answer(200, _text(results), b"text/csv; charset=utf-8")
    predictions = _predictions(results)
    if kind == LINES:
        return Answer(200, b"".join(orjson.dumps(row) + b"\n" for row in _plain(predictions)), LINES)
    return Answer(200, orjson.dumps({"predictions": predictions}, option=orjson.OPT_SERIALIZE_NUMPY))


def _read_text(body: bytes, inputs: Sequence[TensorSpec], header: bytes, most: int) -> dict[str, Array]:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput("the CSV is not UTF-8", cause=str(error)) from None
    return read_csv(text, inputs, names=_names_for(text, inputs, header), most=most)


def _names_for(text: str, inputs: Sequence[TensorSpec], header: bytes) -> Optional[list[str]]:
    """The columns of a CSV whose first line does not name them, in the order of the schema; None if it does.

    `header` is what the content type says (RFC 4180): present or absent. If it says nothing, a first line of
    numbers is one of values for a matrix; for columns, one in which no field is a column's name, unless
    every column holds texts."""
    if header not in (b"", b"present", b"absent"):
        raise BadInput("header of text/csv is neither present nor absent")
    try:
        first = next(csv.reader(io.StringIO(text, newline="")), [])
    except csv.Error:
        first = []  # the reader of the whole says what is wrong
    if not first or header == b"present":
        return None
    if len(inputs) == 1 and len(inputs[0].shape) == 2:
        numbered = [str(index) for index in range(len(first))]
        if header == b"" and first == numbered:
            what = "the first line of the CSV may be names or values"
            raise BadInput(what, fix="Say text/csv; header=present, or header=absent")
        return numbered if header == b"absent" or all(map(is_number, first)) else None
    names = [spec.name for spec in inputs]
    if header == b"absent":
        return names
    texts_only = all(spec.datatype == "BYTES" for spec in inputs)
    named = texts_only or len(first) != len(names) or not set(names).isdisjoint(map(str.strip, first))
    return None if named else names


def _read_npy(body: bytes, inputs: Sequence[TensorSpec]) -> dict[str, Array]:
    if len(inputs) != 1:
        raise BadInput(f"an array cannot be {len(inputs)} inputs", fix="Send JSON or CSV")
    return check_columns({inputs[0].name: npy.decoded(body)}, inputs)


def _predictions(results: Mapping[str, Array]) -> Any:
    if len(results) == 1:
        array = next(iter(results.values()))
        return array.tolist() if array.dtype.kind == "O" else np.ascontiguousarray(array)
    columns = {name: _plain(array) for name, array in results.items()}
    count = len(next(iter(results.values())))
    return [{name: rows[index] for name, rows in columns.items()} for index in range(count)]


def _plain(array: Any) -> Any:
    """Lists of plain values; single-precision numbers with no more digits than they have, as in JSON."""
    if isinstance(array, list):
        return array
    if array.dtype.kind != "f":
        return array.tolist()
    return orjson.loads(orjson.dumps(np.ascontiguousarray(array), option=orjson.OPT_SERIALIZE_NUMPY))


def _text(results: Mapping[str, Array]) -> bytes:
    columns = [_plain(array.reshape(len(array), -1)) for array in results.values()]
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerows(
        [value for column in columns for value in column[index]] for index in range(len(columns[0]))
    )
    return out.getvalue().encode()
