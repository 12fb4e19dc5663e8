"""HTTP requests over one connection that is kept: each within its deadline, and once more over a fresh one
where the kept one turns out to have ended."""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Callable, Optional

from mlship_runtime.errors import RuntimeFault

Opener = Callable[[float], socket.socket]


class Unanswered(RuntimeFault):
    """No whole answer came back in time."""

    exit_code = 6
    kind = "unanswered"


@dataclass(frozen=True)
class Request:
    """What is asked of a release: a path of its REST API, a body, and how many seconds an answer may take."""

    path: str
    body: bytes = b""
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    timeout: float = 30.0


@dataclass(frozen=True)
class Response:
    """What came back; header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Line:
    """`opener(seconds)` opens a connection to `place`, which must take no longer. Not for several threads at
    once."""

    def __init__(self, opener: Opener, place: str = "localhost") -> None:
        self._opener, self._place = opener, place
        self._connection: Optional[_Connection] = None

    def exchange(self, request: Request) -> Response:
        """The answer to `request`; raises Unanswered. A prediction changes nothing, so that one which was
        sent over a connection that had already ended may be asked for again."""
        deadline = time.monotonic() + request.timeout
        try:
            if self._connection is not None:
                try:
                    return self._once(self._connection, request, deadline)
                except (OSError, http.client.HTTPException) as error:
                    if self._connection.timed.answered or isinstance(error, socket.timeout):
                        raise
                    self.close()
            self._connection = _Connection(self._opener(_left(deadline)), self._place)
            return self._once(self._connection, request, deadline)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            late = isinstance(error, socket.timeout)
            cause = f"none within {request.timeout:g} s" if late else str(error) or type(error).__name__
            raise Unanswered(f"no whole answer from {self._place}", cause=cause) from error
        except BaseException:  # half an answer may be left in it
            self.close()
            raise

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.timed.end()

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _once(self, connection: _Connection, request: Request, deadline: float) -> Response:
        timed = connection.timed
        timed.begin(deadline)
        # A server that refuses a body may have said why before it hung up.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.request(request.method, request.path, request.body or None, dict(request.headers))
        answer = connection.getresponse()
        body = answer.read()
        if answer.will_close:
            self.close()
        return Response(answer.status, {name.lower(): value for name, value in answer.getheaders()}, body)


class _Connection(http.client.HTTPConnection):
    """An HTTP connection over a socket that is open already."""

    def __init__(self, stream: socket.socket, place: str) -> None:
        super().__init__(place)
        self.timed = _Timed(stream)
        self.sock: Any = self.timed


class _Timed:
    """As much of a socket as HTTP needs, every wait of it within the deadline of the whole exchange. It is
    open until `end`: what http.client closes may still be read from."""

    def __init__(self, stream: socket.socket) -> None:
        self.stream = stream
        self.answered = False  # a byte of the answer has come
        self._deadline = 0.0

    def begin(self, deadline: float) -> None:
        self._deadline, self.answered = deadline, False

    def sendall(self, data: Any) -> None:
        self.stream.settimeout(_left(self._deadline))
        self.stream.sendall(data)

    def receive(self, into: Any) -> int:
        self.stream.settimeout(_left(self._deadline))
        count = self.stream.recv_into(into)
        self.answered = self.answered or count > 0
        return count

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Incoming(self))

    def close(self) -> None:
        """See `end`."""

    def end(self) -> None:
        self.stream.close()


class _Incoming(io.RawIOBase):
    def __init__(self, timed: _Timed) -> None:
        self._timed = timed

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        return self._timed.receive(into)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise socket.timeout
    return left
