"""A log file that is read while it grows, and through `eventlog.bound`, which moves its content away."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

_REACH = 4 << 20  # bytes from the end in which the last lines are looked for
_CHUNK = 1 << 20
_LONGEST = 64 << 10  # bytes after which a line that does not end is said in parts
_MARK = 32  # bytes before a place, by which it is known again


class Tail:
    """Stands at the beginning of a line of `path`. A `place` that it gave brings another one to where it
    stood, if what was read is still there."""

    def __init__(self, path: Path, place: Sequence[Any] = (0, "")) -> None:
        self._path = path
        self._at, self._mark = int(place[0]), bytes.fromhex(str(place[1]))

    @property
    def place(self) -> list[Any]:
        return [self._at, self._mark.hex()]

    def to_end(self, count: int = 0) -> list[str]:
        """Go to the end of what is there now; its last `count` lines."""
        self._at, self._mark, data = 0, b"", b""
        with suppress(FileNotFoundError), self._path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            self._at = max(0, size - _REACH)
            data = _whole(os.pread(file.fileno(), size - self._at, self._at))
        self._went(data)
        return _lines(data)[-count:] if count else []

    def more(self) -> list[str]:
        """The whole lines that have come since; some of them, if they are very many."""
        found: list[str] = []
        try:
            with self._path.open("rb") as file:
                if not self._is_in(file.fileno()):
                    found = self._left_behind()
                    self._at, self._mark = 0, b""
                data = _whole(os.pread(file.fileno(), _CHUNK, self._at))
        except FileNotFoundError:
            self._at, self._mark = 0, b""
            return found
        self._went(data)
        return found + _lines(data)

    def _left_behind(self) -> list[str]:
        """What was not read yet when the content was moved away."""
        try:
            with self._path.with_name(self._path.name + ".old").open("rb") as older:
                if not self._is_in(older.fileno()):
                    return []
                older.seek(self._at)
                return _lines(older.read())
        except FileNotFoundError:
            return []

    def _is_in(self, descriptor: int) -> bool:
        """Whether what was read last stands in this file where it stood."""
        if os.fstat(descriptor).st_size < self._at:
            return False
        return os.pread(descriptor, len(self._mark), self._at - len(self._mark)) == self._mark

    def _went(self, data: bytes) -> None:
        self._at += len(data)
        self._mark = (self._mark + data)[-_MARK:]


def _whole(data: bytes) -> bytes:
    """Of `data` the lines that have ended."""
    end = data.rfind(b"\n") + 1
    return data[:end] if end or len(data) < _LONGEST else data


def _lines(data: bytes) -> list[str]:
    return [line for line in data.decode("utf-8", "replace").split("\n") if line.strip()]
