"""Several streams at once: one progress, one limit of rate, and the first failure ends them all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from queue import Empty, SimpleQueue
from typing import TypeVar

from mlship.progress import SILENT, Progress, Unit

AT_ONCE = 4  # streams; each holds a few MiB
_LOOK = 0.2  # seconds between two looks of the thread that waits, so that Ctrl-C gets through
T = TypeVar("T")


class Stopped(Exception):
    """Another stream has failed, and this one was ended."""


class Flow:
    """What the streams of one copy share. `rate` in bytes per second, over all of them."""

    def __init__(self, progress: Progress = SILENT, rate: float | None = None) -> None:
        self._progress, self._rate = progress, rate
        self._lock, self._stopped = threading.Lock(), threading.Event()
        self._free_at = 0.0

    def through(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Pass `chunks` on, counted and no faster than they may be."""
        for chunk in chunks:
            self._stopped.wait(self._pause(len(chunk)))
            if self._stopped.is_set():
                raise Stopped
            yield chunk
            self.advance(len(chunk))

    def begin(self, phase: str, total: int, *, unit: Unit = "bytes") -> None:
        """A new phase of so many bytes, or items."""
        self._progress.phase(phase, total, unit=unit)

    def content(self, opened: Callable[[], Iterable[bytes]]) -> Iterable[bytes]:
        """What `opened` gives, `through` this flow: anew each time it is gone through, and counted once."""
        return _Content(self, opened)

    def advance(self, amount: int) -> None:
        with self._lock:
            self._progress.advance(amount)

    def each(self, work: Callable[[T], object], items: Iterable[T]) -> None:
        """`work` for every item, a few at once. When all have ended, raises what one has raised.

        On Ctrl-C it does not wait: the threads end with their next chunk, and one that hangs in a dead
        connection does not keep the process.
        """
        items = list(items)
        if len(items) < 2:
            for item in items:
                work(item)
            return
        waiting: SimpleQueue[T] = SimpleQueue()
        for item in items:
            waiting.put(item)
        failures: list[BaseException] = []
        threads = [
            threading.Thread(target=self._drain, args=(work, waiting, failures), daemon=True)
            for _ in range(min(AT_ONCE, len(items)))
        ]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                while thread.is_alive():
                    thread.join(_LOOK)
        except BaseException:  # Ctrl-C
            self._stopped.set()
            raise
        for error in sorted(failures, key=lambda error: isinstance(error, Stopped)):
            raise error

    def _drain(
        self, work: Callable[[T], object], waiting: SimpleQueue[T], failures: list[BaseException]
    ) -> None:
        while not self._stopped.is_set():
            try:
                item = waiting.get_nowait()
            except Empty:
                return
            try:
                work(item)
            except BaseException as failure:  # noqa: BLE001 - it is raised in the thread that waits
                failures.append(failure)
                self._stopped.set()

    def _pause(self, size: int) -> float:
        """Seconds until `size` bytes may pass; those that come after wait for them."""
        if self._rate is None:
            return 0.0
        with self._lock:
            now = time.monotonic()
            starts = max(now, self._free_at)
            self._free_at = starts + size / self._rate
            return starts - now


class _Content:
    def __init__(self, flow: Flow, opened: Callable[[], Iterable[bytes]]) -> None:
        self._flow, self._opened, self._counted = flow, opened, 0

    def __iter__(self) -> Iterator[bytes]:
        self._flow.advance(-self._counted)
        self._counted = 0
        for chunk in self._flow.through(self._opened()):
            yield chunk
            self._counted += len(chunk)
