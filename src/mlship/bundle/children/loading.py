"""Get the trained model: from a file of any known kind, or from a function of the project."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlship_runtime.errors import RuntimeFault

from . import formats
from .failure import Failure, ended, reason


def load(model: dict[str, str]) -> Any:
    """A fitted estimator, or a network; raises Failure."""
    found = from_file(Path(model["file"])) if "file" in model else _from_function(model)
    if is_network(found):
        return found
    if type(found).__name__ == "Booster":
        from . import boosters

        return boosters.estimator(found)
    if type(found).__name__ not in ("BoosterRegressor", "BoosterClassifier"):  # checked by being read
        check_estimator(found)
    return found


def is_network(model: Any) -> bool:
    """Whether `model` is a module of PyTorch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(model, torch.nn.Module)


def from_file(path: Path, read: Callable[[Path], Any] | None = None) -> Any:
    """What the file holds, whatever that is, read by `read` or as its content asks for; raises Failure."""
    if not path.is_file():
        raise Failure(f"{path.name} is not there", fix="Train the model first, or correct [model] source")
    kind = formats.format_of(path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = (read or _READERS[kind])(path)
        except SystemExit as end:
            raise ended(path.name, end) from end
        except ModuleNotFoundError as error:
            raise Failure(
                f"{path.name} needs the module {error.name!r}",
                cause="it was saved where that module was",
                fix="Install it in the project's Python, or put its file into the project",
            ) from error
        except (Failure, RuntimeFault):
            raise
        except AttributeError as error:
            raise _class_is_gone(path, error) from error
        except Exception as error:
            raise Failure(
                f"{path.name} is not a model that {_NAMES[kind]} can read", cause=reason(error)
            ) from error
    for warning in caught:
        made = getattr(warning.message, "original_sklearn_version", None)  # InconsistentVersionWarning
        if made is not None:
            raise Failure(
                f"{path.name} was made by scikit-learn {made}",
                cause=f"the project's Python has {warning.message.current_sklearn_version}, "  # type: ignore[union-attr]
                "which may read it wrongly",
                fix=f"Install scikit-learn=={made} there, or train the model again",
            )
    return found


def _unpickled(path: Path) -> Any:
    try:
        import joblib
    except ImportError:
        import pickle

        with path.open("rb") as file:
            return pickle.load(file)  # noqa: S301 - the user's own model, in a process of its own
    return joblib.load(path)


def _from_skops(path: Path) -> Any:
    """Trusted like a pickle: it is the project's own."""
    from skops import io

    return io.load(path, trusted=io.get_untrusted_types(file=path))


def _from_xgboost(path: Path) -> Any:
    from . import boosters

    return boosters.read(path, "xgboost")


def _from_lightgbm(path: Path) -> Any:
    from . import boosters

    return boosters.read(path, "lightgbm")


def _from_torch(path: Path) -> Any:
    from . import network

    return network.read(path, formats.format_of(path))


_READERS = {
    formats.TORCH: _from_torch,
    formats.TORCH_SCRIPT: _from_torch,
    formats.TORCH_EXPORT: _from_torch,
    formats.PICKLE: _unpickled,
    formats.SKOPS: _from_skops,
    formats.XGBOOST: _from_xgboost,
    formats.LIGHTGBM: _from_lightgbm,
}
_NAMES = {
    formats.TORCH: "PyTorch",
    formats.TORCH_SCRIPT: "PyTorch",
    formats.TORCH_EXPORT: "PyTorch",
    formats.PICKLE: "joblib or pickle",
    formats.SKOPS: "skops",
    formats.XGBOOST: "XGBoost",
    formats.LIGHTGBM: "LightGBM",
}


def _class_is_gone(path: Path, error: AttributeError) -> Failure:
    if "__main__" in str(error):
        return Failure(
            f"{path.name} needs code of the script or notebook that saved it",
            cause=reason(error),
            fix="Put that class or function into a module of the project, import it there, and save again",
        )
    return Failure(
        f"{path.name} does not fit the packages of the project's Python",
        cause=reason(error),
        fix="Install the versions that made it, or train the model again",
    )


def _from_function(model: dict[str, str]) -> Any:
    module, function = model["module"], model["function"]
    try:
        found = getattr(importlib.import_module(module), function, None)
    except SystemExit as end:
        raise ended(f"the module {module!r} of [model] source", end) from end
    except Exception as error:
        raise Failure(
            f"the module {module!r} of [model] source cannot be imported", cause=reason(error)
        ) from error
    if not callable(found):
        raise Failure(f"the module {module!r} has no function {function!r}", fix="Correct [model] source")
    try:
        return found()
    except SystemExit as end:
        raise ended(f"{module}:{function}", end) from end
    except Exception as error:
        raise Failure(f"{module}:{function} raised", cause=reason(error)) from error


def check_estimator(found: Any) -> None:
    """Raise Failure unless `found` is a fitted estimator that predicts."""
    if importlib.util.find_spec("sklearn") is None:
        raise Failure(
            f"the model is a {type(found).__module__}.{type(found).__qualname__}",
            cause="the project's Python has no scikit-learn",
            fix="Install what trained the model there, or return a network of PyTorch",
        )
    from sklearn.base import BaseEstimator
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    kind = f"{type(found).__module__}.{type(found).__qualname__}"
    if not isinstance(found, BaseEstimator):
        raise Failure(
            f"the model is a {kind}, not an estimator of scikit-learn, XGBoost or LightGBM",
            fix="Save the fitted estimator or pipeline itself: joblib.dump(model, path)",
        )
    try:
        check_is_fitted(found)
    except NotFittedError as error:
        raise Failure(
            f"the model ({type(found).__name__}) is not fitted", fix="Save it after fit()"
        ) from error
    except TypeError as error:
        raise Failure(f"the model ({type(found).__name__}) cannot be fitted", cause=reason(error)) from error
    if not hasattr(found, "predict"):
        raise Failure(
            f"the model ({type(found).__name__}) does not predict",
            fix="Give a classifier, a regressor or a pipeline",
        )
