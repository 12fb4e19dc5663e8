"""Names a request: the id that it brings or is given, and the trace it belongs to (W3C Trace Context)."""

from __future__ import annotations

import itertools
import re
import secrets
from collections.abc import Iterator, Mapping

_ID = re.compile(rb"[A-Za-z0-9._~:/+=@-]{1,128}")
_TRACE = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
NAME, TRACE = b"x-request-id", b"traceparent"


class RequestNames:
    """Ids that no other process gives: a random part, and a count."""

    def __init__(self) -> None:
        self._next = _lines(b"X-Request-Id: " + secrets.token_hex(8).encode()).__next__

    def lines(self, headers: Mapping[bytes, bytes]) -> bytes:
        """The header lines by which an answer names its request. What a request says of itself counts if it
        is well-formed, else it counts for nothing."""
        if NAME in headers or TRACE in headers:
            return self._given(headers)
        return self._next()

    def _given(self, headers: Mapping[bytes, bytes]) -> bytes:
        name, trace = headers.get(NAME, b""), headers.get(TRACE, b"")
        first = b"X-Request-Id: " + name + b"\r\n" if _ID.fullmatch(name) else self._next()
        return first + (b"Traceparent: " + trace + b"\r\n" if _TRACE.fullmatch(trace) else b"")


def _lines(start: bytes) -> Iterator[bytes]:
    """All that begin so, each with a count behind."""
    ends = [b"%02x\r\n" % number for number in range(256)]
    for number in itertools.count():
        block = b"%b-%06x" % (start, number)
        for end in ends:
            yield block + end


def named(lines: bytes) -> tuple[str, str]:
    """The id and the trace (or nothing) that `lines` name."""
    name, _, trace = lines.decode("latin-1").partition("\r\n")
    return name.partition(": ")[2], trace.partition(": ")[2].strip()
