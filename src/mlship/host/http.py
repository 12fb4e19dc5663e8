"""One HTTP request over a stream that a host opened."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field

from mlship.errors import TargetError
from mlship.host.protocol import Host


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


class _Over(http.client.HTTPConnection):
    """An HTTP connection over a stream that is open already."""

    def __init__(self, stream: socket.socket) -> None:
        super().__init__("localhost")
        self.sock = stream


def request(host: Host, address: str, asked: Request) -> Response:
    """Send `asked` to `address` on `host`. Raises TargetError if no whole answer comes back in time.

    Each call opens a stream of its own, so there is no reused connection whose end must be retried.
    """
    stream = host.connect(address, timeout=asked.timeout)
    connection = _Over(stream)
    try:
        connection.request(asked.method, asked.path, asked.body or None, dict(asked.headers))
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise TargetError(
            f"no whole answer from {address}", cause=str(error) or type(error).__name__, fix="See mlship logs"
        ) from error
    finally:
        connection.close()
    return Response(answer.status, {k.lower(): v for k, v in answer.getheaders()}, body)
