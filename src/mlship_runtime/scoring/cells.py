"""Cells of one column to an array: text as CSV has it, or values as JSON has them. The quick way answers only
where the thorough one would answer the same; the thorough one says of each bad cell why it is bad."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable, Optional

import numpy as np
import orjson

from mlship_runtime.bundle.spec import TensorSpec
from mlship_runtime.errors import BadInput
from mlship_runtime.model.columns import parse_field
from mlship_runtime.model.datatypes import EXACT_WHOLE, NUMPY_TYPES, Array, column_type, is_float
from mlship_runtime.model.tensors import array_of, decode_tensor

Wrong = dict[int, str]  # why, by the index of the cell

_NUMERIC = b"0123456789+-.eE,"
_TRUTH = {"true": True, "false": False, "1": True, "0": False, "True": True, "False": False}
_MISSING = frozenset(("", "NA", "NaN", "nan", "null", "NULL", "None"))


def read_cells(spec: TensorSpec, cells: Sequence[str]) -> tuple[Array, Wrong]:
    """The array of a column's text fields, one element for each; those of `Wrong` mean nothing."""
    array = _quick(spec, cells)
    if array is not None:
        return array, {}
    values, wrong = [], {}
    for at, cell in enumerate(cells):
        try:
            values.append(parse_field(spec, cell))
        except ValueError as error:
            values.append(_stand_in(spec))
            wrong[at] = f"{cell[:40]!r} {error}"
    return _array(spec, values, wrong, lambda value: array_of(spec, [value]))


def read_values(spec: TensorSpec, values: list[Any]) -> tuple[Array, Wrong]:
    """The array of a column's values as a JSON decoder gives them, lists where the input has more dimensions;
    those of `Wrong` mean nothing."""
    if len(spec.shape) == 1:
        return _array(spec, values, {}, lambda value: array_of(spec, [value]))
    rows: list[Optional[Array]] = []
    wrong: Wrong = {}
    for at, value in enumerate(values):
        try:
            rows.append(decode_tensor(spec, spec.datatype, _shape([value]), [value]))
        except BadInput as fault:
            wrong[at] = _reason(fault)
            rows.append(None)
    sizes = next((row.shape for row in rows if row is not None), None)
    for at, row in enumerate(rows):
        if row is not None and row.shape != sizes:
            wrong[at] = f"its shape is {list(row.shape[1:])}, before it was {list(sizes or ())[1:]}"
    blank = np.zeros(sizes or (1, *(1 for _ in spec.shape[1:])), column_type(spec))
    good = [blank if row is None or at in wrong else row for at, row in enumerate(rows)]
    return np.concatenate(good), wrong


def floats(flat: bytes) -> Optional[Array]:
    """Numbers between commas, an empty place as NaN; None unless each is a number as JSON writes it. The
    decoder for JSON is the fastest strict reader of numbers that there is here."""
    if flat.translate(None, _NUMERIC):
        return None
    edged = b"," + flat + b","
    if b"-0," in edged:  # to JSON it is the whole number 0
        return None
    if b",," in edged:
        edged = edged.replace(b",,", b",null,").replace(b",,", b",null,")
    try:
        return np.array(orjson.loads(b"[" + edged[1:-1] + b"]"), np.float64)
    except orjson.JSONDecodeError:
        return None


def cast(spec: TensorSpec, array: Array, complete: bool = False) -> Optional[Array]:
    """Numbers in the type of `spec`; None if one is missing, too large or no whole number where it must be.
    `complete` says that none is missing."""
    missing = None if complete else np.isnan(array)
    gaps = missing is not None and bool(missing.any())
    if gaps and not spec.nullable:
        return None
    if is_float(spec.datatype):
        try:
            with np.errstate(over="raise"):
                return array.astype(column_type(spec), copy=False)
        except FloatingPointError:
            return None
    known = array[~missing] if gaps and missing is not None else array
    limits = np.iinfo(NUMPY_TYPES[spec.datatype])
    low, high = max(int(limits.min), -EXACT_WHOLE), min(int(limits.max), EXACT_WHOLE)
    if known.size and (known.min() < low or known.max() > high or (known != np.floor(known)).any()):
        return None
    # 2^53 may be the rounded form of its neighbour, which only the thorough way can tell.
    if known.size and np.abs(known).max() >= EXACT_WHOLE:
        return None
    return (array + 0.0).astype(column_type(spec), copy=False)  # -0.0 is no whole number: it is 0


def _quick(spec: TensorSpec, cells: Sequence[str]) -> Optional[Array]:
    if spec.datatype == "BYTES":
        return _objects([cell or None for cell in cells] if spec.nullable else cells)
    if spec.datatype == "BOOL":
        try:
            return np.array([_TRUTH[cell] for cell in cells], column_type(spec))
        except KeyError:
            return None
    if spec.nullable:
        cells = ["" if cell in _MISSING else cell for cell in cells]
    array = floats(",".join(cells).encode())
    return None if array is None else cast(spec, array)


def _objects(values: Sequence[Any]) -> Array:
    array = np.empty(len(values), object)
    array[:] = values
    return array


def _array(
    spec: TensorSpec, values: list[Any], wrong: Wrong, alone: Callable[[Any], Array]
) -> tuple[Array, Wrong]:
    """All values at once, or, where that is refused, each by itself to see which are wrong."""
    try:
        return array_of(spec, values), wrong
    except BadInput:
        wrong, values = dict(wrong), list(values)
    for at, value in enumerate(values):
        try:
            alone(value)
        except BadInput as fault:
            wrong[at] = _reason(fault)
            values[at] = _stand_in(spec)
    return array_of(spec, values), wrong


def _stand_in(spec: TensorSpec) -> Any:
    """A value for a cell that has none, so that the others keep their places."""
    if spec.nullable:
        return None
    return "" if spec.datatype == "BYTES" else spec.datatype == "BOOL" or 0


def _shape(values: Any) -> list[int]:
    shape: list[int] = []
    while isinstance(values, list) and len(shape) < 8:
        shape.append(len(values))
        values = values[0] if values else None
    return shape


def _reason(fault: BadInput) -> str:
    """What is wrong with a value that was looked at alone: of rows there was only one."""
    return str(fault).replace(f"{fault.field}, row 0 ", "").replace(f"{fault.field}: ", "").strip()
