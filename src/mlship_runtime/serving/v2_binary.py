"""The binary tensor extension of V2: the JSON part first, then the bytes of the tensors that it announces,
in its order, little-endian and row-major; each element of a BYTES tensor behind its length in 4 bytes.

Source: Triton Inference Server, "Binary Tensor Data Extension".
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, Optional

import numpy as np

from mlship_runtime.bundle.spec import TensorSpec
from mlship_runtime.errors import BadInput
from mlship_runtime.model.columns import check_column, check_finite
from mlship_runtime.model.datatypes import NUMPY_TYPES, Array, column_type
from mlship_runtime.model.tensors import array_of, check_accepted, fit_shape, shown_shape, shown_size

LENGTH_HEADER = b"inference-header-content-length"
_LENGTH = "Inference-Header-Content-Length"
_PREFIX = 4  # bytes before each element of a BYTES tensor
_WIRE_TYPES = {name: dtype.newbyteorder("<") for name, dtype in NUMPY_TYPES.items() if name != "BYTES"}


def json_length(said: bytes, body: bytes) -> int:
    """How many bytes of `body` are JSON, as the header says; raises BadInput."""
    if not said.isdigit() or len(said) > 18:
        raise BadInput(f"{_LENGTH} is not a number of bytes")
    if int(said) > len(body):
        raise BadInput(f"{_LENGTH} is {int(said)}, the body has {len(body)} bytes")
    return int(said)


class Tail:
    """The bytes behind the JSON part, which begin at `at`; none where that is None."""

    def __init__(self, body: bytes, at: Optional[int], *, writable: bool) -> None:
        self._body, self._at, self._writable = body, at, writable

    @property
    def is_there(self) -> bool:
        return self._at is not None

    def take(self, spec: TensorSpec, datatype: str, shape: Sequence[int], size: int) -> Array:
        """The next `size` bytes as an array of the shape and type of `spec`: the very bytes of the body where
        they can be. Raises BadInput."""
        name = spec.name
        if self._at is None:
            what = f"{name} has a binary_data_size, the request no {_LENGTH}"
            raise BadInput(what, field=name)
        check_accepted(spec, datatype)
        fitted = fit_shape(spec, shape)
        at, self._at = self._at, self._at + size
        if self._at > len(self._body):
            what = f"{name}: binary_data_size is {shown_size(size)}, {len(self._body) - at} bytes are left"
            raise BadInput(what, field=name)
        if datatype == "BYTES":
            texts = _texts(name, memoryview(self._body)[at : self._at], prod(fitted))
            return array_of(spec, texts).reshape(fitted)
        return self._numbers(spec, datatype, fitted, at, size)

    def check_end(self) -> None:
        """Raise BadInput if bytes are left that no tensor took."""
        left = 0 if self._at is None else len(self._body) - self._at
        if left:
            raise BadInput(f"the body has {left} bytes behind its last tensor")

    def _numbers(self, spec: TensorSpec, datatype: str, shape: tuple[int, ...], at: int, size: int) -> Array:
        dtype, count = _WIRE_TYPES[datatype], prod(shape)
        if size != count * dtype.itemsize:
            takes = f"{shown_shape(shape)} of {datatype} takes {shown_size(count * dtype.itemsize)}"
            raise BadInput(f"{spec.name}: binary_data_size is {size}, {takes}", field=spec.name)
        array = np.frombuffer(self._body, dtype, count, at).reshape(shape)
        if datatype == "BOOL" and array.view(np.uint8).max() > 1:
            raise BadInput(f"{spec.name} holds a byte that is neither 0 nor 1", field=spec.name)
        if datatype != spec.datatype or dtype != column_type(spec):
            return check_column(spec, array)
        if dtype.kind == "f":
            check_finite(spec, array)
        return array.copy() if self._writable or not array.flags.aligned else array


def _texts(name: str, data: memoryview, count: int) -> list[str]:
    at, texts = 0, list[str]()
    while at < len(data):
        length = int.from_bytes(data[at : at + _PREFIX], "little")
        start, at = at + _PREFIX, at + _PREFIX + length
        if at > len(data) or len(texts) == count:
            raise _not_filled(name, count)
        try:
            texts.append(str(data[start:at], "utf-8"))
        except UnicodeDecodeError as error:
            what = f"{name}: text {len(texts)} is not UTF-8"
            raise BadInput(what, cause=str(error), field=name) from None
    if len(texts) != count:
        raise _not_filled(name, count)
    return texts


def _not_filled(name: str, count: int) -> BadInput:
    return BadInput(f"{name}: its bytes are not those of {shown_size(count)} texts", field=name)


def output_bytes(datatype: str, array: Array) -> Optional[bytes]:
    """An output as it travels; None if only JSON can say it (a missing text or whole number)."""
    if datatype == "BYTES":
        return _text_bytes(array.ravel().tolist())
    dtype = _WIRE_TYPES[datatype]
    if array.dtype.kind == "f" and dtype.kind != "f" and np.isnan(array).any():
        return None
    return array.astype(dtype, copy=False).tobytes()


def _text_bytes(texts: list[Any]) -> Optional[bytes]:
    parts: list[bytes] = []
    for text in texts:
        if text is None:
            return None
        data = text.encode()
        parts += (len(data).to_bytes(_PREFIX, "little"), data)
    return b"".join(parts)
