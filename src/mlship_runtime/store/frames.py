"""What goes over the streams of a store session: a header (a JSON object) and raw bytes, both limited."""

from __future__ import annotations

import json
import struct
from typing import Any, Callable

SIGN = b"mlship-store 1\n"  # the far end says it first; what a login script wrote stands before it
MAX_BODY = 1 << 20
MAX_HEADER = 64 << 10
_LENGTHS = struct.Struct("!II")

Frame = tuple[dict[str, Any], bytes]  # evaluated at run time, also by Python 3.9


class Broken(Exception):
    """These bytes are not frames: the other end is not what it should be, or was cut off."""


def packed(header: dict[str, Any], body: bytes = b"") -> bytes:
    """One frame."""
    head = json.dumps(header).encode("utf-8")
    if len(head) > MAX_HEADER or len(body) > MAX_BODY:
        raise ValueError(f"a frame of {len(head)} and {len(body)} bytes is too large")
    return b"".join((_LENGTHS.pack(len(head), len(body)), head, body))


class Frames:
    """The frames that come from `read(most)`, which returns nothing at the end."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self._held = b""

    def skip_to_sign(self, most: int = MAX_HEADER) -> bytes | None:
        """What stands before SIGN; None if it does not come."""
        while SIGN not in self._held:
            data = self._read(MAX_HEADER) if len(self._held) < most else b""
            if not data:
                return None
            self._held += data
        before, _, self._held = self._held.partition(SIGN)
        return before

    def take(self) -> Frame | None:
        """The next frame; None at the end. Raises Broken."""
        first = self._exactly(_LENGTHS.size, may_end=True)
        if not first:
            return None
        head, body = _LENGTHS.unpack(first)
        if head > MAX_HEADER or body > MAX_BODY:
            raise Broken("a frame is too large")
        try:
            header = json.loads(self._exactly(head))
        except ValueError as error:
            raise Broken("a header is not JSON") from error
        if not isinstance(header, dict):
            raise Broken("a header is not an object")
        return header, self._exactly(body)

    def _exactly(self, count: int, may_end: bool = False) -> bytes:
        parts, have = [self._held], len(self._held)
        while have < count:
            data = self._read(max(count - have, MAX_HEADER))
            if not data:
                if may_end and not have:
                    return b""
                raise Broken("the stream ends within a frame")
            parts.append(data)
            have += len(data)
        whole = b"".join(parts)
        self._held = whole[count:]
        return whole[:count]
