"""The model's inputs from named arrays: the array of the same name, or else columns side by side."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

from mlship_runtime.errors import BadInput, InvalidBundle
from mlship_runtime.model.datatypes import Array
from mlship_runtime.model.engine import Node
from mlship_runtime.model.table import Table


class Feed:
    """One input of the graph, cast to its type and rank; `column` is the array that it takes as it is, if
    not that of its own name. A missing text reaches it as the empty text, unless the model takes missing
    ones."""

    def __init__(self, node: Node, columns: Sequence[str], column: str = "") -> None:
        self.input = node.name
        self.name = column or node.name
        self.columns = tuple(columns)
        self._dtype = node.dtype
        self._rank = len(node.shape)
        self._texts = node.dtype.kind == "O" and not node.takes_missing

    def assemble(self, arrays: Mapping[str, Array]) -> Array:
        """The input for one batch; raises BadInput for values that the graph's type cannot hold."""
        array = arrays.get(self.name)
        if array is None or array.dtype != self._dtype:
            try:
                with np.errstate(over="raise"):
                    array = self._table(arrays) if array is None else self._whole(array).astype(self._dtype)
            except FloatingPointError:
                raise self._too_large(arrays) from None
        if self._texts:
            array = _without_none(array)
        if array.ndim == 1 and self._rank == 2:
            return array.reshape(-1, 1)
        return array

    def _too_large(self, arrays: Mapping[str, Array]) -> BadInput:
        """The first number beyond this input's type: its column and row."""
        largest = float(np.finfo(self._dtype).max)
        for name in (self.name,) if self.name in arrays else self.columns:
            flat = arrays[name].reshape(len(arrays[name]), -1)
            if flat.dtype.kind == "f" and (beyond := np.abs(flat) > largest).any():
                row, at = divmod(int(beyond.argmax()), flat.shape[1])
                what = f"{name}, row {row} is {flat[row, at]:g}, too large for the model ({self._dtype})"
                return BadInput(what, field=name)
        return BadInput(f"{self.name} holds a number too large for {self._dtype}", field=self.name)

    def _table(self, arrays: Mapping[str, Array]) -> Array:
        """The columns side by side, from the array in which they lie already if there is one."""
        if isinstance(arrays, Table) and arrays.names == self.columns:
            return self._whole(arrays.whole.T).astype(self._dtype, order="C")
        return self._side_by_side([arrays[name] for name in self.columns])

    def _side_by_side(self, parts: list[Array]) -> Array:
        if parts[0].ndim == 1:
            try:  # one call for all columns; it refuses when a later part is a matrix
                table = np.concatenate(parts).reshape(len(parts), -1).T
            except ValueError:
                table = _wide(parts)
        else:
            table = _wide(parts)
        return self._whole(table).astype(self._dtype, order="C")

    def _whole(self, part: Array) -> Array:
        """`part`, unless it is a float column with a missing value on its way into whole numbers."""
        if self._dtype.kind in "iub" and part.dtype.kind == "f" and not np.isfinite(part).all():
            raise BadInput(f"{self.name} is missing a value that the model needs", field=self.name)
        return part


def check_fed(feeds: Iterable[Feed], known: Collection[str], reader: str) -> None:
    """Raise InvalidBundle for an input of the `reader` that the tensors `known` cannot feed: at load, not at
    the first request."""
    for feed in feeds:
        missing = set(feed.columns or (feed.name,)).difference(known)
        if feed.name not in known and missing:
            cause = f"the schema has no {', '.join(sorted(missing))}"
            raise InvalidBundle(f"nothing feeds the {reader}'s input {feed.name!r}", cause=cause)


def _wide(parts: list[Array]) -> Array:
    return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)


def _without_none(array: Array) -> Array:
    flat = ["" if text is None else text for text in array.ravel().tolist()]
    return np.array(flat, object).reshape(array.shape)
