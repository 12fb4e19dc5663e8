"""Get the trained model: from a file (joblib or pickle), or from a function of the project."""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path
from typing import Any

from .failure import Failure, ended, reason


def load(model: dict[str, str]) -> Any:
    """A fitted scikit-learn estimator; raises Failure."""
    found = _from_file(Path(model["file"])) if "file" in model else _from_function(model)
    _check_estimator(found)
    return found


def _from_file(path: Path) -> Any:
    import joblib
    from sklearn.exceptions import InconsistentVersionWarning

    if not path.is_file():
        raise Failure(f"{path.name} is not there", fix="Train the model first, or correct [model] source")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = joblib.load(path)
        except SystemExit as end:
            raise ended(path.name, end) from end
        except ModuleNotFoundError as error:
            raise Failure(
                f"{path.name} needs the module {error.name!r}",
                cause="it was saved where that module was",
                fix="Install it in the project's Python, or put its file into the project",
            ) from error
        except AttributeError as error:
            raise _class_is_gone(path, error) from error
        except Exception as error:
            raise Failure(
                f"{path.name} is not a model that joblib or pickle can read", cause=reason(error)
            ) from error
    for warning in caught:
        if isinstance(warning.message, InconsistentVersionWarning):
            made, here = warning.message.original_sklearn_version, warning.message.current_sklearn_version
            raise Failure(
                f"{path.name} was made by scikit-learn {made}",
                cause=f"the project's Python has {here}, which may read it wrongly",
                fix=f"Install scikit-learn=={made} there, or train the model again",
            )
    return found


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


def _check_estimator(found: Any) -> None:
    from sklearn.base import BaseEstimator
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    kind = f"{type(found).__module__}.{type(found).__qualname__}"
    if not isinstance(found, BaseEstimator):
        raise Failure(
            f"the model is a {kind}, not a scikit-learn estimator",
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
