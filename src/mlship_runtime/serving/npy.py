"""One array of numbers in NumPy's own format (.npy): never a pickle, and no Python is read in its header.

Source: NumPy, "A Simple File Format for NumPy Arrays", versions 1.0 and 2.0, as `numpy.save` writes them.
"""

from __future__ import annotations

import io
import re
from math import prod

import numpy as np

from mlship_runtime.errors import BadInput
from mlship_runtime.model.datatypes import Array
from mlship_runtime.model.tensors import shown_shape, shown_size

_MOST_DIMENSIONS = 32
_START = re.compile(rb"\x93NUMPY(?:\x01\0(..)|\x02\0(....))", re.DOTALL)
_HEADER = re.compile(
    rb"\{'descr': '([<>|]\w\d{0,9})', 'fortran_order': (True|False), "
    rb"'shape': \(((?:\d{1,18}, ?)*(?:\d{1,18})?)\), \} *\n"
)


def decoded(body: bytes) -> Array:
    """The array; raises BadInput."""
    start = _START.match(body)
    if start is None:
        raise BadInput("the body is no array of NumPy (.npy)")
    at = start.end() + int.from_bytes(start[1] or start[2], "little")
    header = _HEADER.fullmatch(body[start.end() : at])
    if header is None or at > len(body):
        cause = "its header is not as numpy.save writes it"
        raise BadInput("the body is no array of NumPy (.npy)", cause=cause)
    shape = tuple(int(size) for size in re.findall(rb"\d+", header[3]))
    if len(shape) > _MOST_DIMENSIONS:
        raise BadInput(f"the array has {len(shape)} dimensions")
    dtype = _numbers(header[1].decode())
    size = prod(shape) * dtype.itemsize
    if size != len(body) - at:
        takes = f"an array of {shown_shape(shape)} takes {shown_size(size)} bytes"
        raise BadInput(f"{takes}, {len(body) - at} follow its header")
    array = np.frombuffer(body, dtype, offset=at) if prod(shape) else np.empty(0, dtype)
    return array.reshape(shape, order="F" if header[2] == b"True" else "C").astype(dtype.newbyteorder("="))


def _numbers(name: str) -> np.dtype[np.generic]:
    try:
        found = np.dtype(name)
    except TypeError:  # a size that there is not
        found = None
    if found is not None and found.kind in "biuf":
        return found
    raise BadInput(f"the array holds {name}, not numbers", fix="Send other values as CSV or JSON")


def encoded(array: Array) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=False)
    return out.getvalue()
