"""Values as V2 tensors and back. What has the buffer protocol (NumPy arrays, array.array, memoryview) travels
as the bytes that it is, lists as JSON."""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Optional, Union

from mlship_runtime.errors import BadInput

LENGTH_HEADER = "Inference-Header-Content-Length"
_FORMATS = {
    "BOOL": "?", "FP16": "e", "FP32": "f", "FP64": "d",
    "INT8": "b", "INT16": "h", "INT32": "i", "INT64": "q",
    "UINT8": "B", "UINT16": "H", "UINT32": "I", "UINT64": "Q",
}  # fmt: skip
_DATATYPES = {letter: name for name, letter in _FORMATS.items()}
_LONG = "i" if struct.calcsize("l") == 4 else "q"
_DATATYPES.update({"l": _DATATYPES[_LONG], "L": _DATATYPES[_LONG.upper()]})
_NOT_ARRAYS = (str, bytes, bytearray)


@dataclass(frozen=True)
class Tensor:
    """An output. `data` is flat: a list, or the bytes of the answer as a memoryview of numbers."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: Union[list[Any], memoryview[Any]]

    def tolist(self) -> list[Any]:
        """The values, nested as the shape says."""
        values: list[Any] = list(self.data)
        for size in reversed(self.shape[1:]):
            values = (
                [values[start : start + size] for start in range(0, len(values), size)] if size else values
            )
        return values


def encoded(
    inputs: Mapping[str, Any], known: Mapping[str, str], more: Mapping[str, Any]
) -> tuple[bytes, Optional[int]]:
    """The body of an infer request, and how much of it is JSON, if not all. `known` has the datatypes of
    inputs that are lists, `more` is what stands beside the inputs. Raises BadInput."""
    tensors, parts = [], []
    for name, value in inputs.items():
        view = buffer_of(value)
        if view is None:
            tensors.append(_in_json(name, value, known.get(name, "")))
            continue
        parameters = {"binary_data_size": view.nbytes}
        datatype = _DATATYPES[view.format.lstrip("<=@")]
        shape = list(view.shape or ())
        tensors.append({"name": name, "datatype": datatype, "shape": shape, "parameters": parameters})
        parts.append(view if view.c_contiguous else memoryview(view.tobytes()))
    try:
        head = json.dumps({"inputs": tensors, **more}, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError) as error:
        raise BadInput(
            "the inputs have no JSON", cause=str(error), fix="Send None for a missing value"
        ) from None
    if not parts:
        return head, None
    head += b" " * (-len(head) % 8)  # so that the server can use the bytes where they are
    return b"".join((head, *parts)), len(head)


def buffer_of(value: Any) -> Optional[memoryview[Any]]:
    """The memory of an array of numbers that can travel as it is; None for all else."""
    if isinstance(value, _NOT_ARRAYS) or sys.byteorder != "little":
        return None
    try:
        view = memoryview(value)
    except (TypeError, ValueError, BufferError):
        return None
    return view if view.format.lstrip("<=@") in _DATATYPES and view.ndim else None


def decoded(body: bytes, json_length: Optional[str]) -> tuple[Mapping[str, Any], dict[str, Tensor]]:
    """The document of an infer answer and its outputs; raises ValueError or LookupError for what is none."""
    at = len(body) if json_length is None else int(json_length)
    document = json.loads(body[:at])
    outputs = {}
    for output in document["outputs"]:
        size = (output.get("parameters") or {}).get("binary_data_size")
        if size is None:
            data: Union[list[Any], memoryview[Any]] = output["data"]
        else:
            data = _values(output["datatype"], memoryview(body)[at : at + size], prod(output["shape"]))
            at += size
        tensor = Tensor(output["name"], output["datatype"], tuple(output["shape"]), data)
        outputs[tensor.name] = tensor
    return document, outputs


def _in_json(name: str, value: Any, datatype: str) -> dict[str, Any]:
    if not datatype:
        raise BadInput(f"{name} is not an input of this model", field=name)
    values = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(values, _NOT_ARRAYS) or not isinstance(values, Iterable):
        raise BadInput(f"{name} is neither a list nor an array", field=name)
    values = list(values)
    shape: list[int] = []
    inner: Any = values
    while isinstance(inner, (list, tuple)):
        shape.append(len(inner))
        inner = inner[0] if inner else None
    return {"name": name, "datatype": datatype, "shape": shape, "data": values}


def _values(datatype: str, data: memoryview[Any], count: int) -> Union[list[Any], memoryview[Any]]:
    if datatype == "BYTES":
        return _texts(data)
    letter: Any = _FORMATS[datatype]
    if letter == "e" or sys.byteorder != "little":  # which a memoryview cannot be
        return list(struct.unpack(f"<{count}{letter}", data))
    return data.cast(letter)


def _texts(data: Sequence[int]) -> list[Any]:
    at, texts = 0, []
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "little")
        texts.append(str(bytes(data[at + 4 : at + 4 + length]), "utf-8"))
        at += 4 + length
    return texts
