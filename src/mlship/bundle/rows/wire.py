"""Reads messages in the Protocol Buffers encoding from a stream, field by field, with little memory."""

from __future__ import annotations

from collections.abc import Iterator

from mlship_runtime.bundle.ustar import CHUNK, Stream

VARINT, BYTES = 0, 2
_EIGHT, _FOUR = 1, 5
_MAX_TEXT = 4096


class Unreadable(Exception):
    """The bytes are not what they should be; the text says why."""


class Wire:
    """Fields of a message in order. Of a field of bytes its end is given, and whoever gets it reads up to
    there or leaves it."""

    def __init__(self, stream: Stream) -> None:
        self._stream, self.position = stream, 0

    def fields(self, end: int) -> Iterator[tuple[int, int, int]]:
        """Number, kind, and value (of bytes: the position of their end) of the fields up to `end`."""
        while self.position < end:
            key = self.varint()
            number, kind = key >> 3, key & 7
            if kind == BYTES:
                stop = self.varint() + self.position
                if stop > end:
                    raise Unreadable("a field is longer than what it is in")
                yield number, kind, stop
                for _ in self.rest(stop):
                    continue
            elif kind == VARINT:
                yield number, kind, self.varint()
            elif kind in (_EIGHT, _FOUR):
                yield number, kind, int.from_bytes(self.take(8 if kind == _EIGHT else 4), "little")
            else:
                raise Unreadable(f"a field has the unknown form {kind}")
        if self.position != end:
            raise Unreadable("a field is longer than what it is in")

    def varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise Unreadable("a number has more than 64 bits")

    def take(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self._stream.read(size - len(data))
            if not part:
                raise Unreadable("it ends in its middle")
            data += part
        self.position += size
        return data

    def rest(self, stop: int) -> Iterator[bytes]:
        while self.position < stop:
            yield self.take(min(CHUNK, stop - self.position))

    def text(self, stop: int) -> str:
        if stop - self.position > _MAX_TEXT:
            raise Unreadable("a name is too long")
        return self.take(stop - self.position).decode("utf-8", "replace")
