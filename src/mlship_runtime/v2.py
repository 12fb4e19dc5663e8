"""Requests and answers of the Open Inference Protocol, version 2 (JSON form).

A well-formed request takes the fast path: msgspec decodes each tensor's data straight into the right Python
type, range included. Anything else goes to `tensors.decode_tensor`, which understands it or says what is
wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod
from typing import Annotated, Any, NoReturn, Optional

import msgspec
import numpy as np
import orjson

from mlship_runtime.datatypes import EXACT_WHOLE, NUMPY_TYPES, Array, column_type, is_float, is_whole
from mlship_runtime.errors import BadInput
from mlship_runtime.spec import TensorSpec
from mlship_runtime.tensors import check_complete, decode_tensor, unknown_input

_NOTHING = msgspec.Raw()
_DEEP = "the body is nested too deeply"


class InferTensor(msgspec.Struct, gc=False):
    name: str
    datatype: str
    shape: list[int]
    data: msgspec.Raw = _NOTHING


class RequestedOutput(msgspec.Struct, gc=False):
    name: str


class InferRequest(msgspec.Struct, gc=False):
    inputs: list[InferTensor]
    outputs: list[RequestedOutput] = []  # msgspec copies it
    id: Optional[str] = None


class InferCodec:
    """Reads the infer requests of one schema and writes their answers."""

    def __init__(
        self, name: str, digest: str, inputs: Iterable[TensorSpec], outputs: Iterable[TensorSpec]
    ) -> None:
        self._decode = msgspec.json.Decoder(InferRequest).decode
        self._readers = {spec.name: _Reader(spec) for spec in inputs}
        self._outputs = {spec.name: spec.datatype for spec in outputs}
        self._about = {"model_name": name, "model_version": digest}

    def read(self, body: bytes) -> tuple[InferRequest, dict[str, Array]]:
        """The request and its columns, checked; raises BadInput."""
        try:
            request = self._decode(body)
        except msgspec.ValidationError as error:
            _explain(body, error)
        except msgspec.DecodeError as error:
            raise BadInput("the body is not JSON", cause=str(error)) from None
        except RecursionError:
            raise BadInput(_DEEP) from None
        columns: dict[str, Array] = {}
        for tensor in request.inputs:
            name = tensor.name
            reader = self._readers.get(name)
            if reader is None:
                raise unknown_input(name, self._readers)
            if name in columns:
                raise BadInput(f"{name} is given twice", field=name)
            columns[name] = reader.read(tensor)
        check_complete(columns, self._readers)
        for output in request.outputs:
            if output.name not in self._outputs:
                raise BadInput(f"{output.name} is not an output of this model", field=output.name)
        return request, columns

    def write(self, request: InferRequest, results: Mapping[str, Array]) -> bytes:
        """The answer with the requested outputs (all, if none is named); not-finite numbers are null."""
        names: Iterable[str] = self._outputs
        if request.outputs:
            names = dict.fromkeys(output.name for output in request.outputs)
        answer: dict[str, Any] = dict(self._about)
        if request.id is not None:
            answer["id"] = request.id
        answer["outputs"] = [self._tensor(name, results[name]) for name in names]
        return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)

    def _tensor(self, name: str, array: Array) -> dict[str, Any]:
        datatype = self._outputs[name]
        data = array.ravel().tolist() if datatype == "BYTES" else np.ascontiguousarray(array).ravel()
        return {"name": name, "datatype": datatype, "shape": array.shape, "data": data}


class _Reader:
    """One input of the schema, with what can be known of it before any request."""

    def __init__(self, spec: TensorSpec) -> None:
        self._spec = spec
        self._datatype = spec.datatype
        self._type = column_type(spec)
        self._values = msgspec.json.Decoder(list[_element_type(spec)]).decode  # type: ignore[misc]
        self._trailing = list(spec.shape[1:])
        self._width = prod(self._trailing)
        self._flat = not self._trailing

    def read(self, tensor: InferTensor) -> Array:
        shape = tensor.shape
        if tensor.datatype == self._datatype and shape and shape[1:] == self._trailing:
            try:
                values = self._values(tensor.data)
                if len(values) == shape[0] * self._width > 0:
                    array = np.array(values, self._type)
                    return array if self._flat else array.reshape(shape)
            except (msgspec.DecodeError, RecursionError, OverflowError):
                return self._read_thoroughly(tensor)
        return self._read_thoroughly(tensor)

    def _read_thoroughly(self, tensor: InferTensor) -> Array:
        if not bytes(tensor.data):
            raise BadInput(f"{tensor.name} has no data", field=tensor.name)
        try:
            data = msgspec.json.decode(tensor.data)
        except RecursionError:
            raise BadInput(f"{tensor.name}: data is nested too deeply", field=tensor.name) from None
        except msgspec.DecodeError as error:
            raise BadInput(
                f"{tensor.name}: data cannot be read", cause=str(error), field=tensor.name
            ) from None
        return decode_tensor(self._spec, tensor.datatype, tensor.shape, data)


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
    tensors = document.get("inputs") if isinstance(document, dict) else None
    for tensor in tensors if isinstance(tensors, list) else ():
        try:
            msgspec.convert({**tensor, "data": _NOTHING} if isinstance(tensor, dict) else tensor, InferTensor)
        except (msgspec.ValidationError, TypeError) as found:
            name = tensor.get("name") if isinstance(tensor, dict) else None
            name = name if isinstance(name, str) else ""
            raise BadInput(f"{name or 'an input'} is not a V2 tensor", cause=str(found), field=name) from None
    raise BadInput("the body is not a V2 infer request", cause=str(error)) from None
