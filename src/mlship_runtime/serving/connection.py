"""One HTTP/1.1 connection: requests are answered at once, in order, with one write per batch.

Between two messages a connection has no state, which is what lets it be handed to another process.
How keep-alive ends: the newest answer of a batch is kept back until it is known whether it is the last one.
"""

from __future__ import annotations

import asyncio
import enum
import fcntl
import struct
import termios
from typing import Any, Protocol

from mlship_runtime.serving.answer import CLOSE, Answer, Application, Renderer
from mlship_runtime.serving.limits import Limits
from mlship_runtime.serving.requests import Refusal, RequestReader

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Host(Protocol):
    """What a connection needs of its server."""

    application: Application
    limits: Limits
    renderer: Renderer
    draining: bool

    def opened(self, connection: Connection) -> None: ...

    def lost(self, connection: Connection) -> None: ...

    def hands_over(self, connection: Connection) -> bool:
        """Whether, in this drain, the connection will go to another process once it is at rest."""

    def at_rest(self, connection: Connection) -> None:
        """The connection is, in a drain, between two messages with nothing to send."""


class State(enum.Enum):
    OPEN = 1
    LEAVING = 2  # at rest and not read any more, on its way to another process
    LINGERING = 3  # the last answer is out; what still comes is thrown away
    AWAY = 4  # another process has it


class Connection(asyncio.Protocol):
    """`public` connections came over the service's port: only they may be handed over."""

    def __init__(self, host: Host, *, public: bool) -> None:
        self.public = public
        self.state = State.OPEN
        self._host = host
        self._answer = host.application.answer
        self._render = host.renderer.render
        self._reader = RequestReader(host.limits, self._take, self._go_on)
        self._feed = self._reader.feed
        self._transport: Any = None
        self._out: list[bytes] = []
        self._newest: tuple[Answer, bool, bytes] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._host.opened(self)

    def connection_lost(self, error: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._host.lost(self)

    def data_received(self, data: bytes) -> None:
        if self.state is not State.OPEN:
            return
        try:
            self._feed(data)
        except Refusal as refusal:
            self._put((self._host.application.refuse(refusal.status, refusal.message), False, CLOSE))
        self._flush()
        if self._host.draining:
            self.settle()

    def pause_writing(self) -> None:
        """The client does not take its answers: read no more of its requests."""
        if self.state is State.OPEN:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        if self.state is State.OPEN:
            self._transport.resume_reading()
            if self._host.draining:
                self.settle()
        elif self.state is State.LINGERING:
            self._transport.resume_reading()

    def _take(
        self, method: bytes, target: bytes, headers: dict[bytes, bytes], body: bytes, connection: bytes
    ) -> None:
        self._put((self._answer(method, target, headers, body), method == b"HEAD", connection))

    def _put(self, answer: tuple[Answer, bool, bytes]) -> None:
        if self._newest is not None:
            self._out.append(self._render(*self._newest))
        self._newest = answer

    def _go_on(self) -> None:
        """Answer what is complete, then ask for the body that the client holds back."""
        if self._newest is not None:
            self._out.append(self._render(*self._newest))
            self._newest = None
        self._out.append(_CONTINUE)
        self._write()

    def _flush(self) -> None:
        if self._newest is None:
            return
        answer, headless, connection = self._newest
        self._newest = None
        if self._host.draining and self._must_end():
            connection = CLOSE
        self._out.append(self._render(answer, headless, connection))
        self._write()
        if connection is CLOSE:
            self.finish()

    def _write(self) -> None:
        out = self._out
        self._transport.write(out[0] if len(out) == 1 else b"".join(out))
        out.clear()

    def _must_end(self) -> bool:
        """In a drain: whether this answer is the last request in hand, with none half read behind it."""
        return not self._host.hands_over(self) and not self._reader.busy and not self._unread()

    def _unread(self) -> int:
        """Bytes that the kernel has for us."""
        waiting = fcntl.ioctl(self.fileno(), termios.FIONREAD, b"\0\0\0\0")
        return int(struct.unpack("i", waiting)[0])

    # Ending and leaving.

    @property
    def can_leave(self) -> bool:
        return self.state is State.LEAVING

    def fileno(self) -> int:
        return int(self._transport.get_extra_info("socket").fileno())

    def begin_drain(self) -> None:
        """From now on be told when the last byte is written, and leave as soon as nothing is under way."""
        self._transport.set_write_buffer_limits(high=0)
        self.settle()

    def settle(self) -> None:
        """Tell the host if the connection is at rest: nothing parsed, nothing queued, nothing to be
        written."""
        if self.state is not State.OPEN or self._reader.busy or self._newest is not None:
            return
        if self._transport.get_write_buffer_size() == 0 and not self._transport.is_closing():
            self._host.at_rest(self)

    def stop_reading(self) -> None:
        """Unread bytes stay in the kernel, for whoever has the connection next."""
        self.state = State.LEAVING
        self._transport.pause_reading()

    def stay(self) -> None:
        """No other process took it: go on reading."""
        self.state = State.OPEN
        self._transport.resume_reading()

    def leave(self) -> None:
        """Another process has it: close this copy only, which sends nothing to the client."""
        self.state = State.AWAY
        self._transport.abort()

    def finish(self) -> None:
        """No more answers: say so (FIN), throw away what still comes, close when the client does (RFC
        9112 9.6)."""
        if self.state is State.LEAVING:
            self._transport.resume_reading()
        elif self.state is not State.OPEN:
            return
        self.state = State.LINGERING
        self._transport.write_eof()
        self._timer = asyncio.get_running_loop().call_later(self._host.limits.linger, self._end_linger)

    def _end_linger(self) -> None:
        if self._transport.get_write_buffer_size():  # a slow reader is still at the last answer
            self._timer = asyncio.get_running_loop().call_later(self._host.limits.linger, self._end_linger)
        else:
            self._transport.abort()

    def abort(self) -> None:
        self._transport.abort()
