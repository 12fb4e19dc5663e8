"""XGBoost and LightGBM: boosters become estimators, and their converters stand beside scikit-learn's."""
# mypy: allow-subclassing-any

from __future__ import annotations

import importlib
import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from mlship_runtime.model.datatypes import Array

from .failure import Failure

PACKAGES = ("xgboost", "lightgbm")
_XGBOOST = {
    "classifiers": ("XGBClassifier", "XGBRFClassifier"),
    "others": ("XGBRegressor", "XGBRFRegressor", "XGBRanker"),
}
_DECIDING = ("binary", "multi")


class BoosterRegressor(RegressorMixin, BaseEstimator):
    """A LightGBM booster that answers with a number; made by `of_lightgbm`."""

    boosting_type = "gbdt"
    booster_: Any

    def predict(self, rows: Any) -> Array:
        return np.asarray(self.booster_.predict(rows))


class BoosterClassifier(ClassifierMixin, BoosterRegressor):
    """A LightGBM booster that decides. Its file has forgotten the labels: they are 0, 1, …"""

    classes_: Array

    def predict_proba(self, rows: Any) -> Array:
        found = np.asarray(self.booster_.predict(rows))
        return np.stack([1 - found, found], axis=1) if found.ndim == 1 else found

    def predict(self, rows: Any) -> Array:
        return np.asarray(self.classes_[self.predict_proba(rows).argmax(axis=1)])


def read(path: Path, package: str) -> Any:
    """The estimator in a model file of XGBoost (JSON, UBJSON) or LightGBM (text)."""
    if package == "lightgbm":
        import lightgbm

        return of_lightgbm(lightgbm.Booster(model_file=str(path)))
    import xgboost

    booster = xgboost.Booster()
    booster.load_model(bytearray(path.read_bytes()))
    return of_xgboost(booster)


def estimator(model: Any) -> Any:
    """`model`, or what makes an estimator of it where it is a bare booster."""
    kind = f"{type(model).__module__}.{type(model).__qualname__}"
    if kind == "xgboost.core.Booster":
        return of_xgboost(model)
    return of_lightgbm(model) if kind == "lightgbm.basic.Booster" else model


def of_xgboost(booster: Any) -> Any:
    """A booster as XGBoost's own estimator. All its trees count, unless an estimator that stopped early has
    saved it."""
    import xgboost

    saved_as = json.loads(booster.attr("scikit_learn") or "{}").get("_estimator_type")
    if saved_as is None:
        booster.set_attr(best_iteration=None, best_score=None)
    objective = json.loads(booster.save_config())["learner"]["objective"]["name"]
    decides = saved_as == "classifier" if saved_as else objective.startswith(_DECIDING)
    found = xgboost.XGBClassifier() if decides else xgboost.XGBRegressor()
    found.load_model(booster.save_raw("ubj"))
    if objective == "multi:softmax":  # the same decisions, with their probabilities
        found.get_booster().set_param({"objective": "multi:softprob"})
        found.objective = "multi:softprob"
    return found


def of_lightgbm(booster: Any) -> Any:
    """A booster as an estimator with its feature names."""
    about = booster.dump_model(num_iteration=1)
    decides = about.get("objective", "").startswith(_DECIDING)
    found = BoosterClassifier() if decides else BoosterRegressor()
    found.booster_ = booster
    found.n_features_in_ = booster.num_feature()
    if decides:
        found.classes_ = np.arange(max(2, about["num_class"]))
    if about.get("average_output"):
        found.boosting_type = "rf"
    names = booster.feature_name()
    if names != [f"Column_{number}" for number in range(len(names))]:
        found.feature_names_in_ = np.asarray(names, dtype=object)
    return found


def packages_in(model: Any) -> list[str]:
    """Which of the two `model` is made of, itself or in its parts."""
    seen: set[int] = set()
    found: set[str] = set()
    waiting = [model]
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, (list, tuple)):
            waiting += part
        elif isinstance(part, dict):
            waiting += part.values()
        elif isinstance(part, BaseEstimator):
            package = "lightgbm" if isinstance(part, BoosterRegressor) else _package(part)
            found.update({package} & set(PACKAGES))
            waiting += vars(part).values()
    return sorted(found)


def register(packages: list[str]) -> dict[str, str]:
    """Teach skl2onnx their estimators, and give the versions of what converts. Raises Failure without
    onnxmltools."""
    if not packages:
        return {}
    if importlib.util.find_spec("onnxmltools") is None:
        raise Failure(
            "the project's Python has no onnxmltools",
            cause=f"the model is made with {' and '.join(packages)}",
            fix="Install it there: pip install onnxmltools",
        )
    for package in packages:
        {"xgboost": _register_xgboost, "lightgbm": _register_lightgbm}[package]()
    return {name: importlib.import_module(name).__version__ for name in (*packages, "onnxmltools")}


def _package(part: Any) -> str:
    return type(part).__module__.partition(".")[0]


def _register_xgboost() -> None:
    import xgboost

    for name in _XGBOOST["classifiers"]:
        _add(getattr(xgboost, name), _convert_xgboost, decides=True)
    for name in _XGBOOST["others"]:
        _add(getattr(xgboost, name), _convert_xgboost, decides=False)


def _register_lightgbm() -> None:
    import lightgbm
    from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm

    for kind in (lightgbm.LGBMClassifier, BoosterClassifier):
        _add(kind, convert_lightgbm, decides=True)
    for kind in (lightgbm.LGBMRegressor, lightgbm.LGBMRanker, BoosterRegressor):
        _add(kind, convert_lightgbm, decides=False)


def _add(kind: type, converter: Any, *, decides: bool) -> None:
    import skl2onnx
    from skl2onnx.common import shape_calculator

    options: dict[str, Any] = {"nocl": [True, False], "zipmap": [True, False, "columns"]}
    skl2onnx.update_registered_converter(
        kind,
        f"Mlship{kind.__name__}",
        shape_calculator.calculate_linear_classifier_output_shapes
        if decides
        else shape_calculator.calculate_linear_regressor_output_shapes,
        converter,
        options=options if decides else {"split": None},
    )


def _convert_xgboost(scope: Any, operator: Any, container: Any) -> None:
    """onnxmltools' converter, for features that have names too: it knows numbers only."""
    from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost

    booster = operator.raw_operator.get_booster()
    kind = json.loads(booster.save_config())["learner"]["gradient_booster"]["name"]
    if kind != "gbtree":
        raise Failure(
            f"the model is a {kind} booster of XGBoost, which cannot be converted to ONNX",
            fix="Train it with booster='gbtree'",
        )
    names, booster.feature_names = booster.feature_names, None
    try:
        convert_xgboost(scope, operator, container)
    finally:
        booster.feature_names = names
