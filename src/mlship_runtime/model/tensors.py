"""V2 JSON tensors to numpy and back, strictly: a deviation is a BadInput that names the tensor and the row.

JSON form: {name, datatype, shape, data}; `data` is flat (row-major) or nested like the shape; missing = null.
For BOOL, 0 and 1 are false and true as in CSV; no other number is.
This is the thorough path; `v2` has a fast one for well-formed requests that ends here when in doubt.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from mlship_runtime.bundle.spec import TensorSpec
from mlship_runtime.errors import BadInput
from mlship_runtime.model.datatypes import (
    EXACT_WHOLE,
    NUMPY_TYPES,
    Array,
    accepts,
    column_type,
    is_float,
    is_whole,
    word_for,
)

_PYTHON_TYPES: dict[str, set[type]] = {
    "B": {bool},
    "I": {int, float},
    "U": {int, float},
    "F": {int, float},
    "T": {str},
}


def to_tensors(arrays: Mapping[str, Array], specs: Iterable[TensorSpec]) -> list[dict[str, Any]]:
    """Arrays as JSON tensors with flat data, in the order of `specs`; NaN, infinity and None become null."""
    return [
        {
            "name": spec.name,
            "datatype": spec.datatype,
            "shape": list(arrays[spec.name].shape),
            "data": json_values(spec.datatype, arrays[spec.name]),
        }
        for spec in specs
    ]


def json_values(datatype: str, array: Array) -> list[Any]:
    """The flat values of `array` as JSON has them; a float column that stands for nullable whole numbers
    gives whole numbers."""
    flat = array.ravel()
    values: list[Any] = flat.tolist()
    if flat.dtype.kind != "f":
        return values
    missing = ~np.isfinite(flat)
    if is_float(datatype):
        if missing.any():
            values = [None if gone else value for value, gone in zip(values, missing.tolist())]
        return values
    kind = bool if datatype == "BOOL" else int
    return [None if gone else kind(value) for value, gone in zip(values, missing.tolist())]


def from_tensors(tensors: Iterable[Mapping[str, Any]], specs: Sequence[TensorSpec]) -> dict[str, Array]:
    """JSON tensors as arrays of the types that `specs` say; raises BadInput."""
    known = {spec.name: spec for spec in specs}
    found: dict[str, Array] = {}
    for tensor in tensors:
        name = tensor["name"]
        if name not in known:
            raise unknown_input(name, known)
        if name in found:
            raise BadInput(f"{name} is given twice", field=name)
        found[name] = decode_tensor(known[name], tensor["datatype"], tensor["shape"], tensor["data"])
    check_complete(found, known)
    return found


def too_large(spec: TensorSpec) -> BadInput:
    return BadInput(f"{spec.name} holds a number too large for {spec.datatype}", field=spec.name)


def unknown_input(name: str, known: Iterable[str]) -> BadInput:
    return BadInput(
        f"{name[:80]} is not an input of this model", field=name, cause=f"it reads {_listed(known)}"
    )


def check_complete(found: Mapping[str, Array], known: Iterable[str]) -> None:
    """Raise BadInput unless every name of `known` is in `found` and all arrays have equally many rows."""
    rows, first = -1, ""
    for name in known:
        array = found.get(name)
        if array is None:
            raise BadInput(f"{name} is missing", field=name)
        if rows < 0:
            rows, first = len(array), name
        elif len(array) != rows:
            raise BadInput(f"{name} has {len(array)} rows, {first} has {rows}", field=name)


def decode_tensor(spec: TensorSpec, datatype: str, shape: Sequence[int], data: Any) -> Array:
    """One JSON tensor as an array of the shape and type of `spec`; raises BadInput."""
    check_accepted(spec, datatype)
    fitted = fit_shape(spec, shape)
    if not isinstance(data, list):
        raise BadInput(f"{spec.name}: data is not a list", field=spec.name)
    values = _flat(spec, data, shape)
    array = array_of(spec, values).reshape(fitted)
    if is_whole(datatype) and is_float(spec.datatype):
        _check_exact(spec, values, array)
    return array


def check_accepted(spec: TensorSpec, datatype: str) -> None:
    """Raise BadInput if a tensor said to be of `datatype` cannot feed `spec`."""
    if not accepts(spec.datatype, datatype):
        raise BadInput(f"{spec.name} is {spec.datatype}, not {datatype[:40]}", field=spec.name)


def fit_shape(spec: TensorSpec, shape: Sequence[int]) -> tuple[int, ...]:
    """`shape` in the rank of `spec` ([N] and [N, 1] are the same column); BadInput if it does not fit."""
    given, wanted = tuple(shape), spec.shape
    if len(given) == 2 and len(wanted) == 1 and given[1] == 1:
        given = given[:1]
    elif len(given) == 1 and len(wanted) == 2 and wanted[1] in (1, -1):
        given = (*given, 1)
    fits = len(given) == len(wanted) and all(size in (-1, given[axis]) for axis, size in enumerate(wanted))
    if any(size < 0 for size in given):
        cause = "-1 stands for any size in a schema, not in a request"
        raise BadInput(
            f"{spec.name}: shape {shown_shape(shape)} must give its sizes", field=spec.name, cause=cause
        )
    if not fits:
        raise BadInput(
            f"{spec.name}: shape {shown_shape(shape)} does not fit {list(wanted)}", field=spec.name
        )
    if prod(given) == 0:
        raise BadInput(f"{spec.name}: shape {shown_shape(shape)} holds no values", field=spec.name)
    return given


def shown_shape(shape: Sequence[int]) -> str:
    """A shape that a client gave, no longer than a line."""
    sizes = [shown_size(size) for size in shape[:8]]
    return f"[{', '.join(sizes + ['…'] * (len(shape) > 8))}]"


def shown_size(size: int) -> str:
    """Python refuses to write out what is very large."""
    return str(size) if abs(size) < 1 << 80 else "…"


def array_of(spec: TensorSpec, values: list[Any]) -> Array:
    """Flat Python values (from JSON or CSV; None = missing) as a flat array of the type of `spec`."""
    kinds = set(map(type, values))
    allowed = _PYTHON_TYPES["T" if spec.datatype == "BYTES" else spec.datatype[0]]
    if type(None) in kinds and not spec.nullable:
        place = _place(spec, values.index(None))
        raise BadInput(f"{place} is null", field=spec.name, cause="it is not nullable")
    if spec.datatype == "BOOL" and int in kinds:
        values = [bool(value) if type(value) is int and value in (0, 1) else value for value in values]
        kinds = set(map(type, values))
    if kinds - allowed - {type(None)}:
        fits = [value is None or type(value) in allowed for value in values]
        raise _wrong_value(spec, fits.index(False), values)
    if is_whole(spec.datatype):
        values = _whole(spec, values)
    try:
        with np.errstate(over="raise"):
            array = np.array(values, column_type(spec))
    except (OverflowError, FloatingPointError) as error:
        raise _beyond(spec, values) from error
    if is_float(spec.datatype):
        wrong = np.isinf(array) if spec.nullable else ~np.isfinite(array)
        if wrong.any():
            raise _wrong_value(spec, int(wrong.argmax()), values)
    return array


def _beyond(spec: TensorSpec, values: list[Any]) -> BadInput:
    """The first of the numbers that the type of `spec` cannot hold."""
    largest = float(np.finfo(column_type(spec)).max) if column_type(spec).kind == "f" else 0.0
    for index, value in enumerate(values):
        if value is not None and not -largest <= value <= largest:
            what = f"{_place(spec, index)} is {str(value)[:40]}, too large for {spec.datatype}"
            return BadInput(what, field=spec.name)
    return too_large(spec)


def _whole(spec: TensorSpec, values: list[Any]) -> list[Any]:
    """Whole numbers in the range of the datatype: checked here because nullable ones travel as float64."""
    limits = np.iinfo(NUMPY_TYPES[spec.datatype])
    low, high = int(limits.min), int(limits.max)
    if spec.nullable:
        low, high = max(low, -EXACT_WHOLE), min(high, EXACT_WHOLE)
    for index, value in enumerate(values):
        if value is not None and (value != value // 1 or not low <= value <= high):
            raise _wrong_value(spec, index, values)
    return [value if value is None else int(value) for value in values]


def _wrong_value(spec: TensorSpec, index: int, values: list[Any]) -> BadInput:
    shown = repr(values[index])[:40]
    what = f"{_place(spec, index)} is {shown}, not {word_for(spec.datatype)} ({spec.datatype})"
    return BadInput(what, field=spec.name)


def _place(spec: TensorSpec, index: int) -> str:
    """Where a flat index is, in words; rows count from 0 as in the request."""
    if all(size != -1 for size in spec.shape[1:]):
        return f"{spec.name}, row {index // prod(spec.shape[1:])}"
    return spec.name


def _flat(spec: TensorSpec, data: list[Any], shape: Sequence[int]) -> list[Any]:
    """`data` flat, whether it came flat or nested like `shape`."""
    nested = any(isinstance(item, list) for item in data)
    sizes, values = (tuple(shape), data) if nested else ((prod(shape),), data)
    for depth, size in enumerate(sizes):
        lists = [values] if depth == 0 else values
        if any(not isinstance(item, list) or len(item) != size for item in lists):
            raise BadInput(f"{spec.name}: data does not fill shape {shown_shape(shape)}", field=spec.name)
        values = [value for item in lists for value in item]
    return values


def _check_exact(spec: TensorSpec, values: list[Any], array: Array) -> None:
    """Whole numbers for a float tensor must survive the change of type."""
    for index, kept in enumerate(array.ravel().tolist()):
        if values[index] is not None and kept != values[index]:
            what = f"{_place(spec, index)}: {values[index]} has no exact {spec.datatype}"
            raise BadInput(what, field=spec.name)


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
