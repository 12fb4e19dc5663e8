"""A pipeline whose steps before the last compute in double precision, as scikit-learn does.

In single precision a scaled value can fall on the other side of a threshold. What the last step reads is
cast to FP32 then, which is also what scikit-learn's trees do with it.
"""

from __future__ import annotations

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
    first = skl2onnx.to_onnx(before, initial_types=initial, options=_exact(before), target_opset=opsets)
    reads = [("features", FloatTensorType([None, width]))]
    second = skl2onnx.to_onnx(last, initial_types=reads, options=options, target_opset=opsets)
    given = first.graph.output[0].name
    first.graph.node.append(helper.make_node("Cast", [given], [_JOINT], to=TensorProto.FLOAT))
    first.graph.output[0].CopyFrom(helper.make_tensor_value_info(_JOINT, TensorProto.FLOAT, [None, width]))
    for part in (first, second):
        _declare(part, opsets)
    return compose.merge_models(first, second, io_map=[(_JOINT, "features")], prefix2="last_")


def _exact(before: Any) -> dict[Any, Any] | None:
    """Scalers as plain arithmetic: ONNX's own operator for them knows single precision only."""
    from sklearn.preprocessing import StandardScaler

    scalers = [step for _, step in before.steps if isinstance(step, StandardScaler)]
    return {id(step): {"div": "div"} for step in scalers} or None


def _declare(part: Any, opsets: dict[str, int]) -> None:
    """One version of each operator set, so that the parts can be merged."""
    from onnx import helper

    del part.opset_import[:]
    part.opset_import.extend(helper.make_opsetid(domain, version) for domain, version in opsets.items())
    part.ir_version = helper.find_min_ir_version_for(part.opset_import)
