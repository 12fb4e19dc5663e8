"""The answering end of the control protocol, on the caller's event loop or on a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import threading
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, Callable

from mlship_runtime.errors import RuntimeFault, SiteError
from mlship_runtime.supervision.control import LINE_LIMIT, SCHEMA, fault_data, line_of

_BACKLOG = 32

Handler = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class ControlServer:
    """Answers on a control socket. `handle` gets each request; its answer may hold `descriptor`, a number
    that is passed along and not written."""

    def __init__(self, path: Path, handle: Handler) -> None:
        self._path, self._handle = path, handle
        self._server: asyncio.AbstractServer | None = None
        self._talks: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        """Listen. The socket takes its name last, so that whoever sees it can connect."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        beside = self._path.with_name(f".{self._path.name}")
        beside.unlink(missing_ok=True)
        listener.bind(str(beside))
        listener.listen(_BACKLOG)
        listener.setblocking(False)
        self._server = await asyncio.start_unix_server(self._converse, sock=listener, limit=LINE_LIMIT)
        beside.replace(self._path)

    async def close(self) -> None:
        """Take the name away, listen no more, and end what is being said."""
        self._path.unlink(missing_ok=True)
        if self._server:
            self._server.close()
        for talk in self._talks:
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = asyncio.current_task()
        assert talk is not None  # noqa: S101  asyncio runs this as a task
        self._talks.add(talk)
        with contextlib.suppress(asyncio.CancelledError):  # by `close`, and nobody else
            await self._talk(reader, writer)
        self._talks.discard(talk)
        writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, ValueError):
            while True:
                line = await reader.readline()
                if not line:
                    break
                answer = await self._answer(line)
                descriptor = answer.pop("descriptor", None)
                if descriptor is None:
                    writer.write(line_of(answer))
                else:
                    await writer.drain()
                    _send_with(writer, line_of(answer), descriptor)

    async def _answer(self, line: bytes) -> dict[str, Any]:
        number = None
        try:
            message = json.loads(line)
            number = message.get("id")
            if message.get("schemaVersion", 0) > SCHEMA:
                raise SiteError("the request was made by a newer mlship", fix="Deploy again with it")
            return {"ok": True, "id": number, **await self._handle(message)}
        except RuntimeFault as fault:
            return {"ok": False, "id": number, "error": fault_data(fault)}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            broken = SiteError("the request could not be answered", cause=f"{type(error).__name__}: {error}")
            return {"ok": False, "id": number, "error": fault_data(broken)}


class ControlThread:
    """A ControlServer on a thread of its own: a worker answers also while it loads or computes."""

    def __init__(self, path: Path, handle: Handler) -> None:
        self._loop = asyncio.new_event_loop()
        self._server = ControlServer(path, handle)
        self._thread = threading.Thread(target=self._loop.run_forever, name="control", daemon=True)

    def start(self) -> None:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._server.start(), self._loop).result()

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._server.close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def _send_with(writer: asyncio.StreamWriter, data: bytes, descriptor: int) -> None:
    """Write past the transport, which has nothing buffered: asyncio cannot pass descriptors."""
    plain = socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno()))
    try:
        socket.send_fds(plain, [data], [descriptor])
    finally:
        plain.close()
