"""The HTTP server of one worker: accepts, serves, and drains without losing a request.

A drain, in this order: stop accepting; let each connection finish what it has in hand; at rest hand it
to the next release, or, where that cannot be, answer its next request with `Connection: close`; only at
the deadline close what is left. An idle connection is never closed before that: its client may be about
to send.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import resource
import socket
import sys
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Callable, TypeVar

from mlship_runtime.serving.acceptor import Acceptor, listen_unix
from mlship_runtime.serving.accesslog import AccessLog
from mlship_runtime.serving.answer import CLOSE, Application, Renderer
from mlship_runtime.serving.batching import Batching, BatchLine
from mlship_runtime.serving.connection import Connection
from mlship_runtime.serving.door import Door
from mlship_runtime.serving.handover import Receiver, Sender, open_channel
from mlship_runtime.serving.host import State
from mlship_runtime.serving.limits import Limits
from mlship_runtime.serving.line import Line
from mlship_runtime.serving.residence import give_back
from mlship_runtime.serving.tracing import RequestNames

T = TypeVar("T")
_SWEEP = 0.25  # seconds between two looks at what takes too long
_TURNED_AWAY = 64  # connections above the limit that are told so at one time
_SPARE_FILES = 64  # descriptors that are not for connections


@dataclass(frozen=True)
class DrainReport:
    """Public connections that were handed over, that ended by themselves or after an answer, and that
    were still open at the deadline."""

    handed: int
    closed: int
    cut: int


class Server:
    """Serves `application` inside the running event loop. `received` counts adopted connections."""

    def __init__(
        self,
        application: Application,
        limits: Limits | None = None,
        log: AccessLog | None = None,
        batching: Batching | None = None,
    ) -> None:
        self.application = application
        self.limits = limits or Limits()
        self.renderer = Renderer(application.headers)
        self.names = RequestNames()
        self.log = log
        self.line = (
            BatchLine(application, self.limits, batching) if batching else Line(application, self.limits)
        )
        self.draining = False
        self.received = 0
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _SPARE_FILES
        self._most = min(self.limits.connections, files)
        self._turned: collections.deque[tuple[float, socket.socket]] = collections.deque()
        self._connections: set[Connection] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._acceptors: list[Acceptor] = []
        self._internal: list[Acceptor] = []
        self._doors: list[Door] = []
        self._receivers: list[Receiver] = []
        self._sender: Sender | None = None
        self._handed = self._closed = 0
        self._is_full = self._closing = False
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._sweeping = self._loop.call_later(_SWEEP, self._sweep)

    async def serve_unix(self, path: str) -> None:
        """Answer on a Unix socket too, for this user's own processes: they can address a release that has no
        public connections (a candidate). Raises OSError."""
        self._internal.append(Acceptor(listen_unix(path), lambda sock: self._take(sock, public=False)))

    async def receive_handover(self, path: str) -> None:
        """Take over the connections that a draining release sends to the Unix socket `path`. Raises
        OSError."""
        self._receivers.append(Receiver(path, self._adopt))

    def accept_on(self, listener: socket.socket, door: Door | None = None) -> None:
        """Accept public connections from `listener`, which stays the caller's to close; with a `door` by its
        rules. Those do not go to another process: it would have to know that they are not to be trusted."""
        if door is not None:
            self._doors.append(door)
        self._acceptors.append(Acceptor(listener, lambda sock: self._take(sock, public=True, door=door)))

    def stop_accepting(self) -> None:
        """No new public connections, from this very moment; those that are open are served on."""
        for acceptor in self._acceptors:
            acceptor.stop()
        self._acceptors.clear()

    async def drain(self, handover: str | None, deadline: float) -> DrainReport:
        """Give up all connections within `deadline` seconds (and a little for late bytes): to the
        process that receives at the Unix socket `handover` if there is one, else at each client's next
        request."""
        loop = asyncio.get_running_loop()
        end = loop.time() + deadline
        self.stop_accepting()
        channel = await open_channel(handover) if handover else None
        self._handed = self._closed = 0
        if channel is not None:
            self._sender = Sender(channel, self._sent, self._handover_failed)
        self.draining = True  # only now: until then there would be no telling what to answer
        for connection in tuple(self._connections):
            connection.begin_drain()
        await self._until(self._is_drained, end)
        left = [connection for connection in self._connections if connection.public]
        closed = self._closed
        await self._end_all(loop.time() + self.limits.linger + 0.5)
        if self._sender is not None:
            self._sender.close()
            self._sender = None
        self.draining = False
        return DrainReport(self._handed, closed, len(left))

    async def close(self) -> None:
        """Everything at once: listeners and connections, whatever they are doing."""
        self._closing = True
        self._sweeping.cancel()
        while self._turned:
            _end_turned(self._turned.popleft()[1])
        if self.log is not None:
            self.log.flush()
        self.stop_accepting()
        for acceptor in self._internal:
            acceptor.stop()
            acceptor.listener.close()
        self._internal.clear()
        for receiver in self._receivers:
            receiver.close()
        self._receivers.clear()
        for connection in tuple(self._connections):
            connection.abort()
        await self._until(lambda: not self._connections and not self._opening, self._loop.time() + 1.0)

    # What connections say (connection.Host).

    def opened(self, connection: Connection) -> None:
        self._connections.add(connection)
        self.application.connections = len(self._connections)
        if self._closing:
            connection.abort()
        elif self.draining:
            asyncio.get_running_loop().call_soon(connection.begin_drain)

    def lost(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self.application.connections = len(self._connections)
        if self._is_full and len(self._connections) < self._most:
            self._accept_again()
        if connection.public and connection.state is not State.AWAY:
            self._closed += 1
        self._changed.set()

    def hands_over(self, connection: Connection) -> bool:
        return self._sender is not None and connection.movable

    def at_rest(self, connection: Connection) -> None:
        if self._sender is not None and connection.movable:
            connection.stop_reading()
            self._sender.offer(connection)

    # Connections coming and going.

    def _adopt(self, sock: socket.socket) -> None:
        self.received += 1
        self._start(sock, public=True)

    def _take(self, sock: socket.socket, *, public: bool, door: Door | None = None) -> None:
        if public and len(self._connections) + len(self._opening) >= self._most:
            self._turn_away(sock, plain=door is None or door.context is None)
            return
        self._start(sock, public=public, door=door)

    def _start(self, sock: socket.socket, *, public: bool, door: Door | None = None) -> None:
        task = asyncio.get_running_loop().create_task(self._open(sock, public, door))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _open(self, sock: socket.socket, public: bool, door: Door | None) -> None:
        tls: dict[str, Any] = {}
        if door is not None and door.context is not None:
            tls = {"ssl": door.context, "ssl_handshake_timeout": self.limits.header_time}
        name = "external" if door else "internal" if public else "socket"
        admit = door.admit if door else None
        try:
            await self._loop.connect_accepted_socket(
                lambda: Connection(self, public=public, door=name, movable=door is None, admit=admit),
                sock,
                **tls,
            )
        except (OSError, asyncio.TimeoutError):  # it ended before it began, or never spoke TLS
            sock.close()
        self._changed.set()

    def _turn_away(self, sock: socket.socket, *, plain: bool) -> None:
        """One connection too many is told so, as long as there are not too many of those: then clients wait
        in the kernel's queue."""
        answer = self.application.refuse(503, "there are too many connections: try again")
        with contextlib.suppress(OSError):
            if plain:  # else it would have to be said in TLS: the end says enough
                sock.send(self.renderer.render(answer, False, CLOSE, self.names.lines({})))
            sock.shutdown(socket.SHUT_WR)
        self._turned.append((self._loop.time() + self.limits.linger, sock))
        if len(self._turned) >= _TURNED_AWAY:
            self._is_full = True
            for acceptor in self._acceptors:
                acceptor.stop()

    def _accept_again(self) -> None:
        self._is_full = False
        for acceptor in self._acceptors:
            acceptor.resume()

    def _sweep(self) -> None:
        """End what takes too long."""
        now = self._loop.time()
        self._sweeping = self._loop.call_later(_SWEEP, self._sweep)
        for connection in tuple(self._connections):
            connection.sweep(now)
        for door in self._doors:
            door.refresh()
        if self.log is not None:
            self.log.flush()
        while self._turned and self._turned[0][0] < now:
            _end_turned(self._turned.popleft()[1])
        if self._is_full and len(self._turned) < _TURNED_AWAY:
            self._accept_again()

    def _sent(self, connection: Connection) -> None:
        self._handed += 1
        connection.leave()

    def _handover_failed(self) -> None:
        """The receiver is gone: keep what was not sent, and end it as if there had never been one."""
        sender, self._sender = self._sender, None
        if sender is None:
            return
        sys.stderr.write("handover broken off: the receiver is gone\n")
        sender.close()
        for connection in sender.waiting:
            if connection.can_leave:
                connection.stay()

    def _is_drained(self) -> bool:
        return not self._opening and not any(connection.public for connection in self._connections)

    async def _end_all(self, end: float) -> None:
        """Close what is left: politely, then not. Our own processes need no politeness."""
        for connection in tuple(self._connections):
            connection.finish()
        await self._until(self._is_drained, end)
        for connection in tuple(self._connections):
            connection.abort()
        await self._until(lambda: not self._connections, end + 0.5)

    async def _until(self, reached: Callable[[], bool], end: float) -> None:
        """Wait for `reached` to become true, looked at after each change, but not beyond the loop's time
        `end`."""
        loop = asyncio.get_running_loop()
        while not reached() and loop.time() < end:
            self._changed.clear()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._changed.wait(), end - loop.time())


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run `coroutine` on uvloop where there is one. Call it when everything is loaded: what that took and is
    not needed is given back. The process may open as many files as the system allows it."""
    _raise_open_files()
    try:
        import uvloop
    except ImportError:
        give_back()
        return asyncio.run(coroutine)
    give_back()
    result: T = uvloop.run(coroutine)
    return result


def _end_turned(sock: socket.socket) -> None:
    """Close with nothing unread, as far as that can be told: a reset could take the answer away."""
    with contextlib.suppress(OSError):
        sock.recv(1 << 16)
    sock.close()


def _raise_open_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):  # macOS calls its limit infinite and then refuses it
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
