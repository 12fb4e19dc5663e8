"""A model that is ONNX already: taken as it is, byte for byte, after a look at what it needs.

Only the graph and small weights come into memory: large ones stay in the file.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlship_runtime.bundle.weights import Place, read_weights, with_places

from . import graph, outside
from .failure import Failure, reason
from .features import Features

OLDEST_OPSET = 7  # onnxruntime promises nothing about older ones
_LARGE = 1 << 20  # bytes of a weight that stays in the file
_DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft"}  # operators that onnxruntime has


def take(file: str, features: Features) -> dict[str, Any]:
    """The file and which features feed it; raises Failure. There is no original to compare with."""
    import onnx

    path = Path(file)
    model, opset, elsewhere = read(path)
    inputs = inputs_of(model)
    for node in (*inputs, *model.graph.output):
        if not node.type.HasField("tensor_type"):
            raise Failure(
                f"{path.name}: {node.name!r} is a {node.type.WhichOneof('value')}, not a tensor",
                fix="Convert the classifier with options={'zipmap': False}",
            )
    return {
        "graph": path,
        "outside": elsewhere,
        "assemble": _assemble(path.name, inputs, features),
        "outputs": [node.name for node in model.graph.output],
        "reference": [],
        "margins": None,
        "framework": "onnx",
        "converter": {"onnx": onnx.__version__},
        "opset": opset,
    }


def read(path: Path) -> tuple[Any, int, bool]:
    """The model without its large weights, the version of its standard operators, and whether weights lie in
    other files; raises Failure for what cannot run."""
    import onnx

    if not path.is_file():
        raise Failure(f"{path.name} is not there", fix="Correct [model] source in mlship.toml")
    with _mapped(path) as data:
        elsewhere = outside.find(path, data)  # before any library of ONNX sees where they lie
        weights = [weight for weight in read_weights(data) if weight.inside and weight.size >= _LARGE]
        left_out: dict[str, Place | bytes] = {
            weight.name: (path.name, *weight.inside) for weight in weights if weight.inside
        }
        light = with_places(data, left_out) if left_out else data[:]
    try:
        model = onnx.load_model_from_string(light)
    except Exception as error:
        raise Failure(f"{path.name} is not an ONNX model", cause=reason(error)) from error
    opset = _check_versions(path.name, model)
    try:
        onnx.checker.check_model(_without(model, {*elsewhere, *left_out}))
    except Exception as error:
        raise Failure(f"{path.name} is not a valid ONNX model", cause=reason(error)) from error
    return model, opset, bool(elsewhere)


@contextmanager
def _mapped(path: Path) -> Iterator[Any]:
    with path.open("rb") as file:
        if not path.stat().st_size:
            yield b""
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield data


def _without(model: Any, names: set[str]) -> Any:
    """The model with the weights of these names as inputs, so that no file is needed to check it."""
    import onnx

    if not names:
        return model
    made = onnx.ModelProto()
    made.CopyFrom(model)
    del made.graph.initializer[:]
    given = {node.name for node in made.graph.input}
    for tensor in model.graph.initializer:
        if tensor.name not in names:
            made.graph.initializer.append(tensor)
        elif tensor.name not in given:
            kind = onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
            made.graph.input.append(kind)
    return made


def inputs_of(model: Any) -> list[Any]:
    """What must be fed: the graph's inputs without those that have a constant."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return [node for node in model.graph.input if node.name not in constants]


def _check_versions(file: str, model: Any) -> int:
    """The version of the standard operators; raises Failure for versions and operators that none knows."""
    import onnx

    if not 3 <= model.ir_version <= onnx.IR_VERSION:
        raise Failure(
            f"{file} has the IR version {model.ir_version}",
            cause=f"onnx {onnx.__version__} of the project's Python knows 3 to {onnx.IR_VERSION}",
            fix="Upgrade onnx there, or save the model with an older one",
        )
    opsets = {opset.domain: opset.version for opset in model.opset_import}
    own = {function.domain for function in model.functions}
    foreign = sorted(set(opsets) - _DOMAINS - own)
    if used := [domain for domain in foreign if _uses(model, domain)]:
        raise Failure(
            f"{file} has operators of {', '.join(used)}",
            cause="onnxruntime has none of them",
            fix="Export the model with standard operators only",
        )
    opset = int(opsets.get("", opsets.get("ai.onnx", 0)))
    newest = onnx.defs.onnx_opset_version()
    if opset and not OLDEST_OPSET <= opset <= newest:
        raise Failure(
            f"{file} has opset {opset}",
            cause=f"{OLDEST_OPSET} to {newest} are known here",
            fix="Convert it: onnx.version_converter.convert_version(model, 18)",
        )
    return opset


def _uses(model: Any, domain: str) -> bool:
    nodes = [node for part in graph.parts(model.graph) for node in part.node]
    nodes += [node for function in model.functions for node in function.node]
    return any(node.domain == domain for node in nodes)


def _assemble(file: str, inputs: list[Any], features: Features) -> dict[str, list[str]]:
    """Inputs by name; a single input that has another name takes all columns, in their order."""
    names = {node.name for node in inputs}
    if names <= set(features.names):
        for node in inputs:
            _check_kind(file, node, [node.name], features)
        return {node.name: [node.name] for node in inputs}
    if len(inputs) == 1:
        sizes = inputs[0].type.tensor_type.shape.dim
        width = sizes[1].dim_value if len(sizes) == 2 else 0
        if width and width != features.width:
            raise features.wrong_width(file, width)
        _check_kind(file, inputs[0], features.names, features)
        return {inputs[0].name: features.names}
    raise Failure(
        f"{file} has inputs that {features.giver} not: {', '.join(sorted(names - set(features.names)))}",
        cause=f"there are {', '.join(features.names[:8])}",
        fix="Call them alike, in the graph and before it",
    )


def _check_kind(file: str, node: Any, columns: list[str], features: Features) -> None:
    """Raise Failure for texts where the graph reads numbers, and for numbers where it reads texts."""
    from onnx import TensorProto

    texts = node.type.tensor_type.elem_type == TensorProto.STRING
    for name in columns:
        if (features.columns[name].dtype.kind == "O") != texts:
            reads, given = ("text", "numbers") if texts else ("numbers", "text")
            raise Failure(
                f"{file} reads {node.name!r} as {reads}, {name!r} is {given}",
                fix="Return it so from the reduction"
                if features.reduced
                else f"Describe the column, if it is not what it looks like: [schema.{name}] type",
            )
