"""Requests and answers of the Open Inference Protocol, version 2 (JSON form).

A well-formed request takes the fast path: msgspec decodes the data straight into the right Python type,
range included, and each tensor becomes an array at once. Whatever gives rise to doubt there is read again
thoroughly, by `tensors.decode_tensor`, which either understands it or says what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import prod
from typing import Annotated, Any, NoReturn, Optional

import msgspec
import numpy as np
import orjson

from mlship_runtime.bundle.spec import TensorSpec
from mlship_runtime.errors import BadInput
from mlship_runtime.model.datatypes import EXACT_WHOLE, NUMPY_TYPES, Array, column_type, is_float, is_whole
from mlship_runtime.model.tensors import check_complete, decode_tensor, unknown_input
from mlship_runtime.serving import notfinite

_DOUBTS = (msgspec.DecodeError, RecursionError, LookupError, OverflowError, ValueError)
_DEEP = "the body is nested too deeply"


class InferTensor(msgspec.Struct, gc=False):
    name: str
    datatype: str
    shape: list[int]
    data: msgspec.Raw = msgspec.Raw()


class RequestedOutput(msgspec.Struct, gc=False):
    name: str


class InferRequest(msgspec.Struct, gc=False):
    inputs: list[InferTensor]
    outputs: Optional[list[RequestedOutput]] = None
    id: Optional[str] = None


class InferCodec:
    """Reads the infer requests of one schema and writes their answers."""

    def __init__(
        self, name: str, digest: str, inputs: Sequence[TensorSpec], outputs: Iterable[TensorSpec]
    ) -> None:
        self._inputs = {spec.name: spec for spec in inputs}
        self._outputs = {spec.name: spec.datatype for spec in outputs}
        self._about = {"model_name": name, "model_version": digest}
        kinds = {spec.datatype + "?" * spec.nullable: _element_type(spec) for spec in inputs}
        self._columns = {spec.name: _Column(spec, raw=len(kinds) != 1) for spec in inputs}
        alike = len(kinds) == 1 and all(column.flat for column in self._columns.values())
        self._dtype = column_type(inputs[0])
        self._read_columns = self._read_alike if alike else self._read_tensors
        decoder = _typed_request(*kinds.values()) if len(kinds) == 1 else InferRequest
        self._decode = msgspec.json.Decoder(decoder).decode
        self._decode_thoroughly = msgspec.json.Decoder(InferRequest).decode

    def read(self, body: bytes) -> tuple[Any, dict[str, Array]]:
        """The request (for `write`) and its columns, checked; raises BadInput."""
        try:
            request = self._decode(body)
            columns = self._read_columns(request.inputs)
        except _DOUBTS:
            request, columns = self._read_thoroughly(body)
        for output in request.outputs or ():
            if output.name not in self._outputs:
                raise BadInput(f"{output.name} is not an output of this model", field=output.name)
        return request, columns

    def write(self, request: Any, results: Mapping[str, Array]) -> bytes:
        """The answer with the requested outputs (all, if none is named); not-finite numbers are null."""
        names: Iterable[str] = self._outputs
        if request.outputs:
            names = dict.fromkeys(output.name for output in request.outputs)
        outputs = []
        for name in names:
            array, datatype = results[name], self._outputs[name]
            data: Any = array if array.ndim == 1 else array.reshape(-1)
            if datatype == "BYTES":
                data = data.tolist()
            outputs.append({"name": name, "datatype": datatype, "shape": array.shape, "data": data})
        answer: dict[str, Any] = {**self._about, "outputs": outputs}
        if request.id is not None:
            answer["id"] = request.id
        return orjson.dumps(answer, None, orjson.OPT_SERIALIZE_NUMPY)

    def _read_tensors(self, tensors: list[Any]) -> dict[str, Array]:
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
            array = np.array(values, column.dtype)
            found[tensor.name] = array if column.flat else array.reshape(shape)
        if not len(found) == len(tensors) == len(known):
            raise ValueError
        return found

    def _read_alike(self, tensors: list[Any]) -> dict[str, Array]:
        """The same for columns that are all of one type: one array, of which each is a row."""
        known, names, values = self._columns, [], []
        rows = tensors[0].shape[0]
        for tensor in tensors:
            column = known[tensor.name]
            if tensor.datatype != column.datatype or tensor.shape != [rows] or len(tensor.data) != rows:
                raise ValueError
            names.append(tensor.name)
            values += tensor.data
        table = np.array(values, self._dtype).reshape(len(names), rows)
        found = dict(zip(names, table))
        if not values or not len(found) == len(names) == len(known):
            raise ValueError
        return found

    def _read_thoroughly(self, body: bytes) -> tuple[InferRequest, dict[str, Array]]:
        try:
            request = self._decode_thoroughly(body)
        except msgspec.ValidationError as error:
            _explain(body, error)
        except msgspec.DecodeError as error:
            raise _not_json(body, error) from None
        except RecursionError:
            raise BadInput(_DEEP) from None
        columns: dict[str, Array] = {}
        for tensor in request.inputs:
            name = tensor.name
            if name not in self._inputs:
                raise unknown_input(name, self._inputs)
            if name in columns:
                raise BadInput(f"{name} is given twice", field=name)
            columns[name] = _read_tensor(self._inputs[name], tensor)
        check_complete(columns, self._inputs)
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
        kind = _list_of(_element_type(spec))
        self.values = msgspec.json.Decoder(kind).decode if raw else None


def _typed_request(element: Any) -> Any:
    """The type of requests whose tensors all hold `element`s: one pass over the body decodes everything."""
    values = _list_of(element)
    parts: list[Any] = [("name", str), ("datatype", str), ("shape", list[int]), ("data", values)]
    tensors = _list_of(msgspec.defstruct("TypedTensor", parts, gc=False))
    outputs: Any = Optional[list[RequestedOutput]]
    parts = [("inputs", tensors), ("outputs", outputs, None), ("id", Optional[str], None)]
    return msgspec.defstruct("TypedRequest", parts, gc=False)


def _list_of(element: Any) -> Any:
    return list.__class_getitem__(element)  # the same as list[element], which type checkers cannot follow


def _read_tensor(spec: TensorSpec, tensor: InferTensor) -> Array:
    name = tensor.name
    if not bytes(tensor.data):
        raise BadInput(f"{name} has no data", field=name)
    try:
        data = msgspec.json.decode(tensor.data)
    except RecursionError:
        raise BadInput(f"{name}: data is nested too deeply", field=name) from None
    except msgspec.DecodeError as error:
        about = {"name": name, "shape": tensor.shape}
        fault = notfinite.refusal(
            bytes(tensor.data), lambda data: notfinite.tensor_cells({**about, "data": data})
        )
        cause = str(error)
        raise fault or BadInput(f"{name}: data cannot be read", cause=cause, field=name) from None
    return decode_tensor(spec, tensor.datatype, tensor.shape, data)


def _not_json(body: bytes, error: msgspec.DecodeError) -> BadInput:
    return notfinite.refusal(body, _cells) or BadInput("the body is not JSON", cause=str(error))


def _cells(document: Any) -> Iterator[notfinite.Cell]:
    tensors = document.get("inputs") if isinstance(document, dict) else None
    for tensor in tensors if isinstance(tensors, list) else ():
        yield from notfinite.tensor_cells(tensor)


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


def _explain(body: bytes, error: msgspec.ValidationError) -> NoReturn:
    """Raise BadInput for a request of the wrong form, with the name of the tensor where there is one."""
    try:
        document = msgspec.json.decode(body)
    except RecursionError:
        raise BadInput(_DEEP) from None
    except msgspec.DecodeError as fault:
        raise _not_json(body, fault) from None
    tensors = document.get("inputs") if isinstance(document, dict) else None
    for tensor in tensors if isinstance(tensors, list) else ():
        try:
            msgspec.convert(
                {**tensor, "data": msgspec.Raw()} if isinstance(tensor, dict) else tensor, InferTensor
            )
        except (msgspec.ValidationError, TypeError) as found:
            name = tensor.get("name") if isinstance(tensor, dict) else None
            name = name if isinstance(name, str) else ""
            raise BadInput(f"{name or 'an input'} is not a V2 tensor", cause=str(found), field=name) from None
    raise BadInput("the body is not a V2 infer request", cause=str(error)) from None
