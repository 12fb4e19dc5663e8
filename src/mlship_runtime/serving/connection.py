"""One HTTP/1.1 connection: what comes is parsed at once, answered in order, with one write per batch.

Between two messages a connection has no state, which is what lets it be handed to another process.
How keep-alive ends: the newest answer of a batch is kept back until it is known whether it is the last one.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import socket
import struct
from collections.abc import Mapping
from typing import Any

from mlship_runtime.serving.accesslog import Asked
from mlship_runtime.serving.answer import CLOSE, KEEP, Answer
from mlship_runtime.serving.host import Host, State
from mlship_runtime.serving.kernel_queues import unread, untaken
from mlship_runtime.serving.line import Request
from mlship_runtime.serving.outgoing import Outgoing
from mlship_runtime.serving.pace import Doing, Pace, Taking
from mlship_runtime.serving.requests import Admit, Refusal, RequestReader

_NOTHING: collections.deque[Any] = collections.deque()
_INTERIM = b"-"  # in the place of a connection line: what is said is no answer yet
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_OPEN = State.OPEN  # members of an Enum are slow to look up
_GATHERED = 64 << 10  # bytes of answers after which they are written, and further requests wait for it
_HEAD_PIECE, _BODY_PIECE = 4 << 10, 64 << 10  # bytes parsed between two looks at how much waits


class Connection(asyncio.Protocol):
    """`public` connections came over one of the service's ports; those that are `movable` may be handed over.
    `admit` decides which requests are taken at all. `gone` once it takes no more answers."""

    def __init__(
        self, host: Host, *, public: bool, door: str = "", movable: bool = True, admit: Admit | None = None
    ) -> None:
        self._door = door
        self.public, self.movable = public, public and movable
        self.gone = False
        self.state = State.OPEN
        self._host, self._line = host, host.line
        self._answer = host.application.answer
        self._render, self._names = host.renderer.render, host.names.lines
        self._log = host.log
        self._asked: collections.deque[Asked] = collections.deque() if host.log else _NOTHING
        self._reader = RequestReader(host.limits, self._take, self._go_on, admit)
        self._feed, self._feed_known = self._reader.feed, self._reader.feed_known
        self._transport: Any = None
        self._out = Outgoing(host.renderer)
        self._lined = False  # one request stands in the line; what came behind it is in the backlog
        self._backlog: collections.deque[Request] | None = None
        self._rest = b""  # read from the socket, not yet parsed: too much waits already
        self._held = 0  # bytes of an incomplete body
        self._choked = self._at_end = self._paused = self._special = False
        self._pace, self._taking = Pace(), Taking()
        self._written = self._taken = 0  # bytes so far; those that had left when it was looked last

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._host.opened(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._let_go()
        self._host.lost(self)

    def data_received(self, data: bytes) -> None:
        if self.state is not _OPEN:
            return
        if self._backlog or self._rest:
            self._rest += data
            self._feed_rest()
        elif not self._feed_known(data):
            self._receive(data)
        if self._out.newest is not None:
            self.flush()
        if self._backlog and not self._lined:
            self._line_up_again()
        if self._host.draining:
            self.settle()

    def _receive(self, data: bytes) -> None:
        if len(data) > _HEAD_PIECE:
            self._rest = data
            self._feed_rest()
            return
        try:
            self._feed(data)
            if self._reader.busy or self._held:
                self._account()
        except Refusal as refusal:
            self._end_with(refusal)

    def eof_received(self) -> bool:
        """The client sends no more. What it has asked is answered first, and what it has not asked to its end
        is refused."""
        self._at_end = self._special = True
        if self._reader.busy and self.state is State.OPEN:
            self._end_with(Refusal(400, "the request ends before it is complete"))
            self.flush()
        return bool(self._lined or self._backlog) and bool(self._transport.can_write_eof())

    def pause_writing(self) -> None:
        """The client does not take its answers: read no more of its requests, and answer none."""
        self._choked = True
        if self.state is State.OPEN:
            self._pause()

    def resume_writing(self) -> None:
        self._choked = False
        if self.state is State.OPEN:
            if self._backlog and not self._lined:
                self._line_up_again()
            self._read_on()
            if self._host.draining:
                self.settle()
        elif self.state is State.LINGERING:
            self._transport.resume_reading()

    def _pause(self) -> None:
        if not self._paused:
            self._paused = self._special = True
            self._transport.pause_reading()

    # Requests: answered at once if that costs nothing and nothing stands before them, else in their turn.

    def _take(
        self, method: bytes, target: bytes, headers: dict[bytes, bytes], body: bytes, connection: bytes
    ) -> None:
        if self._log is not None:
            self._asked.append(Asked(method, target, len(body)))
        if self._lined or self._choked or self._backlog or self._out.gathered > _GATHERED:
            self._postpone((method, target, headers, body, connection))
        elif method != b"POST":
            self._put(self._answer(method, target, headers, body), method == b"HEAD", connection, headers)
        elif self._line.add(self, (method, target, headers, body, connection)):
            self._lined = True
        else:
            self._put(self._line.too_busy(), False, connection, headers)

    def _postpone(self, request: Request) -> None:
        if self._backlog is None:
            self._backlog = collections.deque()
        self._backlog.append(request)
        self._line.held += len(request[3])

    def answered(self, answer: Any, request: Request) -> Request | None:
        """See `line.Waiter`; an Answer, or bytes that are an interim one."""
        if request[4] is KEEP and not (
            self._backlog or self._out.newest or self._special or self._host.draining
        ):
            self._lined = False  # one request, its answer, and all as before: nearly always
            names = self._names(request[2])
            data = self._render(answer, request[0] == b"HEAD", KEEP, names)
            self._written += len(data)
            self._transport.write(data)
            if self._log is not None:
                self._note(answer, names)
            return None
        return self._answered_with_care(answer, request)

    def _answered_with_care(self, answer: Answer | bytes, request: Request) -> Request | None:
        self._put_for(request, answer)
        if self._backlog:
            if self._out.gathered > _GATHERED:
                self.flush()
            if not self._choked:
                return self._next()
            self.flush()
        self._lined = False
        self.flush()
        if self._paused:
            self._read_on()
        if self._at_end and not self._backlog:
            self._transport.close()
        elif self._host.draining:
            self.settle()
        return None

    def _line_up_again(self) -> None:
        """With what came while the client did not take its answers."""
        while self._backlog and not self._lined and not self._choked:
            request = self._next()
            self._lined = self._line.add(self, request)
            if not self._lined:
                self._put_for(request, self._line.too_busy() if request[0] else request[2])
                self.flush()

    def _next(self) -> Request:
        assert self._backlog  # noqa: S101  asked before
        request = self._backlog.popleft()
        self._line.held -= len(request[3])
        return request

    def _read_on(self) -> None:
        """Parse and read what had to wait, now that less does."""
        if self._rest:
            self._feed_rest()
            self.flush()
        if self._paused and not self._rest and not self._choked and self.state is State.OPEN:
            self._paused, self._special = False, self._at_end
            self._transport.resume_reading()

    def _feed_rest(self) -> None:
        """Parse piece by piece, for as long as not too many requests of this connection wait."""
        reader, whole, start = self._reader, self._rest, 0
        data, most = memoryview(whole), self._host.limits.pipeline
        alone, taken = not reader.busy, reader.taken
        try:
            while start < len(data) and len(self._backlog or ()) < most:
                piece = _BODY_PIECE if reader.busy and not reader.in_head else _HEAD_PIECE
                self._feed(data[start : start + piece])
                start += piece
                self.flush()
            self._account()
            if alone and start >= len(data):
                reader.remember(whole, taken)
        except Refusal as refusal:
            self._end_with(refusal)
            start = len(data)
        self._rest = bytes(data[start:])
        if self._rest:
            self._pause()

    def _account(self) -> None:
        """Tell the line what is held of an incomplete body. Raises Refusal if that is too much for all."""
        line, reader = self._line, self._reader
        held = reader.body_size if reader.busy else 0
        line.held += held - self._held
        more, self._held = held > self._held, held
        if more and line.held > self._host.limits.buffered:
            raise Refusal(503, "too much is being sent at once: try again")

    def _go_on(self) -> None:
        """Answer what is complete, then ask for the body that the client holds back."""
        if self._lined or self._choked:
            self._postpone((None, None, _CONTINUE, b"", _INTERIM))
        else:
            self._out.put_bytes(_CONTINUE)
            self.flush()

    def _end_with(self, refusal: Refusal) -> None:
        """The last answer of this connection, in its place behind those that are due before."""
        known = self._reader.known
        self._reader.stop()
        answer = self._host.application.refuse(refusal.status, refusal.message)
        if refusal.headers:
            answer = answer._replace(headers=answer.headers + refusal.headers)
        if self._log is not None:
            self._asked.append(Asked(*known))
        if self._lined or self._choked:
            self._postpone((None, None, answer, b"", CLOSE))
        else:
            self._put(answer, False, CLOSE, {})

    # Answers.

    def _put_for(self, request: Request, answer: Answer | bytes) -> None:
        if isinstance(answer, bytes):
            self._out.put_bytes(answer)
            self.flush()
        else:
            headers = request[2] if request[0] is not None else {}
            self._put(answer, request[0] == b"HEAD", request[4], headers)

    def _put(self, answer: Answer, headless: bool, connection: bytes, headers: Mapping[bytes, bytes]) -> None:
        names = self._names(headers)
        self._out.put(answer, headless, connection, names)
        if self._log is not None:
            self._note(answer, names)

    def _note(self, answer: Answer, names: bytes) -> None:
        assert self._log is not None  # noqa: S101  asked before
        peer = self._transport.get_extra_info("peername")
        client = str(peer[0]) if isinstance(peer, tuple) else ""
        self._log.note(self._asked.popleft(), answer, names, self._door, client)

    def flush(self) -> None:
        """Write what is put, except that in a drain the last answer says that it is the last."""
        if self._out:
            data, ends = self._out.take(last=self._host.draining and self._must_end())
            self._written += len(data)
            self._transport.write(data)
            if ends:
                self.finish()

    def _must_end(self) -> bool:
        """In a drain: whether this answer is the last request in hand, with none half read behind it."""
        waits = self._lined or self._backlog or self._rest or self._reader.busy
        return not waits and not self._host.hands_over(self) and not unread(self.fileno())

    # Ending and leaving.

    @property
    def can_leave(self) -> bool:
        return self.state is State.LEAVING

    def fileno(self) -> int:
        return int(self._transport.get_extra_info("socket").fileno())

    def sweep(self, now: float) -> None:
        """Called a few times a second: end what takes too long. `now` is the loop's time."""
        if self.state not in (State.OPEN, State.LINGERING):
            return
        limits, waiting = self._host.limits, self._waiting()
        if self._taking.late(now, self._written, waiting, limits):
            self._reset()
            return
        doing = self._doing(waiting)
        if not self._pace.late(now, doing, self._reader, limits):
            return
        if doing is Doing.SENDING_HEAD or doing is Doing.SENDING_BODY:
            what = "header" if doing is Doing.SENDING_HEAD else "body"
            self._end_with(Refusal(408, f"the {what} of the request came too slowly"))
            self.flush()
        elif doing is Doing.NOTHING:
            self.finish()
        else:
            self._reset()

    def _reset(self) -> None:
        """End it with a reset: what the client does not take would else stay in the kernel for minutes."""
        sock = self._transport.get_extra_info("socket")
        with contextlib.suppress(OSError):  # it has ended in this moment
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def _doing(self, waiting: int) -> Doing:
        if self.state is State.LINGERING:
            return Doing.TAKING if waiting else Doing.ENDING
        if self._lined and not self._choked:
            return Doing.WAITING
        if self._choked:
            return Doing.TAKING
        if self._reader.busy:
            return Doing.SENDING_HEAD if self._reader.in_head else Doing.SENDING_BODY
        return Doing.TAKING if waiting else Doing.NOTHING

    def _waiting(self) -> int:
        """Bytes that were written and that the client's machine does not have yet, wherever they are."""
        if self._written == self._taken:
            return 0
        waiting = int(self._transport.get_write_buffer_size())
        sock = self._transport.get_extra_info("socket")
        if sock is not None and not self._transport.is_closing():  # TLS that has just ended has none
            waiting += untaken(sock.fileno())
        if not waiting:
            self._taken = self._written
        return waiting

    def begin_drain(self) -> None:
        """From now on be told when the last byte is written, and leave as soon as nothing is under way."""
        if self.movable:  # others need not know; and TLS would call its empty buffer full
            self._transport.set_write_buffer_limits(high=0)
            self.settle()

    def settle(self) -> None:
        """Tell the host if the connection is at rest: nothing parsed, nothing queued, nothing to be
        written."""
        if self.state is not State.OPEN or self._reader.busy or self._out.newest:
            return
        if self._lined or self._backlog or self._rest:
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
        9112 9.6) or, in a sweep, after a while."""
        if self.state not in (State.OPEN, State.LEAVING):
            return
        self.state = State.LINGERING
        self._let_go()
        if self._transport.can_write_eof():
            self._transport.write_eof()
            if not self._choked:
                self._transport.resume_reading()
        else:  # TLS: its own farewell, with time to answer it
            self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def _let_go(self) -> None:
        """Forget what was to be answered."""
        self.gone = True
        self._line.held -= self._held + sum(len(request[3]) for request in self._backlog or ())
        self._backlog, self._rest, self._held = None, b"", 0
