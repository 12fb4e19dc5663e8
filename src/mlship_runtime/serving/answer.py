"""What stands between the HTTP layer and what it serves: an Answer, and the Application that gives it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import NamedTuple, Protocol

JSON = b"application/json"
OCTETS = b"application/octet-stream"
KEEP, CLOSE, KEEP_1_0 = b"", b"Connection: close\r\n", b"Connection: keep-alive\r\n"
_REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}


class Answer(NamedTuple):
    """`headers` are whole lines, each with its CRLF, beyond those that every answer carries."""

    status: int
    body: bytes
    content_type: bytes = JSON
    headers: bytes = b""


class Application(Protocol):
    """Answers requests; knows nothing of sockets. `headers` are the whole lines that every answer carries;
    the server keeps up to date how many `connections` there are, and how many requests are `waiting`."""

    headers: bytes
    connections: int
    waiting: int

    def answer(self, method: bytes, target: bytes, headers: Mapping[bytes, bytes], body: bytes) -> Answer:
        """Never raises. `target` is the request's target as sent, query included; `headers` have names in
        lower case, and of a name that was sent twice both values with a comma between."""

    def answer_many(
        self, requests: Sequence[tuple[bytes, bytes, Mapping[bytes, bytes], bytes]]
    ) -> list[Answer]:
        """The answers to requests that came together, in their order; never raises."""

    def refuse(self, status: int, message: str) -> Answer:
        """The answer to what is no proper request, or too large a one."""


class Renderer:
    """Answers as bytes; the head of each kind of answer is put together once."""

    def __init__(self, headers: bytes) -> None:
        self._headers = headers
        self._heads: dict[tuple[int, bytes, bytes], bytes] = {}
        self._usual = self._head(200, JSON, KEEP)

    def render(self, answer: Answer, headless: bool, connection: bytes, names: bytes = b"") -> bytes:
        """`headless` leaves out the body (HEAD); `connection` is KEEP, CLOSE or KEEP_1_0; `names` are whole
        lines about the request."""
        status, body, content_type, headers = answer
        if status == 200 and content_type is JSON and connection is KEEP:
            head = self._usual
        else:
            found = self._heads.get((status, content_type, connection))
            head = self._head(status, content_type, connection) if found is None else found
        if headless or headers:
            shown = b"" if headless else body
            return b"%b%b%bContent-Length: %d\r\n\r\n%b" % (head, headers, names, len(body), shown)
        return b"%b%bContent-Length: %d\r\n\r\n%b" % (head, names, len(body), body)

    def _head(self, status: int, content_type: bytes, connection: bytes) -> bytes:
        line = b"HTTP/1.1 %d %b\r\nContent-Type: %b\r\n" % (status, _REASONS[status], content_type)
        head = self._heads[status, content_type, connection] = line + self._headers + connection
        return head


def error_answer(status: int, message: str, headers: bytes = b"") -> Answer:
    """A problem in the form that the Open Inference Protocol gives it. What is too much now (503) may be
    asked again in a second."""
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers += b"Retry-After: 1\r\n"
    return Answer(status, json.dumps({"error": message}, ensure_ascii=False).encode(), JSON, headers)
