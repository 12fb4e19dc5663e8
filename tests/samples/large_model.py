"""A perceptron as ONNX, large by its weights alone, which a seed decides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def write_perceptron(
    path: Path, *, width: int, depth: int, changed: str = "", outside: str = "", seed: int = 0
) -> None:
    """`depth` square layers of `width` with biases; the weight named `changed` has other numbers, and
    `outside` names the file beside `path` that keeps the weights."""
    rng = np.random.default_rng(seed)
    nodes, weights, given = [], [], "x"
    for number in range(depth):
        for name, shape in ((f"w{number:02}", (width, width)), (f"b{number:02}", (width,))):
            values = rng.standard_normal(shape, dtype=np.float32) / np.float32(width**0.5)
            weights.append(numpy_helper.from_array(-values if name == changed else values, name))
        out = "y" if number == depth - 1 else f"hidden{number:02}"
        nodes.append(helper.make_node("Gemm", [given, f"w{number:02}", f"b{number:02}"], [f"sum{number:02}"]))
        nodes.append(helper.make_node("Tanh", [f"sum{number:02}"], [out]))
        given = out
    shape = [None, width]
    graph = helper.make_graph(
        nodes,
        "perceptron",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    if outside:
        path.with_name(outside).unlink(missing_ok=True)  # onnx appends
        onnx.save_model(model, path, save_as_external_data=True, location=outside, size_threshold=0)
    else:
        onnx.save_model(model, path)
