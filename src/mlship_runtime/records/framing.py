"""Where records begin and end in a file: of fixed length, or each behind a descriptor word.

A record descriptor word is two bytes of length, itself included, and two of zero (else the record is a
part of a spanned one). A block descriptor word is the same of a block; with its first bit set, its length
takes four.
Source: z/OS DFSMS Using Data Sets, "Variable-Length Records".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Optional

import numpy as np

from mlship_runtime.errors import BadInput
from mlship_runtime.records.block import Block
from mlship_runtime.records.form import FB, VB_BLOCKS

WORD = 4  # bytes of a descriptor
LARGEST_BLOCK = 32760


class Framing:
    """`length` is that of fixed records, or of the longest one. Raises BadInput for descriptors that cannot
    be: from there on nothing can be read."""

    def __init__(self, recfm: str, length: int) -> None:
        self.recfm, self.length = recfm, length

    def whole(self, data: bytes, first: int = 1) -> tuple[int, int]:
        """How many bytes of `data` are whole records (blocks), and how many records those are. `first` is the
        number of the first."""
        if self.recfm == FB:
            count = len(data) // self.length
            return count * self.length, count
        end = count = 0
        for start, size, inside in self._units(data, first):
            end, count = start + size, count + inside
        return end, count

    def block(self, data: bytes, first: int = 1) -> Block:
        """Whole records side by side."""
        if self.recfm == FB:
            return Block(np.frombuffer(data, np.uint8), self.length)
        if self.recfm == VB_BLOCKS:
            data = b"".join(data[start + WORD : start + size] for start, size, _ in self._units(data, first))
        return self._alike(data) or self._unlike(data, first)

    def framed(self, block: Block) -> bytes:
        """Records as they lie in a file."""
        rows = block.bytes_at(0, block.stride)
        if self.recfm == FB:
            return bytes(rows.tobytes())
        if block.lengths is None:
            words = np.zeros((block.count, WORD), np.uint8)
            words[:, 0], words[:, 1] = divmod(block.stride + WORD, 256)
            records = bytes(np.hstack([words, rows]).tobytes())
            sizes = [block.stride + WORD] * block.count
        else:
            sizes = [int(size) + WORD for size in block.lengths]
            records = b"".join(
                size.to_bytes(2, "big") + b"\0\0" + rows[at, : size - WORD].tobytes()
                for at, size in enumerate(sizes)
            )
        return records if self.recfm != VB_BLOCKS else b"".join(_blocked(records, sizes))

    def _alike(self, data: bytes) -> Optional[Block]:
        """Records that are all as long as the first."""
        size = int.from_bytes(data[:2], "big")
        if size <= WORD or size - WORD > self.length or len(data) % size:
            return None
        rows = np.frombuffer(data, np.uint8).reshape(-1, size)
        if (rows[:, :WORD] != np.array([size >> 8, size & 255, 0, 0], np.uint8)).any():
            return None
        kept = np.zeros((len(rows), self.length), np.uint8)
        kept[:, : size - WORD] = rows[:, WORD:]
        lengths = None if size - WORD == self.length else np.full(len(rows), size - WORD)
        return Block(kept.reshape(-1), self.length, lengths)

    def _unlike(self, data: bytes, first: int) -> Block:
        spans = list(_described(data, first))
        kept = np.zeros((len(spans), self.length), np.uint8)
        for at, (start, size) in enumerate(spans):
            part = data[start + WORD : start + min(size, self.length + WORD)]
            kept[at, : len(part)] = np.frombuffer(part, np.uint8)
        return Block(kept.reshape(-1), self.length, np.array([size - WORD for _, size in spans]))

    def _units(self, data: bytes, first: int) -> Iterator[tuple[int, int, int]]:
        """Start, size and number of records of each whole record or block."""
        if self.recfm != VB_BLOCKS:
            for start, size in _described(data, first):
                yield start, size, 1
            return
        at = 0
        while at + WORD <= len(data):
            size = int.from_bytes(data[at : at + 2], "big")
            if size & 0x8000:
                size = int.from_bytes(data[at : at + 4], "big") & 0x7FFFFFFF
            elif data[at + 2 : at + 4] != b"\0\0":
                raise _broken(first, f"the block before it begins with {data[at : at + 4].hex()}")
            if size <= WORD or size > 1 << 24:
                raise _broken(first, f"the block it is in is {size} bytes long")
            if at + size > len(data):
                return
            spans = list(_described(data[at + WORD : at + size], first))
            if sum(length for _, length in spans) != size - WORD:
                raise _broken(first + len(spans), "it does not end with its block")
            yield at, size, len(spans)
            first, at = first + len(spans), at + size


def _described(data: bytes, first: int) -> Iterator[tuple[int, int]]:
    at, number = 0, first
    while at + WORD <= len(data):
        size = data[at] << 8 | data[at + 1]
        if data[at + 2]:
            raise _broken(number, "it is a part of a spanned record (VBS), which is not read")
        if size < WORD or size & 0x8000 or data[at + 3]:
            raise _broken(number, f"its descriptor word is {data[at : at + 4].hex()}")
        if at + size > len(data):
            return
        yield at, size
        at, number = at + size, number + 1


def _broken(number: int, cause: str) -> BadInput:
    fix = "Is it fixed length, or were descriptor words lost or text converted on the way?"
    return BadInput(f"record {number} cannot be found", cause=cause, fix=fix)


def _blocked(records: bytes, sizes: list[int]) -> Iterator[bytes]:
    at = start = 0
    for size in [*sizes, LARGEST_BLOCK + 1]:
        if at > start and at - start + size + WORD > LARGEST_BLOCK:
            yield (at - start + WORD).to_bytes(2, "big") + b"\0\0" + records[start:at]
            start = at
        at += size
