"""The model's inputs from named arrays: the array of the same name, or else columns side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mlship_runtime.datatypes import Array
from mlship_runtime.errors import BadInput
from mlship_runtime.session import ModelInput


class Feed:
    """One input of the graph, cast to its type and rank. A missing text reaches it as the empty text."""

    def __init__(self, node: ModelInput, columns: Sequence[str]) -> None:
        self.name = node.name
        self.columns = tuple(columns)
        self._dtype = node.dtype
        self._rank = node.rank
        self._texts = node.dtype.kind == "O"

    def assemble(self, arrays: Mapping[str, Array]) -> Array:
        """The input for one batch; raises BadInput for values that the graph's type cannot hold."""
        array = arrays.get(self.name)
        if array is None or array.dtype != self._dtype:
            try:
                with np.errstate(over="raise"):
                    if array is None:
                        array = self._side_by_side([arrays[name] for name in self.columns])
                    else:
                        array = self._whole(array).astype(self._dtype)
            except FloatingPointError:
                what = f"{self.name} holds a number too large for {self._dtype}"
                raise BadInput(what, field=self.name) from None
        if self._texts:
            array = _without_none(array)
        if array.ndim == 1 and self._rank == 2:
            return array.reshape(-1, 1)
        return array

    def _side_by_side(self, parts: list[Array]) -> Array:
        width = sum(1 if part.ndim == 1 else part.shape[1] for part in parts)
        stacked = np.empty((len(parts[0]), width), self._dtype)
        start = 0
        for part in parts:
            if part.ndim == 1:
                stacked[:, start] = self._whole(part)
                start += 1
            else:
                stacked[:, start : start + part.shape[1]] = self._whole(part)
                start += part.shape[1]
        return stacked

    def _whole(self, part: Array) -> Array:
        """`part`, unless it is a float column with a missing value on its way into whole numbers."""
        if self._dtype.kind in "iub" and part.dtype.kind == "f" and not np.isfinite(part).all():
            raise BadInput(f"{self.name} is missing a value that the model needs", field=self.name)
        return part


def _without_none(array: Array) -> Array:
    flat = ["" if text is None else text for text in array.ravel().tolist()]
    return np.array(flat, object).reshape(array.shape)
