"""What a far-side command says while it runs: lines of JSON, one after the other."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator
from typing import Any

from mlship.host.drained import Drained
from mlship.host.protocol import Lost, Process

_CHUNK = 64 << 10
_SILENCE = 45.0  # seconds; whoever speaks says every few seconds that he is there


class Stream:
    """Iterated once. `close` gives the command up, and ends who waits for its next word."""

    def __init__(self, process: Process, host: str, request: bytes) -> None:
        self._process, self._host, self._request = process, host, request
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._said = Drained(process.read_error)
        threading.Thread(target=self._read, daemon=True).start()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Raises Lost when it ends, or is silent for too long: it goes on until it is closed."""
        while True:
            try:
                line = self._lines.get(timeout=_SILENCE)
            except queue.Empty:
                self.close()
                raise self._lost("nothing was heard of it any more") from None
            if line is None:
                self._said.ended(1.0)
                raise self._lost(self._said.last_line)
            try:
                yield json.loads(line)
            except ValueError:
                raise self._lost(line.decode(errors="replace").strip()[:200]) from None

    def close(self) -> None:
        self._process.close()

    def _lost(self, cause: str) -> Lost:
        return Lost(
            f"the connection to {self._host} broke",
            cause=cause or "it, its sshd or the network went away",
            fix="Run the same command again",
        )

    def _read(self) -> None:
        begun = b""
        try:
            self._process.write(self._request)
            while data := self._process.read(_CHUNK):
                *whole, begun = (begun + data).split(b"\n")
                for line in whole:
                    self._lines.put(line)
        except (OSError, ValueError):  # given up, or it listens no more
            pass
        self._lines.put(None)
