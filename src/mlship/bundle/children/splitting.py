"""A pipeline of scikit-learn in two: its first steps become a graph that reduces, the rest the model."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlship_runtime.model.datatypes import Array

from . import estimator, graph, precise
from .failure import Failure, reason
from .features import Features

Parts = tuple[Any, Any, list[str]]


def convert(parts: Parts, features: Features, opset: int, precision: str) -> dict[str, Any]:
    """Convert what `divide` gave; raises Failure.

    Returns model (an onnx.ModelProto of the rest), assemble, reduced (what the first steps make of
    `features`) and reduction: its graph (bytes), assemble and steps (their names).
    """
    before, rest, steps = parts
    alone = not hasattr(rest, "steps")
    read = "FP32" if alone else precision
    values = _transformed(before, features)
    name = next(free for free in ("features", "reduced", "mlship_reduced") if free not in features.names)
    first, assemble = _reducing(before, features, opset, precision)
    opsets = {"": opset, "ai.onnx.ml": estimator.ML_OPSET}
    _give(first, name, values, read)
    kept = values if values.dtype.kind == "O" else values.astype({"FP32": "f4", "FP64": "f8"}[read])
    reduced = Features({name: kept}, None, reduced=True)
    second, joint = estimator.to_onnx(rest, reduced, opset, read)
    for part in (first, second):
        precise.declare(part, opsets)
    return {
        "model": second,
        "assemble": joint,
        "reduced": reduced,
        "reduction": {"graph": graph.normalised(first), "assemble": assemble, "steps": steps},
    }


def divide(model: Any, split: int | str) -> Parts:
    """The first steps of a pipeline (so many, or up to and with the one of that name), the rest, which is an
    estimator if it is one step, and the names of the first. Raises Failure."""
    from sklearn.pipeline import Pipeline

    fix = "Correct [reduction] split in mlship.toml"
    if not isinstance(model, Pipeline):
        raise Failure(f"the model is a {type(model).__name__}, which has no steps to split off", fix=fix)
    names = [name for name, _ in model.steps]
    if isinstance(split, str) and split not in names:
        raise Failure(f"the pipeline has no step {split!r}", cause=f"it has {', '.join(names)}", fix=fix)
    count = names.index(split) + 1 if isinstance(split, str) else split
    if count >= len(names):
        raise Failure(
            f"no model is left when {count} of the {len(names)} steps are split off",
            cause=f"the steps are {', '.join(names)}",
            fix=fix,
        )
    rest = model[count:]
    if estimator.picks_by_name(rest):
        raise Failure(
            f"the steps after {names[count - 1]!r} choose columns by name, which a graph's output has not",
            fix="Split later: [reduction] split",
        )
    return model[:count], rest if len(rest.steps) > 1 else rest.steps[0][1], names[:count]


def _transformed(before: Any, features: Features) -> Array:
    """What the first steps make of the examples: a matrix of numbers, or of texts."""
    try:
        found = before.transform(features.for_model(before))
    except Exception as error:
        raise Failure("the steps before the split cannot answer the examples", cause=reason(error)) from error
    found = found.toarray() if hasattr(found, "toarray") else np.asarray(found)
    if found.ndim != 2:
        raise Failure(f"the steps before the split give an array of {found.ndim} dimensions, not a matrix")
    if found.dtype.kind not in "OU":
        return np.asarray(found)
    if all(isinstance(value, str) for value in found.ravel().tolist()):
        return np.asarray(found.astype(object))
    try:
        return np.asarray(found.astype(np.float64))
    except ValueError as error:
        raise Failure(
            "the steps before the split give texts and numbers side by side",
            cause="one tensor cannot hold both",
            fix="Split after the step that encodes the texts: [reduction] split",
        ) from error


def _reducing(
    before: Any, features: Features, opset: int, precision: str
) -> tuple[Any, dict[str, list[str]]]:
    import skl2onnx

    def make(initial: list[tuple[str, Any]], _: Any, opsets: dict[str, int]) -> Any:
        options = precise.exact(before) if precision == "FP64" else None
        return skl2onnx.to_onnx(before, initial_types=initial, options=options, target_opset=opsets)

    try:
        return estimator.to_onnx(before, features, opset, precision, make)
    except Failure as failure:
        what = failure.what.replace("the model (Pipeline)", "what is split off the pipeline")
        raise Failure(what, cause=failure.cause, fix=failure.fix) from failure


def _give(first: Any, name: str, values: Array, read: str) -> None:
    """Make the graph give `name` alone, as the model reads it."""
    from onnx import TensorProto, helper

    wanted = {"FP32": TensorProto.FLOAT, "FP64": TensorProto.DOUBLE}[read]
    wanted = TensorProto.STRING if values.dtype.kind == "O" else wanted
    given = first.graph.output[0]
    if given.type.tensor_type.elem_type == wanted:
        graph.rename(first.graph, {given.name: name})
    elif TensorProto.STRING in (given.type.tensor_type.elem_type, wanted):
        raise Failure("what is split off the pipeline gives texts in ONNX and numbers here, or otherwise")
    else:
        graph.rename(first.graph, {given.name: f"{name}_inner"})
        first.graph.node.append(helper.make_node("Cast", [f"{name}_inner"], [name], to=wanted))
    del first.graph.output[:]
    first.graph.output.append(helper.make_tensor_value_info(name, wanted, [None, values.shape[1]]))
