"""Passes open connections to another process of the same user: one message, one descriptor (SCM_RIGHTS).

The receiver listens on a Unix socket and greets with its protocol version; the sender gives up the plan
when it does not know that version. One way only: the end of the stream is the end of the handover.
"""

from __future__ import annotations

import asyncio
import collections
import errno
import os
import socket
import struct
import sys
from typing import Any, Callable, Protocol

from mlship_runtime.serving.acceptor import Acceptor, listen_unix

VERSION = b"\x01"
_KIND = socket.SOCK_SEQPACKET if sys.platform == "linux" else socket.SOCK_STREAM
_GREETING = 5.0  # seconds within which the receiver must say its version
_RETRY = 0.005
_STALL = (
    2.0  # seconds without room in the channel, after which the receiver counts as gone: clients are waiting
)
# ETOOMANYREFS: more descriptors in flight than RLIMIT_NOFILE allows an unprivileged user
_FULL = (errno.EAGAIN, errno.EWOULDBLOCK, errno.ENOBUFS, errno.ETOOMANYREFS)


class Leaver(Protocol):
    """A connection at rest that nobody reads any more."""

    def fileno(self) -> int: ...

    @property
    def can_leave(self) -> bool: ...


class Sender:
    """The sending end. Each connection is sent exactly once or stays: `sent(connection)` after the
    message is out; `failed()` once, when the receiver is gone; what is then in `waiting` was not sent."""

    def __init__(
        self, channel: socket.socket, sent: Callable[[Any], None], failed: Callable[[], None]
    ) -> None:
        self.waiting: collections.deque[Any] = collections.deque()
        self._channel = channel
        self._sent = sent
        self._failed = failed
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._moved = self._loop.time()

    def offer(self, connection: Leaver) -> None:
        if not self.waiting:
            self._moved = self._loop.time()
        self.waiting.append(connection)
        if self._timer is None:
            self._send_waiting()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._channel.close()

    def _send_waiting(self) -> None:
        self._timer = None
        while self.waiting:
            connection = self.waiting[0]
            if connection.can_leave:  # it may have ended while it waited
                try:
                    socket.send_fds(self._channel, [VERSION], [connection.fileno()])
                except OSError as error:
                    if error.errno in _FULL and self._loop.time() < self._moved + _STALL:
                        self._timer = self._loop.call_later(_RETRY, self._send_waiting)
                    else:
                        self._failed()
                    return
            self.waiting.popleft()
            self._moved = self._loop.time()
            if connection.can_leave:
                self._sent(connection)


async def open_channel(path: str) -> socket.socket | None:
    """A channel to the receiver at `path`, greeted; None if there is none that we understand."""
    loop = asyncio.get_running_loop()
    channel = socket.socket(socket.AF_UNIX, _KIND)
    channel.setblocking(False)
    try:
        await asyncio.wait_for(loop.sock_connect(channel, path), _GREETING)
        greeting = await asyncio.wait_for(loop.sock_recv(channel, 1), _GREETING)
        if greeting == VERSION and peer_user(channel) == os.geteuid():
            return channel
        why = f"it speaks version {greeting!r}"
    except (OSError, asyncio.TimeoutError) as error:
        why = str(error) or type(error).__name__
    channel.close()
    sys.stderr.write(f"no handover to {path}: {why}\n")
    return None


class Receiver:
    """The receiving end: calls `adopt(socket)` for each connection that arrives."""

    def __init__(self, path: str, adopt: Callable[[socket.socket], None]) -> None:
        self._adopt = adopt
        self._loop = asyncio.get_running_loop()
        self._channels: set[socket.socket] = set()
        self._acceptor = Acceptor(listen_unix(path, _KIND), self._greet)

    def close(self) -> None:
        self._acceptor.stop()
        self._acceptor.listener.close()
        for channel in tuple(self._channels):
            self._drop(channel)

    def _greet(self, channel: socket.socket) -> None:
        try:
            if peer_user(channel) != os.geteuid():
                raise PermissionError("another user offers connections")
            channel.send(VERSION)
        except OSError as error:
            sys.stderr.write(f"handover refused: {error}\n")
            channel.close()
            return
        self._channels.add(channel)
        self._loop.add_reader(channel, self._receive, channel)

    def _receive(self, channel: socket.socket) -> None:
        """Everything that is there, not one message per turn: clients are waiting in each."""
        while True:
            try:
                data, descriptors, flags, _ = socket.recv_fds(channel, 1, 1)
            except (BlockingIOError, InterruptedError):
                return None
            except OSError as error:
                sys.stderr.write(f"handover broken off: {error}\n")
                return self._drop(channel)
            if not data:
                return self._drop(channel)
            if flags & socket.MSG_CTRUNC:
                sys.stderr.write("a handed over connection was lost: this process is out of descriptors\n")
            for descriptor in descriptors:
                os.set_inheritable(descriptor, False)
                connection = socket.socket(fileno=descriptor)
                connection.setblocking(False)
                self._adopt(connection)

    def _drop(self, channel: socket.socket) -> None:
        self._loop.remove_reader(channel)
        self._channels.discard(channel)
        channel.close()


def peer_user(channel: socket.socket) -> int:
    """The user id at the other end of a connected Unix socket (unix(7) SO_PEERCRED; LOCAL_PEERCRED on
    macOS)."""
    if sys.platform == "linux":
        credentials = channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return int(struct.unpack("3i", credentials)[1])
    level, option = 0, 1  # SOL_LOCAL, LOCAL_PEERCRED: struct xucred {version, uid, …}
    return int(struct.unpack_from("II", channel.getsockopt(level, option, 76))[1])
