"""The project's reduction step on the examples: does it answer, with the right rows, twice the same, row by
row?"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mlship_runtime.model.datatypes import Array, datatype_of

from . import modules
from .failure import Failure, ended, reason

Columns = dict[str, Array]
_SINGLE_ROWS = 3  # rows that are also reduced alone
_ALONE_TOLERANCE = 1e-5  # relative: vectorised mathematics may round otherwise for other lengths


class Reduction:
    """A step with where it came from (`name` is module:function); `before` are the modules that were there
    before it was imported."""

    def __init__(self, step: Callable[[Columns], Columns], root: Path, before: set[str], name: str) -> None:
        self.step, self.root, self.before, self.name = step, root, before, name

    def __call__(self, columns: Columns) -> Columns:
        """Raises Failure where the step ends the process, and whatever else it raises."""
        try:
            return self.step({name: array.copy() for name, array in columns.items()})
        except SystemExit as end:
            raise ended(f"the reduction {self.name}", end) from end


def load(module: str, function: str, root: str) -> Reduction:
    """Import `function` of the project's `module`; raises Failure if it is not there or not the project's."""
    before = modules.loaded()
    try:
        found = importlib.import_module(module)
    except SystemExit as end:
        raise ended(f"the reduction module {module!r}", end) from end
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name == module.partition(".")[0]:
            raise Failure(
                f"the project has no module {module!r}", fix="Correct [reduction] step in mlship.toml"
            ) from error
        raise Failure(f"the reduction module {module!r} cannot be imported", cause=reason(error)) from error
    if not modules.is_of_project(found, Path(root)):
        raise Failure(
            f"the reduction module {module!r} is not the project's",
            cause=f"Python has another one of that name: {getattr(found, '__file__', None) or 'built in'}",
            fix="Rename the project's module",
        )
    step = getattr(found, function, None)
    if not callable(step):
        raise Failure(
            f"the module {module!r} has no function {function!r}",
            fix="Correct [reduction] step in mlship.toml",
        )
    return Reduction(step, Path(root), before, f"{module}:{function}")


def run(reduction: Reduction, columns: Columns) -> Columns:
    """The reduced columns; raises Failure that names the row where the step raises or does not repeat
    itself."""
    rows = len(next(iter(columns.values())))
    try:
        first = reduction(columns)
    except Failure:
        raise
    except Exception as error:
        raise _raised(reduction, columns, rows, error) from error
    _check(first, rows)
    second = reduction(columns)
    _check(second, rows)
    _compare_runs(first, second)
    _compare_alone(reduction, columns, first, rows)
    return {name: _plain(array) for name, array in first.items()}


def sources(reduction: Reduction, include: list[str]) -> dict[str, str]:
    """What goes into the reduction's layer: path in the layer -> file, the modules and the included files."""
    return modules.collect(reduction.root, reduction.before, include)


def _raised(reduction: Reduction, columns: Columns, rows: int, error: Exception) -> Failure:
    low, high = 0, rows
    while high - low > 1:
        middle = (low + high) // 2
        if fault := _fault_of(reduction, columns, low, middle):
            high, error = middle, fault
        elif fault := _fault_of(reduction, columns, middle, high):
            low, error = middle, fault
        else:
            break
    where = (
        f"on row {low} of the examples"
        if high - low == 1
        else f"on rows {low} to {high - 1} of the examples together"
    )
    return Failure(f"the reduction raised {where}", cause=reason(error), fix=_row_values(columns, low, high))


def _fault_of(reduction: Reduction, columns: Columns, low: int, high: int) -> Exception | None:
    try:
        reduction({name: array[low:high] for name, array in columns.items()})
    except Failure:
        raise
    except Exception as error:
        return error
    return None


def _row_values(columns: Columns, low: int, high: int) -> str:
    if high - low != 1:
        return ""
    shown = [f"{name}={array[low]}" for name, array in columns.items() if array.ndim == 1][:6]
    return f"That row has {', '.join(shown)}" if shown else ""


def _check(result: Any, rows: int) -> None:
    fix = "It must return a dict of arrays, batch first: {name: array of shape [rows, …]}"
    if not isinstance(result, dict) or not result:
        raise Failure(f"the reduction returned {type(result).__name__}, not arrays by name", fix=fix)
    for name, array in result.items():
        if not isinstance(name, str) or not isinstance(array, np.ndarray):
            raise Failure(f"the reduction returned {type(array).__name__} as {name!r}", fix=fix)
        if array.ndim == 0 or len(array) != rows:
            raise Failure(
                f"the reduction returned {name!r} of shape {list(array.shape)} for {rows} rows", fix=fix
            )
        if array.ndim > 1 and 0 in array.shape:
            raise Failure(
                f"the reduction returned {name!r} of shape {list(array.shape)}", cause="it is empty"
            )
        try:
            datatype_of(array.dtype)
        except KeyError:
            raise Failure(f"the reduction returned {name!r} of type {array.dtype}", fix=fix) from None
        if array.dtype.kind == "O":
            _check_texts(name, array)
        if array.dtype.kind == "f" and np.isinf(array).any():
            row = int(np.isinf(array).reshape(rows, -1).any(axis=1).argmax())
            raise Failure(f"the reduction returned an infinite {name!r} for row {row} of the examples")


def _check_texts(name: str, array: Array) -> None:
    for at, value in enumerate(array.ravel().tolist()):
        if value is not None and not isinstance(value, str):
            row = at // math.prod(array.shape[1:])
            raise Failure(
                f"the reduction returned {type(value).__name__} in {name!r}, row {row}",
                cause="an array of objects may hold text and None",
                fix="Return numbers as an array of numbers: array.astype(float)",
            )


def _compare_runs(first: Columns, second: Columns) -> None:
    if list(first) != list(second):
        raise Failure("the reduction is not deterministic", cause=f"{list(first)}, then {list(second)}")
    for name, array in first.items():
        other = second[name]
        if array.shape != other.shape or array.dtype != other.dtype:
            raise Failure(
                "the reduction is not deterministic",
                cause=f"{name!r} was {array.dtype}{list(array.shape)}, then {other.dtype}{list(other.shape)}",
            )
        row = _first_difference(array, other, 0.0)
        if row is not None:
            raise Failure(
                f"the reduction is not deterministic: {name!r} differs between two runs in row {row}",
                cause="it draws random numbers, or reads the clock or something that it changes itself",
            )


def _compare_alone(reduction: Reduction, columns: Columns, whole: Columns, rows: int) -> None:
    """A row must give the same alone as among others: a server sees it in other company than the build
    did."""
    for row in sorted({0, rows // 2, rows - 1})[:_SINGLE_ROWS]:
        try:
            alone = reduction({name: array[row : row + 1] for name, array in columns.items()})
        except Failure:
            raise
        except Exception as error:
            raise Failure(f"the reduction raised on row {row} alone", cause=reason(error)) from error
        _check(alone, 1)
        for name, array in whole.items():
            given = alone.get(name)
            if given is None or given.shape[1:] != array.shape[1:]:
                raise Failure(f"the reduction returns another {name!r} for row {row} alone")
            if _first_difference(array[row : row + 1], given, _ALONE_TOLERANCE) is not None:
                raise Failure(
                    f"the reduction returns another {name!r} for row {row} alone than among all rows",
                    cause="it uses the other rows of the batch (their mean, say)",
                    fix="Compute such values in training and keep them as constants",
                )


def _first_difference(array: Array, other: Array, relative: float) -> int | None:
    if array.dtype.kind == "f":
        same = (array == other) | (np.isnan(array) & np.isnan(other))
        if relative:
            same |= np.abs(array - other) <= relative * np.maximum(np.abs(array), 1e-6)
    else:
        same = np.asarray(array == other)
    wrong = ~same.reshape(len(array), -1).all(axis=1)
    return int(wrong.argmax()) if wrong.any() else None


def _plain(array: Array) -> Array:
    """Texts as objects, numbers in the machine's byte order."""
    if array.dtype.kind == "U":
        return array.astype(object)
    return array.astype(array.dtype.newbyteorder("="))
