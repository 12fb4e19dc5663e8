"""The access log: one JSON object a request. No payloads, no header but ids, no query strings."""

from __future__ import annotations

import json
import os
import time
from time import perf_counter

from mlship_runtime.serving.answer import Answer
from mlship_runtime.serving.tracing import named

_LONGEST_PATH = 200
_ENOUGH = 32 << 10  # bytes that are gathered at most until the next flush


class Asked:
    """What is remembered of a request until it is answered; of none, where what came was no request."""

    __slots__ = ("began", "method", "size", "target")

    def __init__(self, method: bytes = b"", target: bytes = b"", size: int = 0) -> None:
        self.method, self.target, self.size = method, target, size
        self.began = perf_counter()


class AccessLog:
    """Gathers lines and writes them to `descriptor` when there are enough, or in `flush`. What cannot be
    written (a full disk) is `lost`: serving goes on."""

    def __init__(self, descriptor: int) -> None:
        self.lost = 0
        self._descriptor = descriptor
        self._lines: list[str] = []
        self._size = 0

    def note(self, asked: Asked, answer: Answer, names: bytes, door: str, client: str) -> None:
        """One answered request, which came in by `door` from the address `client`."""
        now = time.time()
        name, trace = named(names)
        line: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03}Z",
            "event": "request",
            "id": name,
            "door": door,
            "client": client,
            "method": asked.method.decode("latin-1"),
            "path": asked.target.partition(b"?")[0][:_LONGEST_PATH].decode("latin-1"),
            "status": answer.status,
            "ms": round((perf_counter() - asked.began) * 1000, 3),
            "in": asked.size,
            "out": len(answer.body),
        }
        if trace:
            line["trace"] = trace
        text = json.dumps(line) + "\n"
        self._lines.append(text)
        self._size += len(text)
        if self._size >= _ENOUGH:
            self.flush()

    def flush(self) -> None:
        """Write what was gathered, whole lines at a time."""
        lines, self._lines, self._size = self._lines, [], 0
        if lines:
            try:
                os.write(self._descriptor, "".join(lines).encode())
            except OSError:
                self.lost += len(lines)
