"""Records side by side in memory, and single bytes or pairs of them as columns."""

from __future__ import annotations

from typing import Any, Optional

import numpy as np

from mlship_runtime.records.tables import Array


class Block:
    """`count` records, `stride` bytes apart in `data`, which is padded behind the end of shorter ones;
    `lengths` has the bytes of each, or is None where all are `stride` long."""

    def __init__(self, data: Array, stride: int, lengths: Optional[Array] = None) -> None:
        self.data, self.stride, self.lengths = data, stride, lengths
        self.count = len(data) // stride if stride else 0

    def numbers(self, offset: int, code: str) -> Array:
        """Bytes from `offset` of each record as numbers of the numpy type `code`, e.g. `>u2`; a view."""
        return np.ndarray((self.count,), code, self.data, offset, (self.stride,))

    def bytes_at(self, offset: int, length: int) -> Array:
        """As a matrix with a row for each record; a view."""
        return np.ndarray((self.count, length), np.uint8, self.data, offset, (self.stride, 1))

    def index(self, offset: int, width: int) -> Array:
        """One or two bytes of each record, the first one high, to look up in a table."""
        return self.numbers(offset, ">u2" if width == 2 else "u1").astype(np.intp)

    def reach(self, end: int) -> Optional[Array]:
        """Which records are too short to have a byte before `end`; None if none is."""
        if self.lengths is None:
            return None
        short = self.lengths < end
        return short if short.any() else None

    def record(self, at: int) -> bytes:
        end = self.stride if self.lengths is None else int(self.lengths[at])
        found: Any = self.data[at * self.stride : at * self.stride + end]
        return bytes(found.tobytes())

    def only(self, places: Array) -> Block:
        """The records at these indexes."""
        rows = self.data[: self.count * self.stride].reshape(self.count, self.stride)[places]
        lengths = None if self.lengths is None else self.lengths[places]
        return Block(np.ascontiguousarray(rows).reshape(-1), self.stride, lengths)


def blank_block(count: int, stride: int, byte: int) -> Block:
    """So many records of nothing but that byte, to be written to."""
    return Block(np.full(count * stride, byte, np.uint8), stride)
