"""The V2 datatypes and their numpy types. A nullable whole number or truth value is a float64 column, so that
a missing value can be NaN; BYTES are object arrays of str or None.

Source of the names: Open Inference Protocol, version 2, "Tensor Data Types".
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mlship_runtime.bundle.spec import TensorSpec

Array = np.ndarray[Any, Any]

NUMPY_TYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BYTES": np.dtype(object),
}
EXACT_WHOLE = 1 << 53  # whole numbers up to here are exact in float64
_NAMES = {dtype: name for name, dtype in NUMPY_TYPES.items()}
_WORDS = {"B": "true or false", "I": "a whole number", "U": "a whole number", "F": "a number", "T": "a text"}


def datatype_of(dtype: np.dtype[Any]) -> str:
    """The V2 name of a numpy type; texts and objects are BYTES. Raises KeyError if V2 has no name for it."""
    return "BYTES" if dtype.kind in "UO" else _NAMES[dtype.newbyteorder("=")]


def is_float(datatype: str) -> bool:
    return datatype.startswith("FP")


def is_whole(datatype: str) -> bool:
    return datatype.startswith(("INT", "UINT"))


def limits_of(datatype: str) -> tuple[Any, Any]:
    """The least and the largest number of a datatype."""
    dtype = NUMPY_TYPES[datatype]
    if is_float(datatype):
        return float(np.finfo(dtype).min), float(np.finfo(dtype).max)
    return int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)


def column_type(spec: TensorSpec) -> np.dtype[Any]:
    """The numpy type in which columns of `spec` travel through the pipeline."""
    if spec.nullable and (is_whole(spec.datatype) or spec.datatype == "BOOL"):
        return NUMPY_TYPES["FP64"]
    return NUMPY_TYPES[spec.datatype]


def word_for(datatype: str) -> str:
    """What a value of `datatype` is called in a message."""
    return _WORDS["T" if datatype == "BYTES" else datatype[0]]


def accepts(wanted: str, given: str) -> bool:
    """Whether a tensor said to be `given` may feed one that is `wanted` without loss; whole numbers for
    floats are accepted here and must then be compared value by value."""
    if wanted == given:
        return True
    if given not in NUMPY_TYPES or "BYTES" in (wanted, given) or "BOOL" in (wanted, given):
        return False
    if is_whole(given) and is_float(wanted):
        return True
    return bool(np.can_cast(NUMPY_TYPES[given], NUMPY_TYPES[wanted], "safe"))
