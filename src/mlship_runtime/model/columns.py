"""Columns: named arrays, batch first; checked against the schema."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mlship_runtime.bundle.spec import TensorSpec
from mlship_runtime.errors import BadInput
from mlship_runtime.model.csv_columns import read_csv
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
