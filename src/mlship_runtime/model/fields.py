"""Text fields of CSV as values. The quick way takes a whole column, and only where the thorough one would
answer the same; the thorough one says of a bad field why it is bad."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import isfinite
from typing import Any, Optional

import numpy as np
import orjson

from mlship_runtime.bundle.spec import TensorSpec
from mlship_runtime.model.datatypes import (
    EXACT_WHOLE,
    NUMPY_TYPES,
    Array,
    column_type,
    is_float,
    is_whole,
    word_for,
)

_MISSING = frozenset(("", "na", "nan", "null", "none"))
_TRUTH = {"true": True, "1": True, "false": False, "0": False}
_WHOLE = re.compile(r"[+-]?[0-9]+")
_NUMERIC = b"0123456789+-.eE,"
_PLAIN_TRUTH = {"true": True, "false": False, "1": True, "0": False, "True": True, "False": False}
_PLAIN_MISSING = frozenset(("", "NA", "NaN", "nan", "null", "NULL", "None"))


def parse_field(spec: TensorSpec, text: str) -> Any:
    """One field; raises ValueError with the second half of a sentence."""
    if spec.datatype == "BYTES":
        return None if text == "" and spec.nullable else text
    if is_float(spec.datatype) and is_number(text) and isfinite(value := float(text)):
        return value
    text = text.strip()
    if text.lower() in _MISSING:
        if spec.nullable:
            return None
        raise ValueError("is missing, and not nullable")
    if spec.datatype == "BOOL" and text.lower() in _TRUTH:
        return _TRUTH[text.lower()]
    if is_whole(spec.datatype) and _WHOLE.fullmatch(text):
        return int(text)
    if spec.datatype != "BOOL" and is_number(text):
        value = float(text)
        if value in (float("inf"), float("-inf")):
            raise ValueError("is infinite")
        if is_float(spec.datatype) or value.is_integer():
            return value
    raise ValueError(f"is not {word_for(spec.datatype)}")


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text


def field_array(spec: TensorSpec, cells: Sequence[str]) -> Optional[Array]:
    """All of a column's fields at once, where that gives what `parse_field` would of each; else None."""
    if spec.datatype == "BYTES":
        return _objects([cell or None for cell in cells] if spec.nullable else cells)
    if spec.datatype == "BOOL":
        try:
            return np.array([_PLAIN_TRUTH[cell] for cell in cells], column_type(spec))
        except KeyError:
            return None
    if spec.nullable:
        cells = ["" if cell in _PLAIN_MISSING else cell for cell in cells]
    array = floats(",".join(cells).encode())
    return None if array is None else cast(spec, array)


def _objects(values: Sequence[Any]) -> Array:
    array = np.empty(len(values), object)
    array[:] = values
    return array


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
