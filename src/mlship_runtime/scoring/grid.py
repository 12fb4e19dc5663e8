"""A chunk of CSV without quotes: where all of its fields end, and what is left without some columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

import numpy as np

from mlship_runtime.model.datatypes import Array

_NEWLINE = 10


class Grid:
    """`ends` has, for each row and column, the place of the separator after the field."""

    def __init__(self, data: bytes, codes: Array, ends: Array) -> None:
        self.data, self._codes, self._ends = data, codes, ends
        self.count, self.width = ends.shape

    def cells(self, column: int) -> list[str]:
        """The fields of a column; raises UnicodeDecodeError."""
        pairs = zip(self._starts(column).tolist(), self._ends[:, column].tolist())
        return [self.data[start:end].decode("utf-8") for start, end in pairs]

    def only(self, columns: Sequence[int]) -> bytes:
        """The rows with these columns alone, which are given in their order."""
        last, wanted = columns[-1], set(columns)
        if len(columns) == self.width:
            return self.data
        change = np.zeros(len(self.data), np.int8)  # 1 where bytes to be left out begin, -1 where they end
        for column in range(last):
            if column not in wanted:
                change[self._starts(column)] += 1
                change[self._ends[:, column] + 1] -= 1
        if last < self.width - 1:  # of these the separator before them goes, and the newline stays
            change[self._ends[:, last]] += 1
            change[self._ends[:, -1]] -= 1
        left: bytes = self._codes[np.cumsum(change, dtype=np.int8) == 0].tobytes()
        return left

    def _starts(self, column: int) -> Array:
        if column:
            starts: Array = self._ends[:, column - 1] + 1
            return starts
        return np.concatenate([[0], self._ends[:-1, -1] + 1])


def grid_of(data: bytes, delimiter: str, width: int) -> Optional[Grid]:
    """The grid of whole lines, if each has `width` fields."""
    codes = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero((codes == ord(delimiter)) | (codes == _NEWLINE))
    count = data.count(b"\n")
    if len(ends) != count * width or not (codes[ends[width - 1 :: width]] == _NEWLINE).all():
        return None
    return Grid(data, codes, ends.reshape(count, width))
