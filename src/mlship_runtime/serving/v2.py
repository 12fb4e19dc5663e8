"""Requests and answers of the Open Inference Protocol, version 2, with the binary tensor extension.

A well-formed request takes the fast path: msgspec decodes the data straight into the right Python type,
range included, and each tensor becomes an array at once. Whatever gives rise to doubt there is read again
thoroughly, by `tensors.decode_tensor`, which either understands it or says what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import prod
from struct import pack_into
from typing import Annotated, Any, Callable, Optional

import msgspec
import numpy as np
import orjson

from mlship_runtime.bundle.spec import TensorSpec
from mlship_runtime.errors import BadInput
from mlship_runtime.model.datatypes import EXACT_WHOLE, NUMPY_TYPES, Array, column_type, is_float, is_whole
from mlship_runtime.model.table import Table
from mlship_runtime.model.tensors import check_complete, decode_tensor, unknown_input
from mlship_runtime.serving import v2_binary as binary
from mlship_runtime.serving.answer import OCTETS, Answer
from mlship_runtime.serving.v2_form import (
    InferRequest,
    InferTensor,
    decode_data,
    decode_request,
    list_of,
    typed_request,
)

_MakeArray = Callable[[list[Any], "np.dtype[Any]"], Array]
_LARGE = 1 << 14  # bytes of a body from which on the bounds of numbers are checked as they are packed
_DOUBTS = (msgspec.DecodeError, RecursionError, LookupError, OverflowError, ValueError)


class InferCodec:
    """Reads the infer requests of one schema and writes their answers. `writable`: what computes may change
    the columns, so that they cannot be the bytes of the request."""

    def __init__(
        self,
        name: str,
        digest: str,
        inputs: Sequence[TensorSpec],
        outputs: Iterable[TensorSpec],
        *,
        writable: bool = False,
    ) -> None:
        self._inputs = {spec.name: spec for spec in inputs}
        self._outputs = {spec.name: spec.datatype for spec in outputs}
        self.about = {"model_name": name, "model_version": digest}
        kinds = {spec.datatype + "?" * spec.nullable: _element_type(spec) for spec in inputs}
        self._columns = {spec.name: _Column(spec, raw=len(kinds) != 1) for spec in inputs}
        alike = len(kinds) == 1 and all(column.flat for column in self._columns.values())
        self._dtype = column_type(inputs[0])
        self._names = tuple(self._inputs)
        self._datatype = inputs[0].datatype
        self._read_columns = self._read_alike if alike else self._read_tensors
        decoder = typed_request(*kinds.values()) if len(kinds) == 1 else InferRequest
        self.decode = self._decode_large = msgspec.json.Decoder(decoder).decode
        self.numbers = msgspec.json.Decoder(list_of(_element_type(inputs[0]))).decode
        self._array: _MakeArray = np.array
        if set(kinds) <= {"FP32", "FP64"} and len(kinds) == 1:
            self._decode_large = msgspec.json.Decoder(typed_request(float)).decode
            self._array = _packed
        self._writable = writable

    def read(self, body: bytes, at: Optional[int] = None) -> tuple[Any, dict[str, Array]]:
        """The request (for `write`) and its columns, checked; raises BadInput. `at` is where the JSON part
        ends, if tensors follow as bytes."""
        if at is not None:
            request, columns = self._read_thoroughly(body, at)
        else:
            try:
                if len(body) < _LARGE:
                    request = self.decode(body)
                    columns = self._read_columns(request.inputs, np.array)
                else:
                    request = self._decode_large(body)
                    columns = self._read_columns(request.inputs, self._array)
            except _DOUBTS:
                request, columns = self._read_thoroughly(body, None)
        for output in request.outputs or ():
            if output.name not in self._outputs:
                raise BadInput(f"{output.name[:80]} is not an output of this model", field=output.name)
        return request, columns

    def write(self, request: Any, results: Mapping[str, Array]) -> Answer:
        """The answer with the requested outputs (all, if none is named). In JSON, not-finite numbers are
        null."""
        if request.outputs or request.parameters is not None:
            return self._write_chosen(request, results)
        outputs = []
        for name, datatype in self._outputs.items():
            array = results[name]
            data: Any = array if array.ndim == 1 else array.reshape(-1)
            if datatype == "BYTES":
                data = data.tolist()
            outputs.append({"name": name, "datatype": datatype, "shape": array.shape, "data": data})
        answer: dict[str, Any] = {**self.about, "outputs": outputs}
        if request.id is not None:
            answer["id"] = request.id
        return Answer(200, orjson.dumps(answer, None, orjson.OPT_SERIALIZE_NUMPY))

    def _write_chosen(self, request: Any, results: Mapping[str, Array]) -> Answer:
        outputs, tail = [], []
        for name, as_bytes in _chosen(request, self._outputs).items():
            array, datatype = results[name], self._outputs[name]
            data = binary.output_bytes(datatype, array) if as_bytes else None
            output = {"name": name, "datatype": datatype, "shape": array.shape}
            outputs.append(output)
            if data is not None:
                output["parameters"] = {"binary_data_size": len(data)}
                tail.append(data)
            else:
                output["data"] = array.ravel().tolist() if datatype == "BYTES" else array.reshape(-1)
        answer: dict[str, Any] = {**self.about, "outputs": outputs}
        if request.id is not None:
            answer["id"] = request.id
        head = orjson.dumps(answer, None, orjson.OPT_SERIALIZE_NUMPY)
        if not tail:
            return Answer(200, head)
        head += b" " * (-len(head) % 8)  # so that numbers of 8 bytes can be read where they are
        length = b"%b: %d\r\n" % (binary.LENGTH_HEADER, len(head))
        return Answer(200, b"".join((head, *tail)), OCTETS, length)

    def _read_tensors(self, tensors: list[Any], make: _MakeArray) -> dict[str, Array]:
        """Raises one of _DOUBTS for everything that is not just as the schema says."""
        known = self._columns
        found: dict[str, Array] = {}
        rows = tensors[0].shape[0]
        for tensor in tensors:
            column, shape = known[tensor.name], tensor.shape
            values = tensor.data if column.values is None else column.values(tensor.data)
            fits = tensor.datatype == column.datatype and shape[0] == rows and shape[1:] == column.trailing
            if not fits or len(values) != rows * column.width or not values:
                raise ValueError
            array = make(values, column.dtype)
            found[tensor.name] = array if column.flat else array.reshape(shape)
        if not len(found) == len(tensors) == len(known):
            raise ValueError
        return found

    def _read_alike(self, tensors: list[Any], make: _MakeArray) -> dict[str, Array]:
        """The same for columns that are all of one type, which lie in one array then."""
        values: list[Any] = []
        shape, datatype, names = tensors[0].shape, self._datatype, self._names
        (rows,) = shape
        if len(tensors) != len(names):
            raise ValueError
        for name, tensor in zip(names, tensors):
            data = tensor.data
            if tensor.name != name:
                return self._read_tensors(tensors, make)  # in another order than the schema's
            if tensor.datatype != datatype or tensor.shape != shape or len(data) != rows:
                raise ValueError
            values += data
        if not values:
            raise ValueError
        return Table(names, make(values, self._dtype).reshape(len(names), rows))

    def _read_thoroughly(self, body: bytes, at: Optional[int]) -> tuple[InferRequest, dict[str, Array]]:
        request = decode_request(body if at is None else body[:at])
        tail = binary.Tail(body, at, writable=self._writable)
        columns: dict[str, Array] = {}
        for tensor in request.inputs:
            name = tensor.name
            if name not in self._inputs:
                raise unknown_input(name, self._inputs)
            if name in columns:
                raise BadInput(f"{name} is given twice", field=name)
            columns[name] = _read_tensor(self._inputs[name], tensor, tail)
        check_complete(columns, self._inputs)
        tail.check_end()
        return request, columns


class _Column:
    """One input of the schema, with what can be known of it before any request. `values` decodes the data of
    a request whose tensors are of several types; None where the request's decoder has done that."""

    def __init__(self, spec: TensorSpec, *, raw: bool) -> None:
        self.datatype = spec.datatype
        self.dtype = column_type(spec)
        self.trailing = list(spec.shape[1:])
        self.width = prod(self.trailing)
        self.flat = not self.trailing
        kind = list_of(_element_type(spec))
        self.values = msgspec.json.Decoder(kind).decode if raw else None


def _read_tensor(spec: TensorSpec, tensor: InferTensor, tail: binary.Tail) -> Array:
    size = None if tensor.parameters is None else tensor.parameters.binary_data_size
    if size is None or (tensor.data and not tail.is_there):
        return decode_tensor(spec, tensor.datatype, tensor.shape, decode_data(tensor))
    if tensor.data:
        raise BadInput(f"{spec.name} has both data and a binary_data_size", field=spec.name)
    return tail.take(spec, tensor.datatype, tensor.shape, size)


def _packed(values: list[float], dtype: np.dtype[Any]) -> Array:
    """`np.array` of numbers in half its time; raises OverflowError for one that the type cannot hold."""
    data = bytearray(len(values) * 8)
    pack_into(f"{len(values)}d", data, 0, *values)
    array: Array = np.frombuffer(data)
    if dtype != array.dtype:
        with np.errstate(over="ignore"):
            array = array.astype(dtype)
        if np.isinf(array).any():  # JSON has no infinity
            raise OverflowError
    return array


def _chosen(request: Any, known: Iterable[str]) -> dict[str, bool]:
    """The outputs to answer, and whether as bytes."""
    as_bytes = request.parameters is not None and request.parameters.binary_data_output
    if not request.outputs:
        return dict.fromkeys(known, as_bytes)
    chosen = {}
    for output in request.outputs:
        wanted = None if output.parameters is None else output.parameters.binary_data
        chosen[output.name] = as_bytes if wanted is None else wanted
    return chosen


def _element_type(spec: TensorSpec) -> Any:
    """The Python type of one value, bounded so that its numpy type holds it; None too where that is
    allowed."""
    element: Any = {"BYTES": str, "BOOL": bool}.get(spec.datatype, float)
    if is_float(spec.datatype):
        largest = float(np.finfo(NUMPY_TYPES[spec.datatype]).max)
        element = Annotated[float, msgspec.Meta(ge=-largest, le=largest)]
    elif is_whole(spec.datatype):
        limits = np.iinfo(NUMPY_TYPES[spec.datatype])
        most = EXACT_WHOLE if spec.nullable else (1 << 63) - 1  # msgspec goes no further; numpy checks
        element = Annotated[int, msgspec.Meta(ge=max(int(limits.min), -most), le=min(int(limits.max), most))]
    return Optional[element] if spec.nullable else element
