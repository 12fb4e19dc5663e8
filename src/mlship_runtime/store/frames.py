"""What goes over the streams of a store session: a header (a JSON object) and raw bytes, both limited."""

from __future__ import annotations

import json
import struct
from typing import Any, Callable

SIGN = b"mlship-store 1\n"  # the far end says it first; what a login script wrote stands before it
MAX_BODY = 1 << 20
MAX_HEADER = 64 << 10
_AHEAD = 4096  # bytes of the next frame that may come along
_LENGTHS = struct.Struct("!II")

Frame = tuple[dict[str, Any], memoryview]  # evaluated at run time, also by Python 3.9


class Broken(Exception):
    """These bytes are not frames: the other end is not what it should be, or was cut off."""


def packed(header: dict[str, Any], body: bytes = b"") -> bytes:
    """One frame."""
    return head_of(header, body) + body


def head_of(header: dict[str, Any], body: bytes) -> bytes:
    """What stands in a frame before its `body`."""
    head = json.dumps(header).encode("utf-8")
    if len(head) > MAX_HEADER or len(body) > MAX_BODY:
        raise ValueError(f"a frame of {len(head)} and {len(body)} bytes is too large")
    return _LENGTHS.pack(len(head), len(body)) + head


class Frames:
    """The frames that come by `fill`, which puts what comes into memory and says how many bytes: none at the
    end. One piece of memory has each of them in turn: a new one would cost more than what is done with it."""

    def __init__(self, fill: Callable[[memoryview], int]) -> None:
        self._fill = fill
        self._room = memoryview(bytearray(_LENGTHS.size + MAX_HEADER + MAX_BODY + _AHEAD))
        self._at = self._end = 0  # what came and was not taken

    def skip_to_sign(self, most: int = MAX_HEADER) -> bytes | None:
        """What stands before SIGN; None if it does not come."""
        while SIGN not in (held := bytes(self._room[: self._end])):
            count = self._fill(self._room[self._end : MAX_HEADER + most]) if self._end < most else 0
            if not count:
                return None
            self._end += count
        self._at = held.index(SIGN) + len(SIGN)
        return held[: self._at - len(SIGN)]

    def take(self) -> Frame | None:
        """The next frame, None at the end; its body is there until the next is taken. Raises Broken."""
        left = self._end - self._at
        self._room[:left] = self._room[self._at : self._end]
        self._at, self._end = 0, left
        first = self._exactly(_LENGTHS.size, may_end=True)
        if not first:
            return None
        head, body = _LENGTHS.unpack(first)
        if head > MAX_HEADER or body > MAX_BODY:
            raise Broken("a frame is too large")
        try:
            header = json.loads(bytes(self._exactly(head)))
        except ValueError as error:
            raise Broken("a header is not JSON") from error
        if not isinstance(header, dict):
            raise Broken("a header is not an object")
        return header, self._exactly(body)

    def _exactly(self, count: int, may_end: bool = False) -> memoryview:
        while self._end - self._at < count:
            came = self._fill(self._room[self._end : self._at + count + _AHEAD])
            if not came:
                if may_end and self._end == self._at:
                    return self._room[:0]
                raise Broken("the stream ends within a frame")
            self._end += came
        self._at += count
        return self._room[self._at - count : self._at]
