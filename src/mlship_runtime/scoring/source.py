"""Where rows come from, cut into chunks. Where a chunk ends depends on the file alone and on where the chunk
begins, so a run that goes on cuts as the one before it would have done."""

from __future__ import annotations

import csv
import hashlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Optional, Protocol

from mlship_runtime.errors import BadInput
from mlship_runtime.files import site_error
from mlship_runtime.scoring import records
from mlship_runtime.scoring.job import CSV, PARQUET, RECORDS, STREAM, Job

_LONGEST = 1 << 20  # bytes of one record
_BLOCK = 1 << 20
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Place:
    """How far an input has been read: bytes (of Parquet: rows), and the line that comes next, from 1."""

    position: int = 0
    line: int = 1


@dataclass(frozen=True)
class Chunk:
    """Whole records; `first_line` is that of the first, `end` the place after the last, `digest` the sha256
    of the input up to there."""

    data: bytes
    first_line: int
    end: Place
    digest: str


class Source(Protocol):
    """`header` names the columns, where the format has them in one place; `size` is in bytes, 0 of a stream.
    `total` is what a place's position will be at the end, None where that is not known."""

    header: tuple[str, ...]
    size: int
    total: Optional[int]

    @property
    def place(self) -> Place:
        """Where the next chunk begins."""
        ...

    def start(self, place: Place, digest: str) -> None:
        """Go to `place`, if what lies before it has this sha256; raises BadInput if it has another."""
        ...

    def chunks(self) -> Iterator[Chunk]:
        """What follows; raises BadInput for a file that is none of its format."""
        ...

    def digest(self) -> str:
        """sha256 of the input up to `place`."""
        ...

    def finish(self) -> None:
        """Raises BadInput if the file changed while it was read."""
        ...


def open_source(job: Job) -> Source:
    """Raises BadInput if it cannot be read."""
    try:
        if job.inputFormat == PARQUET:
            from mlship_runtime.scoring.parquet import ParquetSource

            return ParquetSource(job.input, job.chunkRows)
        if job.inputFormat == RECORDS:
            from mlship_runtime.scoring.record_source import RecordSource

            return RecordSource(job)
        return TextSource(job)
    except OSError as error:
        raise BadInput(f"{job.input} cannot be read", cause=error.strerror or str(error)) from error


class ByteSource:
    """A file or standard input, read from its beginning to its end and hashed. Its kinds say where a chunk
    ends (`_next`, which leaves in `_waiting` what it does not take) and how a place moves on (`_advance`)."""

    header: tuple[str, ...] = ()

    def __init__(self, job: Job) -> None:
        self._name = "stdin" if job.input == STREAM else job.input
        self._file = sys.stdin.fileno() if job.input == STREAM else os.open(job.input, os.O_RDONLY)
        self._step = job.chunkBytes
        self._hash = hashlib.sha256()
        self._ended = False
        found = os.fstat(self._file)
        self.size = 0 if job.input == STREAM else found.st_size
        self.total = None if job.input == STREAM else found.st_size
        self._seen = (found.st_size, found.st_mtime_ns)
        self.place = Place()
        self._waiting = b""

    def start(self, place: Place, digest: str) -> None:
        """The header has been read already, and is read again."""
        if not place.position:
            return
        self._hash, self._waiting, self._ended = hashlib.sha256(), b"", False
        os.lseek(self._file, 0, os.SEEK_SET)
        left = place.position
        while left:
            data = self._read(min(left, _BLOCK))
            if not data:
                break
            self._hash.update(data)
            left -= len(data)
        if self.digest() != digest:
            raise BadInput(
                f"{self._name} is not the file that was begun with",
                cause="what has been scored of it reads otherwise now",
                fix="Begin anew with --fresh",
            )
        self.place = place

    def chunks(self) -> Iterator[Chunk]:
        while True:
            data = self._next()
            if not data:
                return
            first = self.place.line
            self._advance(data)
            yield Chunk(data, first, self.place, self._hash.hexdigest())

    def digest(self) -> str:
        return self._hash.hexdigest()

    def finish(self) -> None:
        found = os.fstat(self._file)
        if self.total is not None and self._seen != (found.st_size, found.st_mtime_ns):
            raise BadInput(f"{self._name} changed while it was read", fix="Begin anew with --fresh")

    def _next(self) -> bytes:
        raise NotImplementedError

    def _advance(self, data: bytes) -> None:
        raise NotImplementedError

    def _fill(self, data: bytes, size: int) -> bytes:
        parts = [data]
        missing = size - len(data)
        while missing > 0 and not self._ended:
            found = self._read(missing)
            self._ended = not found
            parts.append(found)
            missing -= len(found)
        return b"".join(parts) if len(parts) > 1 else data

    def _read(self, size: int) -> bytes:
        try:
            return os.read(self._file, size)
        except OSError as error:
            raise site_error(f"{self._name} cannot be read", error) from error


class TextSource(ByteSource):
    """CSV or JSON lines."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self._csv = job.inputFormat == CSV
        self._waiting = self._fill(b"", _LONGEST)
        self._check_encoding()
        self.header = self._header(job) if self._csv and job.header else ()

    def _next(self) -> bytes:
        """Whole records, about as much as a step; empty at the end."""
        size = self._step
        while True:
            self._waiting = self._fill(self._waiting, size + 1)  # one more tells whether this is the end
            data, rest = self._waiting[:size], self._waiting[size:]
            whole = not rest
            end = self._end_of(data, whole)
            if end or not data:
                self._waiting = data[end:] + rest
                return data[:end]
            if whole or size >= _LONGEST:
                end = data.find(records.NEWLINE) + 1 or (len(data) if whole else 0)
                if not end:
                    raise BadInput(f"{self._name}, line {self.place.line} is longer than {_LONGEST} bytes")
                self._waiting = data[end:] + rest  # a quote without its other half, or a last line
                return data[:end]
            size = min(2 * size, _LONGEST)

    def _end_of(self, data: bytes, whole: bool) -> int:
        if not self._csv:
            return len(data) if whole else data.rfind(records.NEWLINE) + 1
        end = records.last_end(data)
        if whole and data.count(records.QUOTE, end) % 2 == 0:
            return len(data)
        return end

    def _advance(self, data: bytes) -> None:
        self._hash.update(data)
        lines = data.count(records.NEWLINE)
        self.place = Place(self.place.position + len(data), self.place.line + lines)

    def _check_encoding(self) -> None:
        if self._waiting[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise BadInput(f"{self._name} is UTF-16", fix="Save it as UTF-8")
        if self._waiting[:2] == b"\x1f\x8b" or self._waiting[:4] == b"PAR1":
            raise BadInput(f"{self._name} is no text", cause="it begins as gzip or Parquet does")
        if self._waiting.startswith(_BOM):
            self._hash.update(_BOM)
            self._waiting = self._waiting[len(_BOM) :]
            self.place = Place(len(_BOM), 1)

    def _header(self, job: Job) -> tuple[str, ...]:
        end = records.first_end(self._waiting) or (len(self._waiting) if self._ended else 0)
        line = self._waiting[:end]
        try:
            rows = list(
                csv.reader([line.decode("utf-8").rstrip("\r\n")], delimiter=job.delimiter, strict=True)
            )
        except (UnicodeDecodeError, csv.Error) as error:
            raise BadInput(f"the first line of {self._name} cannot be read", cause=str(error)) from error
        if not rows or not any(name.strip() for name in rows[0]):
            raise BadInput(f"{self._name} names no columns", cause="its first line is empty")
        self._advance(line)
        self._waiting = self._waiting[end:]
        return tuple(name.strip() for name in rows[0])
