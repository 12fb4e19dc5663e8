"""A network of PyTorch becomes an ONNX graph; what the original answers is kept for comparison."""

from __future__ import annotations

import inspect
import io
import types
from pathlib import Path
from typing import Any

import numpy as np

from mlship_runtime.model.datatypes import datatype_of

from . import formats, graph
from .failure import Failure, reason
from .features import Features

_TRACED_ROWS = 2  # what the exporter sees; the proof asks about all rows
_PART = 256  # rows that are asked at a time


def read(path: Path, kind: str) -> Any:
    """The module in a file of torch.jit.save, torch.export.save or torch.save, as `kind` says."""
    import torch

    if kind == formats.TORCH_SCRIPT:
        return torch.jit.load(str(path), map_location="cpu")
    if kind == formats.TORCH_EXPORT:
        return _ready(torch.export.load(str(path)).module())
    found = torch.load(path, map_location="cpu", weights_only=False)  # the project's own, like a pickle
    if isinstance(found, dict):
        raise Failure(
            f"{path.name} holds the weights alone, not the network",
            fix='Give a function that builds the network and loads them: source = "module:function"',
        )
    return found


def _ready(exported: Any) -> Any:
    """A module of torch.export as others are: it was exported in one mode, refuses to hear of another, and
    torch.onnx tells every module."""
    for name in ("train", "eval"):
        setattr(exported, name, types.MethodType(lambda self, mode=True: self, exported))
    return exported


def convert(model: Any, features: Features, opset: int, precision: str) -> dict[str, Any]:
    """Ask `model`, put into eval(), about `features` and convert it. Raises Failure.

    Returns the same as `estimator.convert`; a network answers with numbers and decides nothing.
    """
    import onnx
    import torch

    if precision != "FP32":
        raise Failure("a network computes in the precision of its weights")
    model = model.cpu().eval()
    inputs, assemble = _inputs(model, features)
    answers = _answers(torch, model, list(inputs.values()))
    names = ["output"] if len(answers) == 1 else [f"output_{at}" for at in range(len(answers))]
    names = [f"{name}_out" if name in inputs else name for name in names]
    written = io.BytesIO()
    try:
        torch.onnx.export(
            model,
            tuple(torch.from_numpy(array[:_TRACED_ROWS]) for array in inputs.values()),
            written,
            dynamo=False,  # the same bytes each time, and no paths of this machine in them
            opset_version=opset,
            input_names=list(inputs),
            output_names=names,
            dynamic_axes={name: {0: "rows"} for name in (*inputs, *names)},
        )
    except Exception as error:
        raise Failure(
            f"the network ({type(model).__name__}) cannot be converted to ONNX", cause=reason(error)
        ) from error
    return {
        "graph": graph.normalised(onnx.load_model_from_string(written.getvalue())),
        "assemble": assemble,
        "outputs": names,
        "reference": [_tensor(name, array) for name, array in zip(names, answers)],
        "margins": None,
        "framework": "pytorch",
        "converter": {"torch": torch.__version__, "onnx": onnx.__version__},
        "opset": opset,
    }


def _inputs(model: Any, features: Features) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """What forward() is called with, by the graph's names, and which features each is made of: the columns
    that its parameters are called like, or one matrix of all."""
    kind = next(
        (str(weight.dtype)[6:] for weight in model.parameters() if weight.is_floating_point()), "float32"
    )
    columns = {
        name: array.astype(kind) if array.dtype.kind == "f" else array
        for name, array in features.columns.items()
    }
    if texts := [name for name, array in columns.items() if array.dtype.kind == "O"]:
        raise Failure(
            f"the network cannot read text: {', '.join(texts[:6])}",
            fix="Encode it in the reduction step, or leave the columns out: [golden] columns",
        )
    if len(columns) == 1 and next(iter(columns.values())).ndim > 1:
        return columns, {name: [name] for name in columns}
    wanted = _parameters(model.forward)
    if len(wanted) > 1 and set(wanted) == set(columns):
        return {name: columns[name] for name in wanted}, {name: [name] for name in wanted}
    if any(array.ndim > 1 for array in columns.values()):
        raise Failure(
            f"the network reads {', '.join(wanted)}, the examples have {', '.join(features.names[:8])}",
            fix="Return arrays with these names from the reduction step",
        )
    name = next(free for free in ("X", "features", "model_input") if free not in columns)
    return {name: np.stack([array.astype(kind) for array in columns.values()], 1)}, {name: features.names}


def _parameters(forward: Any) -> list[str]:
    """The names of what forward() takes; a script has no signature, but a schema."""
    schema = getattr(forward, "schema", None)
    names = (
        [part.name for part in schema.arguments] if schema else list(inspect.signature(forward).parameters)
    )
    return [name for name in names if name != "self"]


def _answers(torch: Any, model: Any, inputs: list[Any]) -> list[Any]:
    """The network's outputs for all rows, as arrays."""
    parts: list[list[Any]] = []
    try:
        with torch.no_grad():
            for start in range(0, len(inputs[0]), _PART):
                found = model(*(torch.from_numpy(array[start : start + _PART]) for array in inputs))
                parts.append(list(found) if isinstance(found, (tuple, list)) else [found])
    except Exception as error:
        fixed = "Guard failed" in str(error)
        raise Failure(
            "the network cannot answer the examples",
            cause=reason(error),
            fix="Export it with a free number of rows: dynamic_shapes of torch.export.export"
            if fixed
            else "",
        ) from error
    if not all(isinstance(value, torch.Tensor) for part in parts for value in part):
        raise Failure(
            "the network answers with something else than tensors", fix="Return tensors from forward()"
        )
    arrays = [np.concatenate([value.numpy() for value in values]) for values in zip(*parts)]
    if any(len(array) != len(inputs[0]) for array in arrays):
        raise Failure("the network answers with another number of rows than it got")
    return arrays


def _tensor(name: str, array: Any) -> dict[str, Any]:
    return {
        "name": name,
        "datatype": datatype_of(array.dtype),
        "shape": list(array.shape),
        "data": array.ravel().tolist(),
    }
