"""The model of a bundle as an ONNX Runtime session. The bytes hashed are the bytes loaded."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

# Before its import: it would write what it does into a file in the user's home, to be sent to its maker.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime

from mlship_runtime.bundle.weights import relocated
from mlship_runtime.errors import InvalidBundle
from mlship_runtime.model.bound_row import BoundRow, bound_row
from mlship_runtime.model.datatypes import Array
from mlship_runtime.model.engine import ModelFailed

_ELEMENTS = {
    "bool": "bool",
    "float16": "float16",
    "float": "float32",
    "double": "float64",
    "string": "object",
    **{f"{sign}int{bits}": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}


# Opened by the engine itself: it takes paths beneath this folder only.
_WEIGHTS_FOLDER = "session.model_external_initializers_file_folder_path"


class ModelTensor:
    """An input or output of the graph: `name`, numpy `dtype`, `shape` (-1 where the graph leaves it open)."""

    takes_missing = False

    def __init__(self, node: Any) -> None:
        self.name: str = node.name
        element = re.fullmatch(r"tensor\((\w+)\)", node.type)
        if element is None or element.group(1) not in _ELEMENTS:
            raise InvalidBundle(f"the model's {node.name!r} is {node.type}: no tensor that can be served")
        self.dtype: np.dtype[Any] = np.dtype(_ELEMENTS[element.group(1)])
        self.shape = tuple(size if isinstance(size, int) else -1 for size in node.shape)


class Session:
    """One loaded graph, to be run by one thread at a time; a row needs one thread only, and rows scale by
    processes. `names` are the outputs to answer, all if there are none; `weights` maps each file beside the
    graph that it may read to where it really lies. Raises InvalidBundle."""

    def __init__(
        self,
        model: bytes,
        names: Sequence[str],
        threads: int = 1,
        weights: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Threads that have nothing to do sleep: turning round, they would take the processors of others.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 4  # what goes wrong is raised, and said once
        if weights:
            root = os.path.commonpath([os.path.dirname(path) for path in weights.values()])
            options.add_session_config_entry(_WEIGHTS_FOLDER, root)
            weights = {name: os.path.relpath(path, root) for name, path in weights.items()}
        try:
            model = relocated(model, weights)
        except InvalidBundle as fault:
            raise InvalidBundle("the model cannot be loaded", cause=str(fault)) from fault
        try:
            session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise InvalidBundle("the model cannot be loaded", cause=str(error)) from error
        self.inputs = tuple(ModelTensor(node) for node in session.get_inputs())
        found = {node.name: node for node in session.get_outputs()}
        self.names = list(names or found)
        for name in self.names:
            if name not in found:
                raise InvalidBundle(f"the model has no output {name!r}", cause=f"it has {', '.join(found)}")
        self.outputs = tuple(ModelTensor(found[name]) for name in self.names)
        # The session behind the public one takes the same arguments and saves their checking, 1 µs per run.
        self._run = getattr(session, "_sess", session).run
        self._public = session
        self._options = onnxruntime.RunOptions()  # making one for each run would cost 1 µs

    def row(self) -> BoundRow | None:
        """A quicker way for one row of numbers, if the model is one that allows it."""
        return bound_row(self._public, self._options, self.inputs, self.names)

    def run(self, feed: Mapping[str, Array]) -> list[Array]:
        """The outputs, in the order of `names`; raises ModelFailed."""
        try:
            outputs: list[Array] = self._run(self.names, feed, self._options)
        except Exception as error:
            raise ModelFailed(f"the model failed on this input ({type(error).__name__})") from error
        return outputs
