"""What a V2 infer request looks like, as msgspec types, and what is wrong with one that does not.

Of a name that an object holds twice, the last value counts (RFC 8259, 4): the decoder does not tell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, NoReturn, Optional

import msgspec

from mlship_runtime.errors import BadInput
from mlship_runtime.serving import notfinite

_DEEP = "the body is nested too deeply"


class TensorParameters(msgspec.Struct, gc=False):
    binary_data_size: Optional[Annotated[int, msgspec.Meta(ge=0)]] = None


class OutputParameters(msgspec.Struct, gc=False):
    binary_data: Optional[bool] = None


class RequestParameters(msgspec.Struct, gc=False):
    binary_data_output: bool = False


class InferTensor(msgspec.Struct, gc=False):
    name: str
    datatype: str
    shape: list[int]
    data: msgspec.Raw = msgspec.Raw()
    parameters: Optional[TensorParameters] = None


class RequestedOutput(msgspec.Struct, gc=False):
    name: str
    parameters: Optional[OutputParameters] = None


class InferRequest(msgspec.Struct, gc=False):
    inputs: list[InferTensor]
    outputs: Optional[list[RequestedOutput]] = None
    id: Optional[str] = None
    parameters: Optional[RequestParameters] = None


_decode = msgspec.json.Decoder(InferRequest).decode


def typed_request(element: Any) -> Any:
    """The type of requests whose tensors all hold `element`s: one pass over the body decodes everything."""
    values = list_of(element)
    parts: list[Any] = [("name", str), ("datatype", str), ("shape", list[int]), ("data", values)]
    tensors = list_of(msgspec.defstruct("TypedTensor", parts, gc=False))
    outputs: Any = Optional[list[RequestedOutput]]
    about: Any = Optional[RequestParameters]
    parts = [
        ("inputs", tensors),
        ("outputs", outputs, None),
        ("id", Optional[str], None),
        ("parameters", about, None),
    ]
    return msgspec.defstruct("TypedRequest", parts, gc=False)


def list_of(element: Any) -> Any:
    return list.__class_getitem__(element)  # the same as list[element], which type checkers cannot follow


def decode_request(body: bytes) -> InferRequest:
    """The request, its tensors' data still undecoded; raises BadInput."""
    try:
        return _decode(body)
    except msgspec.ValidationError as error:
        _explain(body, error)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _not_json(body, error) from None
    except RecursionError:
        raise BadInput(_DEEP) from None


def decode_data(tensor: InferTensor) -> Any:
    """The data of a tensor in JSON; raises BadInput."""
    name = tensor.name
    if not tensor.data:
        raise BadInput(f"{name} has no data", field=name)
    try:
        return msgspec.json.decode(tensor.data)
    except RecursionError:
        raise BadInput(f"{name}: data is nested too deeply", field=name) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        about = {"name": name, "shape": tensor.shape}
        fault = notfinite.refusal(
            bytes(tensor.data), lambda data: notfinite.tensor_cells({**about, "data": data})
        )
        cause = str(error)
        raise fault or BadInput(f"{name}: data cannot be read", cause=cause, field=name) from None


def _not_json(body: bytes, error: Exception) -> BadInput:
    return notfinite.refusal(body, _cells) or BadInput("the body is not JSON", cause=str(error))


def _cells(document: Any) -> Iterator[notfinite.Cell]:
    tensors = document.get("inputs") if isinstance(document, dict) else None
    for tensor in tensors if isinstance(tensors, list) else ():
        yield from notfinite.tensor_cells(tensor)


def _explain(body: bytes, error: msgspec.ValidationError) -> NoReturn:
    """Raise BadInput for a request of the wrong form, with the name of the tensor where there is one."""
    try:
        document = msgspec.json.decode(body)
    except RecursionError:
        raise BadInput(_DEEP) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
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
