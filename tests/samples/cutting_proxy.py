"""A proxy in front of a server on the loopback: it counts what goes through, and cuts where it is told to.

One request for each connection. A Cut takes the first request that it matches and fails it once so many bytes
of its body have gone: `reset`, `close` or `stall` of the connection, or a status (`500`, `429` …) in place of
the server's. `down` means the body of the answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

KINDS = ("reset", "close", "stall", "500", "503", "429", "401")
RETRY_AFTER = 1


@dataclass
class Cut:
    kind: str
    method: str
    target: str  # a regular expression that the path and query match somewhere
    at: int = 0
    down: bool = False
    hit: bool = False
    skip: int = 0  # so many matching requests come before
    lose_answer: bool = False  # the server gets it all, and its answer is lost


@dataclass
class Request:
    method: str
    target: str
    sent: int = 0
    status: int = 0
    received: int = 0
    headers: dict[str, str] = field(default_factory=dict)


class _Break(Exception):
    """The connection to the client is done with."""


class CuttingProxy:
    """`port` is its own, `upstream` that of the server."""

    def __init__(self, upstream: int) -> None:
        self.upstream, self.port = upstream, 0
        self.cuts: list[Cut] = []
        self.seen: list[Request] = []
        self._loop = asyncio.new_event_loop()
        self._released: asyncio.Event
        self._server: asyncio.Server
        self._tasks: set[asyncio.Task[None] | None] = set()  # the loop itself holds them weakly

    def leave(self) -> None:
        """Break off every connection and refuse new ones, as where the server is gone."""
        asyncio.run_coroutine_threadsafe(self._leave(), self._loop).result(10)

    def come_back(self) -> None:
        """Listen again, at the same port."""
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)

    async def _leave(self) -> None:
        self._server.close()
        tasks = [task for task in self._tasks if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._client, "127.0.0.1", self.port, limit=1 << 20)
        self.port = self._server.sockets[0].getsockname()[1]

    def of(self, method: str, target: str) -> list[Request]:
        return [x for x in self.seen if x.method == method and re.search(target, x.target)]

    async def _serve(self, ready: threading.Event, stop: asyncio.Event) -> None:
        self._released = stop
        await self._listen()
        ready.set()
        await stop.wait()
        self._server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.02)  # for transports to end

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.current_task())
        try:
            await self._request(reader, writer)
        except (_Break, OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            self._tasks.discard(asyncio.current_task())

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.strip().split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        request = Request(method, target, headers=headers)
        self.seen.append(request)
        cut = self._cut_for(method, target)
        if "expect" in headers:
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        kept = [line for line in lines if not re.match(r"(?i)(expect|connection):", line)]
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.upstream)
        try:
            up_writer.write("\r\n".join([first, *kept, "Connection: close", "", ""]).encode("latin-1"))
            left = int(headers.get("content-length", "0"))
            await self._body(reader, up_writer, left, request, cut, writer)
            await self._answer(up_reader, writer, request, cut)
        finally:
            up_writer.close()

    def _cut_for(self, method: str, target: str) -> Cut | None:
        found = None
        for cut in self.cuts:
            if cut.hit or cut.method != method or not re.search(cut.target, target):
                continue
            if cut.skip > 0:
                cut.skip -= 1
            elif found is None:
                cut.hit, found = True, cut
        return found

    async def _body(
        self,
        reader: asyncio.StreamReader,
        up_writer: asyncio.StreamWriter,
        left: int,
        request: Request,
        cut: Cut | None,
        writer: asyncio.StreamWriter,
    ) -> None:
        stop = cut.at if cut and not cut.down and not cut.lose_answer else None
        while left or stop is not None:
            if stop is not None and (request.sent >= stop or not left):
                await self._fail(cut, writer)
            room = left if stop is None else min(left, stop - request.sent)
            data = await reader.read(min(room, 1 << 16))
            if not data:
                raise _Break
            request.sent += len(data)
            left -= len(data)
            up_writer.write(data)
            await up_writer.drain()

    async def _answer(
        self, up_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: Request, cut: Cut | None
    ) -> None:
        head = await up_reader.readuntil(b"\r\n\r\n")
        request.status = int(head.split(b" ")[1])
        if cut and (cut.lose_answer or (cut.down and cut.kind.isdigit())):
            await self._fail(cut, writer)
        writer.write(head)
        while data := await up_reader.read(1 << 16):
            if cut and cut.down and request.received + len(data) >= cut.at:
                writer.write(data[: cut.at - request.received])
                await writer.drain()
                request.received = cut.at
                await self._fail(cut, writer)
            request.received += len(data)
            writer.write(data)
            await writer.drain()
        if cut and cut.down:
            await self._fail(cut, writer)

    async def _fail(self, cut: Cut | None, writer: asyncio.StreamWriter) -> None:
        assert cut
        if cut.kind == "stall":
            await self._released.wait()
        if cut.kind == "reset":
            await asyncio.sleep(0.02)  # what was written before is to arrive
            file: socket.socket = writer.get_extra_info("socket")
            file.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        if cut.kind.isdigit():
            more = f"Retry-After: {RETRY_AFTER}\r\n" if cut.kind == "429" else ""
            writer.write(
                f"HTTP/1.1 {cut.kind} No\r\n{more}Content-Length: 0\r\nConnection: close\r\n\r\n".encode()
            )
            await writer.drain()
        raise _Break


@contextlib.contextmanager
def cutting_proxy(upstream: int) -> Iterator[CuttingProxy]:
    proxy, ready = CuttingProxy(upstream), threading.Event()
    stop = asyncio.Event()
    thread = threading.Thread(target=proxy._loop.run_until_complete, args=(proxy._serve(ready, stop),))
    thread.start()
    assert ready.wait(10)
    try:
        yield proxy
    finally:
        proxy._loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        proxy._loop.close()
