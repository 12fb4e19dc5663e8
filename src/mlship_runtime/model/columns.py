"""Columns: named arrays, batch first. Read from CSV and .npy by the schema, and checked against it."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mlship_runtime.bundle.spec import TensorSpec
from mlship_runtime.errors import BadInput
from mlship_runtime.model.datatypes import (
    EXACT_WHOLE,
    NUMPY_TYPES,
    Array,
    column_type,
    is_float,
    is_whole,
    word_for,
)
from mlship_runtime.model.tensors import array_of, check_complete, fit_shape, too_large, unknown_input

_MISSING = frozenset(("", "na", "nan", "null", "none"))
_TRUTH = {"true": True, "1": True, "false": False, "0": False}
_WHOLE = re.compile(r"[+-]?[0-9]+")


def read_examples(path: str | os.PathLike[str], inputs: Sequence[TensorSpec]) -> dict[str, Array]:
    """Columns from a .csv or .npy file (never a pickle); raises BadInput that names line and column."""
    path = Path(path)
    if path.suffix == ".csv":
        return read_csv(path, inputs)
    if path.suffix != ".npy":
        raise BadInput(f"{path.name} is neither .csv nor .npy")
    if len(inputs) != 1:
        raise BadInput(f"{path.name} holds one array, the schema has {len(inputs)} inputs", fix="Give a .csv")
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise BadInput(f"{path.name} cannot be read", cause=str(error)) from error
    if not isinstance(array, np.ndarray):
        raise BadInput(f"{path.name} is an archive, not one array")
    return check_columns({inputs[0].name: array}, inputs)


def read_csv(
    source: str | os.PathLike[str], inputs: Sequence[TensorSpec], names: Sequence[str] | None = None
) -> dict[str, Array]:
    """Columns from CSV: the text itself (a str) or a file (a path). Its first line names the columns, unless
    `names` does.

    An empty field (or NA, NaN, null, none) is a missing value; in a BYTES column only an empty one is, and
    where that is not nullable it is the empty text. A single input [-1, n] takes n columns of any names, in
    their order. Raises BadInput that names line and column."""
    text = source if isinstance(source, str) else _read_text(Path(source))
    if "\0" in text:  # Python before 3.11 refuses it, later ones take it: the same everywhere
        line = text[: text.index("\0")].count("\n") + 1
        raise BadInput(f"line {line} of the CSV is not well formed", cause="it holds a NUL character")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, []) if names is None else list(names)
        rows = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise BadInput(f"line {reader.line_num} of the CSV is not well formed", cause=str(error)) from error
    if not rows:
        raise BadInput("the CSV has no rows", cause="its first line names the columns")
    for line, row in rows:
        if len(row) != len(header):
            there = "its first line" if names is None else "the model reads"
            raise BadInput(f"line {line} of the CSV has {len(row)} fields, {there} {len(header)}")
    if len(inputs) == 1 and len(inputs[0].shape) == 2:
        return _matrix(header, rows, inputs[0])
    return _named_columns(header, rows, inputs)


def check_columns(columns: Mapping[str, Any], specs: Sequence[TensorSpec]) -> dict[str, Array]:
    """`columns` in the types of `specs`, or BadInput: unknown, missing, of another type or shape, of unequal
    length, null where that is not nullable, infinite."""
    known = {spec.name: spec for spec in specs}
    for name in columns:
        if name not in known:
            raise unknown_input(name, known)
    found = {name: check_column(known[name], columns[name]) for name in known if name in columns}
    check_complete(found, known)
    return found


def check_column(spec: TensorSpec, array: Any) -> Array:
    """One array in the type and rank of `spec`; raises BadInput."""
    if not isinstance(array, np.ndarray):
        raise BadInput(f"{spec.name} is not an array", field=spec.name)
    array = array.reshape(fit_shape(spec, array.shape))
    if spec.datatype == "BYTES":
        return _texts(spec, array)
    wanted = column_type(spec)
    if array.dtype.kind not in _kinds(spec):
        raise BadInput(f"{spec.name} is {spec.datatype}, not {array.dtype}", field=spec.name)
    if array.dtype.kind == "f":
        _check_floats(spec, array)
    if is_whole(spec.datatype):
        _check_range(spec, array)
    try:
        with np.errstate(over="raise"):
            cast = array.astype(wanted)
    except FloatingPointError as error:
        raise too_large(spec) from error
    if array.dtype.kind in "iu" and cast.dtype.kind == "f" and (cast.astype(array.dtype) != array).any():
        raise BadInput(f"{spec.name} holds a number that has no exact {spec.datatype}", field=spec.name)
    return np.ascontiguousarray(cast)


def _kinds(spec: TensorSpec) -> str:
    """The kinds of numpy types that may become a column of `spec`."""
    if spec.datatype == "BOOL":
        return "bf" if spec.nullable else "b"
    if is_float(spec.datatype):
        return "fiu"
    return "iuf" if spec.nullable else "iu"


def check_finite(spec: TensorSpec, array: Array) -> None:
    """Raise BadInput for a float column of `spec` that holds infinity, or NaN where it is not nullable."""
    if not np.isfinite(array).all():
        _check_floats(spec, array)


def _check_floats(spec: TensorSpec, array: Array) -> None:
    if np.isinf(array).any():
        raise BadInput(f"{spec.name} is infinite in {_row(np.isinf(array))}", field=spec.name)
    missing = np.isnan(array)
    if missing.any() and not spec.nullable:
        what = f"{spec.name} is missing in {_row(missing)}"
        raise BadInput(what, field=spec.name, cause="it is not nullable")
    if is_float(spec.datatype):
        return
    allowed = np.isin(array, (0.0, 1.0)) if spec.datatype == "BOOL" else array == np.floor(array)
    wrong = ~(missing | allowed)
    if wrong.any():
        raise BadInput(f"{spec.name} is not {word_for(spec.datatype)} in {_row(wrong)}", field=spec.name)


def _check_range(spec: TensorSpec, array: Array) -> None:
    limits = np.iinfo(NUMPY_TYPES[spec.datatype])
    low, high = int(limits.min), int(limits.max)
    if spec.nullable:
        low, high = max(low, -EXACT_WHOLE), min(high, EXACT_WHOLE)
    for value in (np.nanmin(array), np.nanmax(array)) if not np.isnan(array).all() else ():
        if not low <= int(value) <= high:
            raise BadInput(f"{spec.name} holds {int(value)}, beyond {spec.datatype}", field=spec.name)


def _texts(spec: TensorSpec, array: Array) -> Array:
    if array.dtype.kind not in "UO":
        raise BadInput(f"{spec.name} is {spec.datatype}, not {array.dtype}", field=spec.name)
    return array_of(spec, array.astype(object).ravel().tolist()).reshape(array.shape)


def _row(places: Array) -> str:
    return f"row {int(places.reshape(len(places), -1).any(axis=1).argmax())}"


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path.name} cannot be read", cause=str(error)) from error


def _named_columns(
    header: list[str], rows: list[tuple[int, list[str]]], inputs: Sequence[TensorSpec]
) -> dict[str, Array]:
    places: dict[str, int] = {}
    known = {spec.name: spec for spec in inputs}
    for index, name in enumerate(header):
        name = name.strip()
        if name not in known:
            raise unknown_input(name, known)
        if name in places:
            raise BadInput(f"the CSV names {name} twice", field=name)
        places[name] = index
    found = {}
    for name, spec in known.items():
        if name not in places:
            raise BadInput(f"the CSV has no column {name}", field=name)
        if len(spec.shape) != 1 and spec.shape[1:] != (1,):
            raise BadInput(f"{name} has the shape {list(spec.shape)}: not one column of a CSV", field=name)
        values = list(_cells(spec, name, ((line, row[places[name]]) for line, row in rows)))
        found[name] = array_of(spec, values).reshape((len(rows), *spec.shape[1:]))
    return found


def _matrix(header: list[str], rows: list[tuple[int, list[str]]], spec: TensorSpec) -> dict[str, Array]:
    width = spec.shape[1]
    if width not in (-1, len(header)):
        raise BadInput(f"the CSV has {len(header)} columns, {spec.name} {width}", field=spec.name)
    numbered = header == [str(index) for index in range(len(header))]
    if not numbered and all(_is_number(name) for name in header):
        raise BadInput("the first line of the CSV holds numbers", cause="it must name the columns")
    cells = ((line, row, index) for line, row in rows for index in range(len(row)))
    values = [
        value for line, row, index in cells for value in _cells(spec, header[index], [(line, row[index])])
    ]
    return {spec.name: array_of(spec, values).reshape(len(rows), len(header))}


def _cells(spec: TensorSpec, column: str, cells: Iterable[tuple[int, str]]) -> Iterator[Any]:
    """The values of text fields, given with their lines."""
    for line, text in cells:
        try:
            yield parse_field(spec, text)
        except ValueError as error:
            raise BadInput(f"line {line}, {column}: {text[:40]!r} {error}", field=column) from None


def parse_field(spec: TensorSpec, text: str) -> Any:
    """One field; raises ValueError with the second half of a sentence."""
    if spec.datatype == "BYTES":
        return None if text == "" and spec.nullable else text
    text = text.strip()
    if text.lower() in _MISSING:
        if spec.nullable:
            return None
        raise ValueError("is missing, and not nullable")
    if spec.datatype == "BOOL" and text.lower() in _TRUTH:
        return _TRUTH[text.lower()]
    if is_whole(spec.datatype) and _WHOLE.fullmatch(text):
        return int(text)
    if spec.datatype != "BOOL" and _is_number(text):
        value = float(text)
        if value in (float("inf"), float("-inf")):
            raise ValueError("is infinite")
        if is_float(spec.datatype) or value.is_integer():
            return value
    raise ValueError(f"is not {word_for(spec.datatype)}")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text
