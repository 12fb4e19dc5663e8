"""The control protocol: one JSON object a line over a Unix socket, both ends of it.

A request is {schemaVersion, id, verb, …}; its answer {ok: true, id, …} or {ok: false, id, error: {kind, what,
cause, fix}}. The answer to `socket` carries the listening socket (SCM_RIGHTS).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import threading
from collections.abc import Awaitable, Mapping
from pathlib import Path
from typing import Any, Callable

from mlship_runtime.errors import BadInput, Fenced, InvalidBundle, NotReady, RuntimeFault, SiteError

SCHEMA = 1
_LINE_LIMIT = 1 << 20  # bytes
_BACKLOG = 32
_FAULTS: dict[str, type[RuntimeFault]] = {
    fault.kind: fault for fault in (InvalidBundle, BadInput, NotReady, Fenced, SiteError)
}

Message = Mapping[str, Any]
Handler = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class Unreachable(NotReady):
    """Nobody listens on a control socket, or whoever did is gone."""


def fault_data(fault: RuntimeFault) -> dict[str, str]:
    """A fault as it goes over the wire and into failure files."""
    return {"kind": fault.kind, "what": fault.what, "cause": fault.cause, "fix": fault.fix}


def fault_of(data: Mapping[str, Any]) -> RuntimeFault:
    """The fault that `fault_data` described; of a kind that is not known here, a SiteError."""
    kind = _FAULTS.get(str(data.get("kind")), SiteError)
    return kind(
        str(data.get("what", "unknown")), cause=str(data.get("cause", "")), fix=str(data.get("fix", ""))
    )


def request(path: Path, message: Message, timeout: float = 10.0) -> dict[str, Any]:
    """Ask over the control socket `path`; raises Unreachable, or the fault that it answers with."""
    with _connected(path, timeout) as client:
        client.sendall(_line({"schemaVersion": SCHEMA, **message}))
        with client.makefile("rb") as stream:
            return _result(_received(path, lambda: stream.readline(_LINE_LIMIT)), path)


def request_socket(path: Path, timeout: float = 10.0) -> socket.socket:
    """The listening socket that the worker behind `path` holds; raises as `request` does."""
    with _connected(path, timeout) as client:
        client.sendall(_line({"schemaVersion": SCHEMA, "verb": "socket"}))
        data, descriptors, _, _ = _received(path, lambda: socket.recv_fds(client, 4096, 1))
        if not descriptors:
            _result(data, path)
            raise SiteError(f"{path} passed no socket")
        return socket.socket(fileno=descriptors[0])


class Link:
    """A control connection that is kept: its end is how a worker's death is noticed, adopted ones' too."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: Path) -> None:
        self._reader, self._writer, self._path = reader, writer, path
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._last = 0
        self.lost = asyncio.Event()
        self._task = asyncio.ensure_future(self._read())

    @classmethod
    async def open(cls, path: Path) -> Link:
        """Connect to `path`; raises Unreachable."""
        try:
            reader, writer = await asyncio.open_unix_connection(str(path), limit=_LINE_LIMIT)
        except OSError as error:
            raise Unreachable(f"nobody listens on {path}", cause=error.strerror or str(error)) from error
        return cls(reader, writer, path)

    async def ask(self, verb: str, timeout: float = 10.0, **fields: Any) -> dict[str, Any]:
        """One request; raises Unreachable, or the fault that the other end answers with."""
        if self.lost.is_set():
            raise Unreachable(f"{self._path} was closed")
        self._last += 1
        number = self._last
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            self._writer.write(_line({"schemaVersion": SCHEMA, "id": number, "verb": verb, **fields}))
            return await asyncio.wait_for(future, timeout)
        except (asyncio.TimeoutError, ConnectionError) as error:
            raise Unreachable(f"{self._path} did not answer in {timeout:g} s") from error
        finally:
            del self._waiting[number]

    async def close(self) -> None:
        self._writer.close()
        await self._task

    async def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while True:
                line = await self._reader.readline()
                if not line:
                    break
                self._settle(json.loads(line))
        self.lost.set()
        self._writer.close()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(Unreachable(f"{self._path} was closed"))

    def _settle(self, answer: dict[str, Any]) -> None:
        future = self._waiting.get(answer.get("id", 0))
        if future is None or future.done():
            return
        if answer.get("ok") is True:
            future.set_result(answer)
        else:
            future.set_exception(fault_of(answer.get("error") or {}))


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
        self._server = await asyncio.start_unix_server(self._converse, sock=listener, limit=_LINE_LIMIT)
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
                    writer.write(_line(answer))
                else:
                    await writer.drain()
                    _send_with(writer, _line(answer), descriptor)

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


def _line(message: Message) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode("utf-8") + b"\n"


def _connected(path: Path, timeout: float) -> socket.socket:
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.settimeout(timeout)
    try:
        client.connect(str(path))
    except OSError as error:
        client.close()
        raise Unreachable(f"nobody listens on {path}", cause=error.strerror or str(error)) from error
    return client


def _received(path: Path, receive: Callable[[], Any]) -> Any:
    try:
        return receive()
    except OSError as error:
        raise Unreachable(f"{path} does not answer", cause=str(error)) from error


def _result(line: bytes, path: Path) -> dict[str, Any]:
    if not line.endswith(b"\n"):
        raise Unreachable(f"{path} was closed without an answer")
    answer: dict[str, Any] = json.loads(line)
    if answer.get("ok") is not True:
        raise fault_of(answer.get("error") or {})
    return answer


def _send_with(writer: asyncio.StreamWriter, data: bytes, descriptor: int) -> None:
    """Write past the transport, which has nothing buffered: asyncio cannot pass descriptors."""
    plain = socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno()))
    try:
        socket.send_fds(plain, [data], [descriptor])
    finally:
        plain.close()
