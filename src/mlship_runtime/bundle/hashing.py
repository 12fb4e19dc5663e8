"""sha256 beside reading and writing: large pieces are hashed in another thread while the next is fetched."""

from __future__ import annotations

import functools
import hashlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

_LARGE = 256 << 10  # bytes of a piece from which on another thread pays
_THREADS = 4


class Hasher:
    """sha256 of what is given to `update`, in that order. At most one piece waits, so memory is bounded."""

    def __init__(self) -> None:
        self._hasher = hashlib.sha256()
        self._running: Future[Any] | None = None

    def update(self, data: bytes) -> None:
        self._wait()
        if len(data) < _LARGE:
            self._hasher.update(data)
        else:
            self._running = _threads().submit(self._hasher.update, data)

    def hexdigest(self) -> str:
        self._wait()
        return self._hasher.hexdigest()

    def _wait(self) -> None:
        if self._running is not None:
            self._running.result()
            self._running = None


@functools.cache
def _threads() -> Executor:
    from concurrent.futures import ThreadPoolExecutor  # for small files it is not worth its import

    return ThreadPoolExecutor(_THREADS)
