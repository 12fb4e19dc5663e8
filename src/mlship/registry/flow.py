"""Several streams at once: one progress, one limit of rate, and the first failure ends them all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

from mlship.progress import SILENT, Progress

AT_ONCE = 4  # streams; each holds a few MiB
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

    def advance(self, amount: int) -> None:
        with self._lock:
            self._progress.advance(amount)

    def each(self, work: Callable[[T], object], items: Iterable[T]) -> None:
        """`work` for every item, a few at once. When all have ended, raises what one has raised."""
        items = list(items)
        if len(items) < 2:
            for item in items:
                work(item)
            return
        with ThreadPoolExecutor(min(AT_ONCE, len(items))) as pool:
            futures = [pool.submit(self._unless_stopped, work, item) for item in items]
            try:
                wait(futures)
            except BaseException:  # Ctrl-C
                self._stopped.set()
                raise
        failures = [error for future in futures if (error := future.exception())]
        for error in sorted(failures, key=lambda error: isinstance(error, Stopped)):
            raise error

    def _unless_stopped(self, work: Callable[[T], object], item: T) -> None:
        if self._stopped.is_set():
            raise Stopped
        try:
            work(item)
        except BaseException:
            self._stopped.set()
            raise

    def _pause(self, size: int) -> float:
        """Seconds until `size` bytes may pass; those that come after wait for them."""
        if self._rate is None:
            return 0.0
        with self._lock:
            now = time.monotonic()
            starts = max(now, self._free_at)
            self._free_at = starts + size / self._rate
            return starts - now
