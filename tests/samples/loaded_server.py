"""A server in a process of its own, for tests that load it: `python loaded_server.py SECONDS LIMITS-AS-JSON`.
Its model takes SECONDS a request; GET /big is answered with 1 MiB. Says its port on standard output."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from typing import Any

from mlship_runtime.serving.answer import Answer, error_answer
from mlship_runtime.serving.limits import read_limits
from mlship_runtime.serving.server import Server, run


class Application:
    headers = b""
    connections = waiting = 0

    def __init__(self, seconds: float) -> None:
        self._seconds, self._big = seconds, b"x" * (1 << 20)

    def answer(self, method: bytes, target: bytes, headers: Any, body: bytes) -> Answer:
        if method == b"POST":
            end = time.perf_counter() + self._seconds
            while time.perf_counter() < end:
                pass
        return Answer(200, self._big if target == b"/big" else b"{}")

    def refuse(self, status: int, message: str) -> Answer:
        return error_answer(status, message)


async def serve(seconds: float, limits: dict[str, Any]) -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    server = Server(Application(seconds), read_limits(limits))
    server.accept_on(listener)
    print(listener.getsockname()[1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    run(serve(float(sys.argv[1]), json.loads(sys.argv[2])))
