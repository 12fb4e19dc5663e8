"""An estimator becomes an ONNX graph; what the original answers is kept for comparison."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mlship_runtime.model.datatypes import Array, datatype_of

from . import boosters, graph, precise
from .failure import Failure, reason
from .features import Features

ML_OPSET = 3


def convert(
    model: Any,
    features: Features,
    opset: int,
    precision: str,
    split: int | str | None = None,
    beside: dict[str, int] | None = None,
) -> dict[str, Any]:
    """Ask the model about `features`, convert it to a graph that reads numbers in `precision`, of the
    versions of `beside`, if it can be, so that it goes together with a graph of these. Raises Failure.

    Returns graph (bytes), assemble, outputs (names), classes, reference (tensors), margins, framework,
    converter, opset; with `split`, what `splitting.convert` adds.
    """
    import onnx
    import skl2onnx
    import sklearn

    from . import splitting

    parts = splitting.divide(model, split) if split is not None else None
    ordered = features.ordered(model)
    reference, margins = answers(model, ordered)
    packages = boosters.packages_in(model)
    others = boosters.register(packages)
    if beside and beside.get("", 0) >= graph.OLDEST_JOINED:
        opset = beside[""]
    opset = min(opset, onnx.defs.onnx_opset_version(), skl2onnx.__max_supported_opset__)
    if parts is not None:
        found = splitting.convert(parts, ordered, opset, precision)
        converted = found.pop("model")
    else:
        converted, assemble = to_onnx(model, ordered, opset, precision)
        graph.adopt(converted, beside or {}, {"": opset, "ai.onnx.ml": ML_OPSET})
        found = {"assemble": assemble}
    names = _rename_outputs(converted, reference)
    return {
        **found,
        "graph": graph.normalised(converted),
        "outputs": names,
        "classes": classes(model, reference, names),
        "reference": [{**tensor, "name": name} for tensor, name in zip(reference, names)],
        "margins": margins,
        "framework": framework(model, packages),
        "converter": {
            "scikit-learn": sklearn.__version__,
            "skl2onnx": skl2onnx.__version__,
            "onnx": onnx.__version__,
            **others,
        },
        "opset": opset,
    }


def framework(model: Any, packages: list[str]) -> str:
    """What made the model itself; a pipeline around it is scikit-learn's."""
    alone = type(model).__module__.partition(".")[0] != "sklearn" and len(packages) == 1
    return packages[0] if alone else "sklearn"


def answers(model: Any, features: Features) -> tuple[list[dict[str, Any]], list[float] | None]:
    """What the original says: [label, probabilities], [label] or [prediction]; and for labels without
    probabilities how far each decision is from its alternative."""
    from sklearn.base import is_regressor

    rows = features.for_model(model)
    try:
        predicted = np.asarray(model.predict(rows))
        if is_regressor(model) or predicted.dtype.kind == "f":
            return [_tensor("prediction", predicted.reshape(len(predicted), -1).astype(np.float64))], None
        if predicted.ndim != 1:
            raise Failure("the model predicts several labels at once", fix="Ship one model per label")
        if hasattr(model, "predict_proba"):
            return [
                _tensor("label", predicted),
                _tensor("probabilities", np.asarray(model.predict_proba(rows))),
            ], None
        scores = np.asarray(model.decision_function(rows)) if hasattr(model, "decision_function") else None
    except Failure:
        raise
    except Exception as error:
        raise features.not_answered(reason(error), _text_columns(features)) from error
    return [_tensor("label", predicted)], None if scores is None else _margins(scores)


def classes(model: Any, reference: list[dict[str, Any]], names: list[str]) -> dict[str, list[str]]:
    """The classes in the order of the probabilities, by the name of that output; as the label writes them."""
    given = {name: tensor for name, tensor in zip(names, reference) if tensor["name"] == "probabilities"}
    if not given:
        return {}
    found = [str(value) for value in _tensor("label", np.asarray(model.classes_))["data"]]
    return {name: found for name, tensor in given.items() if tensor["shape"][1:] == [len(found)]}


def _text_columns(features: Features) -> str:
    texts = [name for name, array in features.columns.items() if array.dtype.kind == "O"]
    if not texts:
        return ""
    return f"It gets text in {', '.join(texts[:6])}: encode it in the reduction step or correct the examples"


def _margins(scores: Array) -> list[float]:
    if scores.ndim == 1:
        return [float(score) for score in np.abs(scores)]
    best = np.sort(scores, axis=1)
    return [float(margin) for margin in best[:, -1] - best[:, -2]]


def _tensor(name: str, array: Array) -> dict[str, Any]:
    if array.dtype.kind in "UO":
        return _json(name, "BYTES", array, [str(value) for value in array.ravel().tolist()])
    if name == "label":
        whole = array.astype(np.int64)
        if (whole != array).any():
            raise Failure(
                "the model's labels are fractions", fix="Train it on whole numbers or texts as labels"
            )
        return _json(name, "INT64", array, whole.ravel().tolist())
    return _json(name, datatype_of(array.dtype), array, array.ravel().tolist())


def _json(name: str, datatype: str, array: Array, data: list[Any]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": list(array.shape), "data": data}


Maker = Callable[[list[tuple[str, Any]], Any, dict[str, int]], Any]


def to_onnx(
    model: Any, features: Features, opset: int, precision: str, make: Maker | None = None
) -> tuple[Any, dict[str, list[str]]]:
    """The graph, and which features each of its inputs is made of. `make` converts `model`, given inputs,
    options and opsets, where skl2onnx alone should not. Raises Failure with the converter's reason."""
    import skl2onnx
    from sklearn.base import is_classifier

    options = {id(model): {"zipmap": False}} if make is None and is_classifier(model) else None
    opsets = {"": opset, "ai.onnx.ml": ML_OPSET}
    error: BaseException | None = None
    with graph.truth_as_whole_numbers():
        for initial, assemble in _inputs(model, features, precision):
            for chosen in (options, None) if options else (None,):
                try:
                    if make is not None:
                        return make(initial, chosen, opsets), assemble
                    if precision == "FP64":
                        last = {id(model.steps[-1][1]): {"zipmap": False}} if chosen else None
                        return precise.to_onnx(model, initial, opsets, last), assemble
                    found = skl2onnx.to_onnx(
                        model, initial_types=initial, options=chosen, target_opset=opsets
                    )
                except Failure:
                    raise
                except NameError as fault:  # a classifier without that option has no ZipMap either
                    error = error or fault
                except Exception as fault:
                    error = error or fault
                    break
                else:
                    return found, assemble
    while error is not None and error.__cause__ is not None:
        error = error.__cause__  # skl2onnx wraps the reason in a dump of the whole node
    raise Failure(
        f"the model ({type(model).__name__}) cannot be converted to ONNX",
        cause=reason(error) if error else "",
        fix="The estimators that can be are listed by skl2onnx.supported_converters(); others can be served "
        'in Python: [model] engine = "python"',
    ) from error


def _inputs(
    model: Any, features: Features, precision: str
) -> list[tuple[list[tuple[str, Any]], dict[str, list[str]]]]:
    """The ways to declare the graph's inputs, in the order in which they are tried."""
    from skl2onnx.common.data_types import (
        DoubleTensorType,
        FloatTensorType,
        Int64TensorType,
        StringTensorType,
    )

    number = {"FP32": FloatTensorType, "FP64": DoubleTensorType}[precision]

    if features.all_numeric and not picks_by_name(model):
        name = features.matrix_name or free_name(features.names)
        members = features.names
        return [([(name, number([None, features.width]))], {name: members})]

    def kind(array: Array, whole: bool) -> Any:
        if array.dtype.kind == "O":
            return StringTensorType([None, 1])
        return Int64TensorType([None, 1]) if whole and array.dtype.kind in "iu" else number([None, 1])

    if features.matrix_name is not None:
        width = features.width
        return [
            (
                [(features.matrix_name, StringTensorType([None, width]))],
                {features.matrix_name: features.names},
            )
        ]
    assemble = {name: [name] for name in features.names}
    return [
        ([(name, kind(array, whole)) for name, array in features.columns.items()], assemble)
        for whole in (True, False)
    ]


def picks_by_name(model: Any) -> bool:
    """Whether columns are chosen by name somewhere in the model (a ColumnTransformer fitted on a
    DataFrame)."""
    from sklearn.compose import ColumnTransformer

    if isinstance(model, ColumnTransformer):
        return hasattr(model, "feature_names_in_")
    parts = [getattr(model, "steps", ()), getattr(model, "transformer_list", ())]
    inner = [part for named in parts for part in named]
    return any(
        picks_by_name(part[1]) for part in inner if part[1] is not None and not isinstance(part[1], str)
    )


def free_name(taken: list[str]) -> str:
    return next(name for name in ("X", "features", "model_input", "mlship_input") if name not in taken)


def _rename_outputs(model: Any, reference: list[dict[str, Any]]) -> list[str]:
    """Give the outputs their names (and drop those that have no counterpart in `reference`)."""
    inputs = {node.name for node in model.graph.input}
    names = []
    for tensor in reference:
        name = tensor["name"]
        names.append(name + "_out" if name in inputs else name)
    del model.graph.output[len(names) :]
    graph.rename(model.graph, {node.name: name for node, name in zip(model.graph.output, names)})
    return names
