"""Read a `.npy` file without numpy: header and values of a plain array.

Format: NumPy enhancement proposal 1 (numpy.lib.format), versions 1.0 to 3.0.
"""

from __future__ import annotations

import array
import ast
import math
import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlship.errors import BuildError

_MAGIC = b"\x93NUMPY"
_KINDS = {
    "f4": ("FP32", "f"), "f8": ("FP64", "d"), "b1": ("BOOL", "B"),
    "i1": ("INT8", "b"), "i2": ("INT16", "h"), "i4": ("INT32", "i"), "i8": ("INT64", "q"),
    "u1": ("UINT8", "B"), "u2": ("UINT16", "H"), "u4": ("UINT32", "I"), "u8": ("UINT64", "Q"),
}  # fmt: skip


@dataclass(frozen=True)
class NpyArray:
    """`data` is flat in row-major order, one row of `width` values after the other."""

    datatype: str
    shape: tuple[int, ...]
    data: list[Any]


def read_npy(path: Path, *, dimensions: int = 2) -> NpyArray:
    """The array in `path`; raises BuildError for other files, for arrays of objects and text, and for those
    with fewer `dimensions`."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BuildError(f"{path.name} cannot be read", cause=error.strerror or str(error)) from error
    descr, fortran, shape, start = _header(path.name, content)
    if descr[1:] not in _KINDS:
        raise BuildError(f"{path.name} holds values of type {descr}", fix="Save numbers or truth values")
    if len(shape) < dimensions or 0 in shape:
        raise BuildError(
            f"{path.name} has the shape {list(shape)}",
            cause="examples need rows and columns, [rows, columns, …]"
            if dimensions > 1
            else "there are no values in it",
        )
    datatype, code = _KINDS[descr[1:]]
    values = array.array(code)
    if len(content) - start != math.prod(shape) * values.itemsize:
        raise BuildError(f"{path.name} is cut short or too long for its shape {list(shape)}")
    values.frombytes(content[start:])
    if descr[0] == (">" if sys.byteorder == "little" else "<"):
        values.byteswap()
    data: list[Any] = values.tolist()
    if fortran:
        data = _row_major(data, shape)
    return NpyArray(datatype, shape, [bool(value) for value in data] if datatype == "BOOL" else data)


def _header(name: str, content: bytes) -> tuple[str, bool, tuple[int, ...], int]:
    if content[:6] != _MAGIC or len(content) < 12:
        raise BuildError(f"{name} is not a .npy file", fix="Write it with numpy.save")
    wide = content[6] >= 2
    (length,) = struct.unpack_from("<I" if wide else "<H", content, 8)
    start = (12 if wide else 10) + length
    try:
        header = ast.literal_eval(content[start - length : start].decode("utf-8").strip())
        descr, fortran, shape = header["descr"], header["fortran_order"], header["shape"]
        whole = tuple(int(size) for size in shape)
    except (ValueError, SyntaxError, KeyError, TypeError) as error:
        raise BuildError(f"{name} has a broken .npy header", cause=str(error)) from error
    if not isinstance(descr, str):
        raise BuildError(f"{name} holds records", fix="Save a plain array of numbers")
    return descr, bool(fortran), whole, start


def _row_major(data: list[Any], shape: tuple[int, ...]) -> list[Any]:
    """Column-major values re-ordered; only the order of indices changes."""
    strides = [math.prod(shape[:axis]) for axis in range(len(shape))]
    offsets = [0]
    for size, stride in zip(shape, strides, strict=True):
        offsets = [offset + step * stride for offset in offsets for step in range(size)]
    return [data[offset] for offset in offsets]
