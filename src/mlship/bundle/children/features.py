"""What the model reads: the reduced (or raw) columns, as arrays for the original and as inputs of the
graph."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from mlship_runtime.model.datatypes import Array, datatype_of
from mlship_runtime.model.tensors import json_values

from .failure import Failure

_NUMBERS = "biuf"
_BESIDE = 6  # names shown in a message


class Features:
    """Named arrays with equal first dimension: the examples' own, or what the reduction made of them.
    `nullable` names the columns that may be missing; None looks at the values."""

    def __init__(
        self, columns: dict[str, Array], nullable: set[str] | None, *, reduced: bool = False
    ) -> None:
        self.columns = columns
        self.reduced = reduced
        self._nullable = nullable
        self.rows = len(next(iter(columns.values())))

    @property
    def names(self) -> list[str]:
        return list(self.columns)

    @property
    def giver(self) -> str:
        """Who gives these, in words that `not` follows."""
        return "the reduction does" if self.reduced else "the examples do"

    @property
    def all_numeric(self) -> bool:
        return all(array.dtype.kind in _NUMBERS for array in self.columns.values())

    @property
    def matrix_name(self) -> str | None:
        """The name of the only array, if it is a matrix [rows, n] already."""
        if len(self.columns) == 1:
            ((name, array),) = self.columns.items()
            return name if array.ndim == 2 else None
        return None

    @property
    def width(self) -> int:
        """How many features the model sees."""
        return sum(array.shape[1] if array.ndim == 2 else 1 for array in self.columns.values())

    def ordered(self, model: Any) -> Features:
        """These features in the order of the model's own names; raises Failure where names or number
        differ."""
        wanted = [self._called(str(name)) for name in getattr(model, "feature_names_in_", ())]
        count = getattr(model, "n_features_in_", None)
        if wanted and self.matrix_name is None:
            self._check_names(wanted)
            columns = {name: self.columns[name] for name in wanted}
            return Features(columns, self._nullable, reduced=self.reduced)
        if count is not None and count != self.width:
            raise self.wrong_width("the model", count)
        return self

    def _called(self, name: str) -> str:
        """The column that a model means by `name`: LightGBM writes `_` for spaces."""
        if name in self.columns:
            return name
        return next((column for column in self.columns if column.replace(" ", "_") == name), name)

    def wrong_width(self, reader: str, count: int) -> Failure:
        """Of a model (`reader` says which) that reads `count` features, which are not these."""
        if self.reduced:
            shapes = [f"{name!r} of shape {list(array.shape)}" for name, array in self.columns.items()]
            return Failure(
                f"the reduction returned {_few(shapes)}, {reader} reads {count} features",
                fix="Correct the reduction: it must return what the model was trained on",
            )
        return Failure(
            f"{reader} reads {count} features, the examples give {self.width}",
            cause=f"they are {_few(self.names)}" if self.matrix_name is None else "",
            fix="Name the model's columns in mlship.toml: [golden] columns = [...]",
        )

    def not_answered(self, cause: str, fix: str) -> Failure:
        """Of a model that raised on these, for the reason `cause`."""
        missing = self._first_missing() if self.reduced and "nan" in cause.lower() else None
        if missing is None:
            return Failure("the model cannot answer the examples", cause=cause, fix=fix)
        name, row = missing
        return Failure(
            f"the reduction returned NaN in {name!r} for row {row} of the examples",
            cause=f"the model takes none: {cause}",
            fix="Fill missing values in the reduction, or train a model that takes them",
        )

    def _first_missing(self) -> tuple[str, int] | None:
        for name, array in self.columns.items():
            gone = np.isnan(array).reshape(self.rows, -1).any(axis=1) if array.dtype.kind == "f" else None
            if gone is not None and gone.any():
                return name, int(gone.argmax())
        return None

    def _check_names(self, wanted: Sequence[str]) -> None:
        missing = [name for name in wanted if name not in self.columns]
        more = [name for name in self.columns if name not in wanted]
        if self.reduced and (missing or more):
            raise Failure(
                f"the reduction returned {_few(self.names)}",
                cause=f"the model reads {_few(wanted)}",
                fix="Correct the reduction: return the model's columns by their names",
            )
        if missing:
            raise Failure(
                f"the model reads columns that the examples do not have: {_few(missing)}",
                cause=f"the examples have {_few(self.names)}",
                fix="Give the model's own columns as examples, or return them from the reduction step",
            )
        if more:
            raise Failure(
                f"the examples have columns that the model does not read: {_few(more)}",
                fix=f"Name the ones it reads: [golden] columns = [{', '.join(map(repr, wanted))}]",
            )

    def for_model(self, model: Any) -> Any:
        """What the original model is called with: a DataFrame if it was fitted on one, or has texts and does
        not tell; else a matrix."""
        if self.matrix_name is not None:
            return self.columns[self.matrix_name]
        flat = {name: array[:, 0] if array.ndim == 2 else array for name, array in self._narrow().items()}
        tells = self.all_numeric or hasattr(model, "n_features_in_")
        if hasattr(model, "feature_names_in_") or not tells:
            with contextlib.suppress(ImportError):
                import pandas  # type: ignore[import-untyped,unused-ignore]

                return pandas.DataFrame(flat)
        kind = np.float64 if self.all_numeric else object
        return np.stack([array.astype(kind) for array in flat.values()], axis=1)

    def _narrow(self) -> dict[str, Array]:
        """The columns if each is [rows] or [rows, 1]; raises Failure otherwise."""
        for name, array in self.columns.items():
            if array.ndim > 2 or (array.ndim == 2 and array.shape[1] != 1):
                raise Failure(
                    f"{name!r} has the shape {list(array.shape)} beside other columns",
                    fix="Give the model one matrix [rows, n], or columns of shape [rows]",
                )
        return self.columns

    def schema(self) -> list[list[Any]]:
        """[name, datatype, shape with -1 for rows, nullable] of each."""
        return [
            [name, datatype_of(array.dtype), [-1, *array.shape[1:]], self._may_miss(name)]
            for name, array in self.columns.items()
        ]

    def tensors(self) -> list[dict[str, Any]]:
        """All values as JSON tensors; missing = null."""
        return [
            {
                "name": name,
                "datatype": datatype_of(array.dtype),
                "shape": list(array.shape),
                "data": json_values(datatype_of(array.dtype), array),
            }
            for name, array in self.columns.items()
        ]

    def _may_miss(self, name: str) -> bool:
        if self._nullable is not None:
            return name in self._nullable
        array = self.columns[name]
        if array.dtype.kind == "f":
            return bool(np.isnan(array).any())
        return array.dtype.kind == "O" and any(value is None for value in array.ravel())


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:_BESIDE]) + (f" and {len(names) - _BESIDE} more" if len(names) > _BESIDE else "")
