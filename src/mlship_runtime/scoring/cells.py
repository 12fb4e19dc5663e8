"""Cells of one column to an array, and of each bad one why it is bad: text as CSV has it, or values as JSON
has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable, Optional

import numpy as np

from mlship_runtime.bundle.spec import TensorSpec
from mlship_runtime.errors import BadInput
from mlship_runtime.model.datatypes import Array, column_type
from mlship_runtime.model.fields import field_array, parse_field
from mlship_runtime.model.tensors import array_of, decode_tensor

Wrong = dict[int, str]  # why, by the index of the cell


def read_cells(spec: TensorSpec, cells: Sequence[str]) -> tuple[Array, Wrong]:
    """The array of a column's text fields, one element for each; those of `Wrong` mean nothing."""
    array = field_array(spec, cells)
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
