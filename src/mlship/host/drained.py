"""A stream of a process that is read to its end, whoever waits for what."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

_CHUNK = 256 << 10
MOST = 64 << 20  # bytes of output that one command may have


class Drained:
    """A thread reads it. Of more than MOST bytes only the first are kept, and `cut` says so."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._parts: list[bytes] = []
        self.cut = False
        self._thread = threading.Thread(target=self._drain, args=(read,), daemon=True)
        self._thread.start()

    @property
    def data(self) -> bytes:
        return b"".join(self._parts)

    @property
    def last_line(self) -> str:
        return last_line(self.data)

    def ended(self, timeout: float | None) -> bool:
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _drain(self, read: Callable[[int], bytes]) -> None:
        seen = 0
        with contextlib.suppress(OSError, ValueError):  # given up
            while data := read(_CHUNK):
                seen += len(data)
                self.cut = seen > MOST
                if not self.cut:
                    self._parts.append(data)


def last_line(said: bytes) -> str:
    """Mostly the reason why a command failed; empty if it said nothing."""
    lines = said.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
