"""The request that most requests are: one row, as one tensor in JSON, all outputs wanted. Its answer is put
together from pieces that were made before; whatever is not just as expected goes the general way."""

from __future__ import annotations

from time import perf_counter
from typing import Any, Callable, Optional

import msgspec
import orjson

from mlship_runtime.bundle.spec import Spec
from mlship_runtime.model.bound_row import BoundRow
from mlship_runtime.serving.answer import Answer

_NUMPY = orjson.OPT_SERIALIZE_NUMPY
_DOUBTS = (msgspec.DecodeError, RecursionError, OverflowError, ValueError, RuntimeError)


class OneRow:
    """Answers requests with `decode`, the codec's decoder of bodies; `observe` counts the model's seconds."""

    def __init__(
        self,
        spec: Spec,
        row: BoundRow,
        decode: Callable[[bytes], Any],
        about: dict[str, Any],
        depth: int,
        observe: Callable[[float], None],
    ) -> None:
        (self._spec,) = spec.inputs
        self._shape = [1, self._spec.shape[1]]
        self._row, self._decode, self._depth, self._observe = row, decode, depth, observe
        self._form, self._outputs = _form(spec, row, about), row.outputs

    def __call__(self, body: bytes) -> Optional[Answer]:
        """None for what is not such a request, or cannot be answered so."""
        if body.count(b"[") + body.count(b"{") > self._depth:
            return None
        try:
            request = self._decode(body)
            (tensor,) = request.inputs
            data = tensor.data
            if (
                tensor.shape != self._shape
                or len(data) != self._shape[1]
                or tensor.name != self._spec.name
                or tensor.datatype != self._spec.datatype
                or request.id is not None
                or request.outputs is not None
                or request.parameters is not None
            ):
                return None
            self._row.load(data)
            started = perf_counter()
            self._row.run()
            self._observe(perf_counter() - started)
        except _DOUBTS:
            return None
        return Answer(200, self._form % tuple([orjson.dumps(each, None, _NUMPY) for each in self._outputs]))


def _form(spec: Spec, row: BoundRow, about: dict[str, Any]) -> bytes:
    """The answer with a place for the data of each output."""
    outputs = [
        {"name": output.name, "datatype": output.datatype, "shape": shape, "data": None}
        for output, shape in zip(spec.outputs, row.shapes)
    ]
    document = orjson.dumps({**about, "outputs": outputs}).replace(b"%", b"%%")
    return document.replace(b'"data":null}', b'"data":%b}')
