"""A model that is ONNX already: taken as it is, byte for byte, after a look at what it needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from . import outside
from .failure import Failure, reason
from .features import Features


def take(file: str, features: Features) -> dict[str, Any]:
    """The file's bytes and which features feed it; raises Failure. There is no original to compare with."""
    import onnx

    path = Path(file)
    if not path.is_file():
        raise Failure(f"{path.name} is not there", fix="Correct [model] source in mlship.toml")
    data = path.read_bytes()
    elsewhere = outside.find(path, data)
    try:
        model = onnx.load_model_from_string(data)
        onnx.checker.check_model(str(path) if elsewhere else model)
    except Exception as error:
        raise Failure(f"{path.name} is not an ONNX model", cause=reason(error)) from error
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [node for node in model.graph.input if node.name not in constants]
    for node in (*inputs, *model.graph.output):
        if not node.type.HasField("tensor_type"):
            raise Failure(
                f"{path.name}: {node.name!r} is a {node.type.WhichOneof('value')}, not a tensor",
                fix="Convert the classifier with options={'zipmap': False}",
            )
    opsets = {opset.domain: opset.version for opset in model.opset_import}
    return {
        "graph": data,
        "outside": bool(elsewhere),
        "assemble": _assemble(path.name, inputs, features),
        "outputs": [node.name for node in model.graph.output],
        "reference": [],
        "margins": None,
        "framework": "onnx",
        "converter": {"onnx": onnx.__version__},
        "opset": opsets.get("", opsets.get("ai.onnx", 0)),
    }


def _assemble(file: str, inputs: list[Any], features: Features) -> dict[str, list[str]]:
    """Inputs by name; a single input that has another name takes all columns, in their order."""
    names = {node.name for node in inputs}
    if names <= set(features.names):
        return {node.name: [node.name] for node in inputs}
    if len(inputs) == 1:
        sizes = inputs[0].type.tensor_type.shape.dim
        width = sizes[1].dim_value if len(sizes) == 2 else 0
        if width and width != features.width:
            raise Failure(f"{file} reads {width} features, the examples give {features.width}")
        return {inputs[0].name: features.names}
    raise Failure(
        f"{file} has inputs that the examples do not: {', '.join(sorted(names - set(features.names)))}",
        cause=f"the examples have {', '.join(features.names[:8])}",
    )
