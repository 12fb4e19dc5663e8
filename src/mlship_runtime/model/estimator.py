"""The model of a bundle as it was trained: an estimator in the form of scikit-learn, read from a file that
may name only what the bundle lists.

For models that have no ONNX form. Modules of the project that it needs lie beside it, in `model/code/`.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from mlship_runtime.errors import InvalidBundle
from mlship_runtime.model.datatypes import NUMPY_TYPES, Array
from mlship_runtime.model.engine import ModelFailed
from mlship_runtime.model.restored import restore

CODE = "model/code"


class Given:
    """An input of the estimator, as the bundle describes it."""

    takes_missing = True

    def __init__(self, description: Mapping[str, Any]) -> None:
        self.name: str = description["name"]
        self.dtype: np.dtype[Any] = NUMPY_TYPES[description["datatype"]]
        self.shape: tuple[int, ...] = tuple(description["shape"])


class Estimator:
    """One loaded estimator. `said` is the `model` of mlship.json, `roots` are the folders that hold its
    layer, `names` the outputs to answer (all if there are none). Raises InvalidBundle."""

    def __init__(
        self, data: bytes, said: Mapping[str, Any], roots: Sequence[str], names: Sequence[str], threads: int
    ) -> None:
        folders = [os.path.join(root, *CODE.split("/")) for root in roots]
        sys.path.extend(folder for folder in folders if os.path.isdir(folder) and folder not in sys.path)
        self._model = restore(data, said["serialization"], said["globals"])
        self.inputs = tuple(Given(each) for each in said["inputs"])
        self._frame = _pandas() if said["reads"] == "frame" else None
        self.names = list(names or said["answers"])
        for name in self.names:
            if name not in said["answers"]:
                raise InvalidBundle(f"the model has no output {name!r}")
        _limit_threads(threads)

    def run(self, feed: Mapping[str, Array]) -> list[Array]:
        """The outputs, in the order of `names`; raises ModelFailed."""
        try:
            rows = self._rows(feed)
            return [_ANSWERS[name](self._model, rows) for name in self.names]
        except (Exception, SystemExit) as error:
            raise ModelFailed(f"the model failed on this input ({type(error).__name__})") from error

    def row(self) -> None:
        """There is no quicker way for one row."""

    def _rows(self, feed: Mapping[str, Array]) -> Any:
        if self._frame is None:
            return feed[self.inputs[0].name]
        return self._frame({node.name: feed[node.name].reshape(-1) for node in self.inputs})


def _label(model: Any, rows: Any) -> Array:
    found = np.asarray(model.predict(rows))
    if found.dtype.kind in "UO":
        return np.array([str(value) for value in found.ravel().tolist()], object).reshape(found.shape)
    return found.astype(np.int64)


def _probabilities(model: Any, rows: Any) -> Array:
    return np.asarray(model.predict_proba(rows))


def _prediction(model: Any, rows: Any) -> Array:
    found = np.asarray(model.predict(rows))
    return found.reshape(len(found), -1).astype(np.float64)


_ANSWERS = {"label": _label, "probabilities": _probabilities, "prediction": _prediction}
ANSWERS = frozenset(_ANSWERS)


def _pandas() -> Any:
    try:
        return importlib.import_module("pandas").DataFrame
    except ImportError as error:
        raise InvalidBundle("the model reads a table, and the runtime has no pandas") from error


def _limit_threads(threads: int) -> None:
    """Of the libraries beneath, which would otherwise take all processors for each process."""
    with suppress(ImportError):
        importlib.import_module("threadpoolctl").threadpool_limits(threads)
