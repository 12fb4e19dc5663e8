"""Numbers that the workers of a release keep where each of them can tell the sum: a file of doubles for each,
mapped into memory. A worker that takes the place of a dead one goes on counting in its file, so that no
counter falls."""

from __future__ import annotations

import fcntl
import mmap
import os
import sys
from collections.abc import Iterator
from typing import Any

GAUGES = 16  # places of what falls with its worker; counters are behind them
PLACES = 1024
_SIZE = PLACES * 8
_WORKERS = 1024  # more are not looked for


class Counters:
    """`places` of this worker, and the `totals` of all whose files are in `folder`. If that is empty, or
    cannot be written, they are those of this worker alone: serving goes on."""

    def __init__(self, folder: str = "") -> None:
        self._folder = folder
        memory: Any = None
        if folder:
            try:
                memory = self._mapped()
            except OSError as error:
                sys.stderr.write(f"this worker counts alone: {error}\n")
                self._folder = ""
        self.places = memoryview(memory or bytearray(_SIZE)).cast("B").cast("d")
        self.places[:GAUGES] = memoryview(bytes(GAUGES * 8)).cast("d")
        self._taken = [0, GAUGES]

    def take(self, count: int = 1, *, gauge: bool = False) -> int:
        """The next `count` places, in the same order in every worker; the first of them. Raises ValueError if
        none are left."""
        at = self._taken[not gauge]
        if at + count > (GAUGES if gauge else PLACES):
            raise ValueError("there are more figures than places for them")
        self._taken[not gauge] += count
        return at

    def totals(self) -> list[float]:
        """For each place the sum over all workers: of those that are gone, the counters alone."""
        if not self._folder:
            return _floats(self.places)
        found = list(self._found())
        return [sum(column) for column in zip(*found)] if found else _floats(self.places)

    def _found(self) -> Iterator[list[float]]:
        for path in _files(self._folder):
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except OSError:
                return
            try:
                data = os.pread(descriptor, _SIZE, 0)
                if len(data) < _SIZE:  # it is just being made
                    continue
                values = _floats(memoryview(data).cast("d"))
                yield values if not _locked(descriptor) else [0.0] * GAUGES + values[GAUGES:]
            finally:
                os.close(descriptor)

    def _mapped(self) -> mmap.mmap:
        """The first file that no living worker has, all its pages written: a disk may be full later."""
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        for path in _files(self._folder):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            if not _locked(descriptor):
                os.close(descriptor)
                continue
            if os.fstat(descriptor).st_size != _SIZE:
                os.ftruncate(descriptor, 0)
                if os.pwrite(descriptor, bytes(_SIZE), 0) != _SIZE:
                    raise OSError(f"{path} cannot be written")
            self._descriptor = descriptor  # its lock is held as long as the process lives
            return mmap.mmap(descriptor, _SIZE)
        raise OSError(f"{self._folder} holds the counters of too many workers")


def _floats(places: memoryview[Any]) -> list[float]:
    return [float(value) for value in places]


def _files(folder: str) -> Iterator[str]:
    for number in range(_WORKERS):
        yield os.path.join(folder, str(number))


def _locked(descriptor: int) -> bool:
    """Whether the lock is this process's now; it is not if a living worker has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
