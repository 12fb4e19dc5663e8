"""A pipeline whose steps before the last compute in double precision, as scikit-learn does.

In single precision a scaled value can fall on the other side of a threshold. What the last step reads is
cast to FP32 then, which is also what scikit-learn's trees do with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .failure import Failure

_JOINT = "prepared"


def to_onnx(model: Any, initial: list[tuple[str, Any]], opsets: dict[str, int], options: Any) -> Any:
    """The graph of `model`, a Pipeline of at least two steps; `options` are those of its last step."""
    import skl2onnx
    from onnx import TensorProto, compose, helper
    from skl2onnx.common.data_types import FloatTensorType
    from sklearn.pipeline import Pipeline

    if not isinstance(model, Pipeline) or len(model.steps) < 2:
        raise Failure("only a pipeline has steps that can compute in double precision")
    before, last = model[:-1], model[-1]
    width = getattr(last, "n_features_in_", None)
    first = skl2onnx.to_onnx(before, initial_types=initial, options=exact(before), target_opset=opsets)
    reads = [("features", FloatTensorType([None, width]))]
    second = skl2onnx.to_onnx(last, initial_types=reads, options=options, target_opset=opsets)
    given = first.graph.output[0].name
    first.graph.node.append(helper.make_node("Cast", [given], [_JOINT], to=TensorProto.FLOAT))
    first.graph.output[0].CopyFrom(helper.make_tensor_value_info(_JOINT, TensorProto.FLOAT, [None, width]))
    for part in (first, second):
        declare(part, opsets)
    return compose.merge_models(first, second, io_map=[(_JOINT, "features")], prefix2="last_")


def exact(before: Any) -> dict[Any, Any] | None:
    """Scalers as plain arithmetic: ONNX's own operator for them knows single precision only."""
    from sklearn.preprocessing import StandardScaler

    return {id(step): {"div": "div"} for step in _steps(before) if isinstance(step, StandardScaler)} or None


def _steps(part: Any) -> Iterator[Any]:
    """The estimators in pipelines, unions and column transformers; of the last, the fitted ones."""
    named = [entry[:2] for entry in getattr(part, "transformers_", ())]
    for _, step in (*named, *getattr(part, "steps", ()), *getattr(part, "transformer_list", ())):
        yield step
        yield from _steps(step)


def declare(part: Any, opsets: dict[str, int]) -> None:
    """One version of each operator set, so that the parts can be merged."""
    from onnx import helper

    del part.opset_import[:]
    part.opset_import.extend(helper.make_opsetid(domain, version) for domain, version in opsets.items())
    part.ir_version = helper.find_min_ir_version_for(part.opset_import)
