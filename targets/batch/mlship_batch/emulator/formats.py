"""Record formats: what of the bytes of a data set is one record, and what a write makes of records that do
not fit.

At rest, F is records side by side, V has a record descriptor word (length with itself, big-endian, then two
zeros) before each, U is bytes as they came.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

RDW = 4
BLANK, ZERO = b"\x40", b"\x00"
LONGEST = 32760
_RECFM = re.compile(r"(F|FB|V|VB|U)(A|M)?(S)?")
_CHUNK = 1 << 20


class BadFormat(ValueError):
    """Attributes that cannot be, or bytes that are no records of their format."""


@dataclass(frozen=True)
class Format:
    """DSORG (PS or PO), RECFM, LRECL and BLKSIZE of a data set."""

    dsorg: str = "PS"
    recfm: str = "FB"
    lrecl: int = 80
    blksize: int = 0

    @property
    def fixed(self) -> bool:
        return self.recfm.startswith("F")

    @property
    def variable(self) -> bool:
        return self.recfm.startswith("V")

    @property
    def most(self) -> int:
        """Bytes of data that one record can have."""
        return self.lrecl if self.fixed else self.lrecl - RDW if self.variable else LONGEST

    def fit(self, record: bytes, fill: bytes = BLANK) -> tuple[bytes, bool]:
        """The record as it is stored, and whether some of it was cut off."""
        cut = record[: self.most]
        return (cut.ljust(self.lrecl, fill) if self.fixed else cut), len(cut) < len(record)

    def stored(self, record: bytes) -> bytes:
        """A record that fits, as it lies in the data set."""
        return (len(record) + RDW).to_bytes(2, "big") + b"\0\0" + record if self.variable else record

    def records(self, file: BinaryIO) -> Iterator[bytes]:
        """The records of a file at rest. Raises BadFormat where it ends within one."""
        if self.variable:
            yield from _variable(file)
            return
        width = self.lrecl if self.fixed else _CHUNK
        while record := file.read(width):
            if self.fixed and len(record) != width:
                raise BadFormat(f"the last record has {len(record)} of {width} bytes")
            yield record

    def of_bytes(self, data: Iterable[bytes]) -> Iterator[bytes]:
        """Bytes with no records in them, cut into records as long as they can be."""
        if not self.fixed and not self.variable:
            yield from data
            return
        rest = b""
        for chunk in data:
            rest += chunk
            whole = len(rest) - len(rest) % self.most
            for start in range(0, whole, self.most):
                yield rest[start : start + self.most]
            rest = rest[whole:]
        if rest:
            yield rest


def made(dsorg: str, recfm: str, lrecl: int, blksize: int) -> Format:
    """A Format that can be; the block size is the system's choice where it is 0. Raises BadFormat."""
    if dsorg not in ("PS", "PO"):
        raise BadFormat(f"DSORG {dsorg} is not supported here")
    if not _RECFM.fullmatch(recfm):
        raise BadFormat(f"RECFM {recfm} is none")
    if recfm.startswith("U"):
        return Format(dsorg, recfm, 0, blksize or LONGEST)
    least = RDW + 1 if recfm.startswith("V") else 1
    if not least <= lrecl <= LONGEST:
        raise BadFormat(f"LRECL {lrecl} is not between {least} and {LONGEST}")
    if not blksize:
        return Format(dsorg, recfm, lrecl, best_block(recfm, lrecl))
    if recfm.startswith("F") and blksize % lrecl:
        raise BadFormat(f"BLKSIZE {blksize} is no multiple of LRECL {lrecl}")
    if recfm.startswith("V") and blksize < lrecl + RDW:
        raise BadFormat(f"BLKSIZE {blksize} has no room for LRECL {lrecl}")
    return Format(dsorg, recfm, lrecl, blksize)


def best_block(recfm: str, lrecl: int) -> int:
    """Half a track, in whole records."""
    half = 27998
    if recfm.startswith("F"):
        return max(lrecl, half // lrecl * lrecl) if "B" in recfm else lrecl
    return max(half, lrecl + RDW) if "B" in recfm else lrecl + RDW


def _variable(file: BinaryIO) -> Iterator[bytes]:
    while word := file.read(RDW):
        length = int.from_bytes(word[:2], "big") - RDW
        record = file.read(length) if length >= 0 else b""
        if len(word) < RDW or length < 0 or len(record) != length:
            raise BadFormat("a record descriptor word is wrong")
        yield record
