"""The model of a bundle as an ONNX Runtime session. The bytes hashed are the bytes loaded."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from mlship_runtime.datatypes import Array
from mlship_runtime.errors import InvalidBundle, RuntimeFault
from mlship_runtime.spec import FileEntry

_ELEMENTS = {
    "bool": "bool",
    "float16": "float16",
    "float": "float32",
    "double": "float64",
    "string": "object",
    **{f"{sign}int{bits}": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}


class ModelFailed(RuntimeFault):
    """The model raised on an input that fits the schema."""

    kind = "model"


class ModelInput:
    """What the graph wants: `name`, numpy `dtype`, `rank`, and `width` (the last size; -1 if free)."""

    def __init__(self, node: Any) -> None:
        self.name: str = node.name
        element = re.fullmatch(r"tensor\((\w+)\)", node.type)
        if element is None or element.group(1) not in _ELEMENTS:
            raise InvalidBundle(
                f"the model's input {node.name!r} is {node.type}: no tensor that can be served"
            )
        self.dtype: np.dtype[Any] = np.dtype(_ELEMENTS[element.group(1)])
        self.rank = len(node.shape)
        self.width = node.shape[-1] if node.shape and isinstance(node.shape[-1], int) else -1


class Session:
    """One loaded graph, single-threaded by default: rows scale by processes."""

    def __init__(self, model: bytes, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors only: warnings name temporary graph nodes
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise InvalidBundle("the model cannot be loaded", cause=str(error)) from error
        self.inputs = tuple(ModelInput(node) for node in self._session.get_inputs())
        self._outputs = {node.name: node.type for node in self._session.get_outputs()}
        self._run = self._session.run

    def check_outputs(self, names: Iterable[str]) -> None:
        """Raise InvalidBundle unless the graph has each output as a tensor."""
        for name in names:
            if not self._outputs.get(name, "").startswith("tensor("):
                raise InvalidBundle(
                    f"the model has no output tensor {name!r}", cause=f"it has {self._outputs}"
                )

    @property
    def output_names(self) -> tuple[str, ...]:
        return tuple(self._outputs)

    def run(self, names: list[str], feed: dict[str, Array]) -> list[Array]:
        """The outputs `names`, in that order; raises ModelFailed."""
        try:
            outputs: list[Array] = self._run(names, feed)
        except Exception as error:
            raise ModelFailed(f"the model failed on this input ({type(error).__name__})") from error
        return outputs


def read_hashed(path: str, entry: FileEntry) -> bytes:
    """The bytes of a file, if they are those of the index; raises InvalidBundle."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InvalidBundle(f"{entry.path} cannot be read", cause=error.strerror or str(error)) from error
    if hashlib.sha256(data).hexdigest() != entry.sha256:
        raise InvalidBundle(f"{entry.path} is not the file of the index", cause="it was damaged or exchanged")
    return data
