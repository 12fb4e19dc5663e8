"""The request that most requests are: one row, as one tensor in JSON, all outputs wanted. It is read and
answered in few steps; whatever is not just as expected goes the general way."""

from __future__ import annotations

import re
from time import perf_counter
from typing import Any, Callable, Optional

import msgspec
import orjson

from mlship_runtime.bundle.spec import Spec
from mlship_runtime.model.bound_row import BoundRow
from mlship_runtime.serving.answer import JSON, Answer

OneRow = Callable[[bytes], Optional[Answer]]
_NUMPY = orjson.OPT_SERIALIZE_NUMPY
_DOUBTS = (msgspec.DecodeError, RecursionError, OverflowError, ValueError, RuntimeError)
# The numbers are the last thing in the body, so that nothing behind them can say otherwise.
_AROUND = re.compile(rb'(.*"data"\s*:\s*)\[[^\[\]]*(\]\s*\}\s*\]\s*\}\s*)', re.DOTALL)
_ROOM, _NUMBER = (
    1024,
    32,
)  # bytes around the numbers, and of each, beyond which a body is that of no single row
_PATIENCE = 64  # requests of other forms between two looks at what may have become the usual one


def one_row(
    spec: Spec,
    row: BoundRow,
    decode: Callable[[bytes], Any],
    numbers: Callable[[bytes], Any],
    about: dict[str, Any],
    depth: int,
    observe: Callable[[float], None],
) -> OneRow:
    """Answers requests; None for what is not such a request, or cannot be answered so. `decode` and `numbers`
    are the codec's decoders of bodies and of a tensor's data; `observe` counts the model's seconds.

    Clients write the same text around other numbers. What stood around those of a request that was such a
    one makes the next one such a one, too, and its numbers are all that need be decoded."""
    (input_,) = spec.inputs
    name, datatype, width = input_.name, input_.datatype, input_.shape[1]
    shape, load, run, dumps, new = [1, width], row.load, row.run, orjson.dumps, tuple.__new__
    kinds = [(output.name, output.datatype) for output in spec.outputs]
    outputs = [
        {"name": kind[0], "datatype": kind[1], "shape": each, "data": data}
        for kind, each, data in zip(kinds, row.shapes, row.outputs)
    ]
    document = {**about, "outputs": outputs}
    before, behind = b"\0", b""  # what stood around the numbers; no body begins with that
    start = end = others = 0
    longest = _ROOM + _NUMBER * width

    def read(body: bytes) -> Any:
        """The numbers; None if the request is another one."""
        nonlocal before, behind, start, end, others
        if len(body) > longest or body.count(b"[") + body.count(b"{") > depth:
            return None
        request = decode(body)
        (tensor,) = request.inputs
        usual = request.id is None and request.outputs is None and request.parameters is None
        if not usual or (tensor.name, tensor.datatype, tensor.shape) != (name, datatype, shape):
            return None
        others += 1
        if others % _PATIENCE == 1 % _PATIENCE and b"\\" not in body and body.count(b'"data"') == 1:
            around = _AROUND.fullmatch(body)
            if around:
                before, behind = around.groups()
                start, end = len(before), len(behind) - 1
        return tensor.data

    def answer(body: bytes) -> Optional[Answer]:
        try:
            if body.startswith(before) and body.endswith(behind):
                data = numbers(body[start : len(body) - end])
            else:
                data = read(body)
            if data is None or len(data) != width:
                return None
            load(data)
            began = perf_counter()
            run()
            observe(perf_counter() - began)
        except _DOUBTS:
            return None
        return new(Answer, (200, dumps(document, None, _NUMPY), JSON, b""))

    return answer
