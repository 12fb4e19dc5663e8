"""Clients that ask steadily and never retry, in a process of their own: `steady_load.py PORT RATE KEPT`.

Reads a request's body (one line of JSON) and then asks RATE times a second in all (0: as often as it can),
KEPT of them over connections that are kept and as many over one for each request, until standard input ends.
Says as JSON how many were answered by which digest, which values each of them gave, when a client was
answered by another digest than before, and every failure."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

PATH = "/v2/models/conform/infer"


class Load:
    def __init__(self, port: int, body: bytes) -> None:
        head = f"POST {PATH} HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n"
        self._port = port
        self._kept = head.encode() + b"\r\n" + body
        self._once = head.encode() + b"Connection: close\r\n\r\n" + body
        self.answers: Counter[str] = Counter()
        self.values: dict[str, set[str]] = {}
        self.failures: list[str] = []
        self.changes: list[tuple[float, str]] = []
        self._last: dict[object, str] = {}

    async def keep(self, pause: float, stop: asyncio.Event) -> None:
        """One client with a connection that it keeps until an answer says that it closes."""
        streams: Any = None
        who, due = object(), time.monotonic()
        while not stop.is_set():
            try:
                streams = streams or await asyncio.open_connection("127.0.0.1", self._port)
                if await self._exchange(who, streams, self._kept):
                    streams[1].close()
                    streams = None
            except (OSError, EOFError, ValueError) as error:
                self.failures.append(f"kept: {type(error).__name__}: {error}")
                streams = None
            due = await _next(due, pause)

    async def ask_once(self, pause: float, stop: asyncio.Event) -> None:
        """One client with a connection for each request."""
        who, due = object(), time.monotonic()
        while not stop.is_set():
            try:
                streams = await asyncio.open_connection("127.0.0.1", self._port)
                await self._exchange(who, streams, self._once)
                streams[1].close()
            except (OSError, EOFError, ValueError) as error:
                self.failures.append(f"once: {type(error).__name__}: {error}")
            due = await _next(due, pause)

    async def _exchange(self, who: object, streams: Any, request: bytes) -> bool:
        """Whether the answer says that the connection ends."""
        reader, writer = streams
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        lines = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
        document = json.loads(await reader.readexactly(int(lines["content-length"])))
        digest = document.get("model_version", "none")
        if " 200 " not in head.split("\r\n")[0] or digest != lines.get("mlship-bundle"):
            raise ValueError(f"{head.splitlines()[0]}: {digest} under {lines.get('mlship-bundle')}")
        self.answers[digest] += 1
        if self._last.get(who, digest) != digest:
            self.changes.append((time.time(), digest))
        self._last[who] = digest
        self.values.setdefault(digest, set()).add(json.dumps(document["outputs"]))
        return lines.get("connection") == "close"


async def _next(due: float, pause: float) -> float:
    """Wait until the next request is due; who is late does not hurry to catch up."""
    due = max(due + pause, time.monotonic())
    await asyncio.sleep(due - time.monotonic())
    return due


@contextmanager
def steady_load(port: int, body: bytes, rate: float, kept: int) -> Iterator[dict[str, Any]]:
    """Load from now on; when the context has ended, the dictionary has what is told of it."""
    words, pipe = [sys.executable, __file__, str(port), str(rate), str(kept)], subprocess.PIPE
    told: dict[str, Any] = {}
    with subprocess.Popen(words, stdin=pipe, stdout=pipe) as process:
        assert process.stdin
        assert process.stdout
        try:
            process.stdin.write(body + b"\n")
            process.stdin.flush()
            assert process.stdout.readline() == b"on\n"
            yield told
            told.update(json.loads(process.communicate(timeout=120)[0]))
        finally:
            process.kill()


async def main(port: int, rate: float, kept: int) -> None:
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    load, stop = Load(port, (await lines.readline()).strip()), asyncio.Event()
    pause = 2 * kept / rate if rate else 0.0
    clients = [load.keep(pause, stop) for _ in range(kept)] + [
        load.ask_once(pause, stop) for _ in range(kept)
    ]
    running = [asyncio.ensure_future(client) for client in clients]
    print("on", flush=True)
    await lines.read()
    stop.set()
    await asyncio.gather(*running)
    values = {digest: sorted(found) for digest, found in load.values.items()}
    told = {"answers": load.answers, "values": values, "changes": load.changes, "failures": load.failures}
    print(json.dumps(told))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])))
