"""The wire format of protobuf, as far as ONNX files need it: read in place, written in pieces.

Source: the protobuf encoding (varints, tags, length-delimited fields).
"""

from __future__ import annotations

from collections.abc import Iterator
from mmap import mmap
from typing import Union

from mlship_runtime.errors import InvalidBundle

Data = Union[bytes, mmap]
Field = tuple[int, int, int, int, int]  # number, kind, where it begins, its payload's begin and end
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def payloads(data: Data, start: int, end: int, numbers: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Begin and end of each message (or text) in a field of one of these `numbers`."""
    for number, wire, _, first, last in fields(data, start, end):
        if number in numbers and wire == BYTES:
            yield first, last


def fields(data: Data, start: int, end: int) -> Iterator[Field]:
    """The fields of the message that lies from `start` to `end`; raises InvalidBundle."""
    at = start
    while at < end:
        begin = at
        key, at = varint(data, at, end)
        wire, first = key & 7, at
        if wire == VARINT:
            _, at = varint(data, at, end)
        elif wire == BYTES:
            size, first = varint(data, at, end)
            at = first + size
        elif wire in (FIXED64, FIXED32):
            at += 8 if wire == FIXED64 else 4
        else:
            raise not_onnx("it has a field of an unknown kind")
        if at > end:
            raise not_onnx("it ends in its middle")
        yield key >> 3, wire, begin, first, at


def numbers(data: Data, start: int, end: int) -> Iterator[int]:
    """The numbers of a packed field."""
    while start < end:
        number, start = varint(data, start, end)
        yield number


def varint(data: Data, at: int, end: int) -> tuple[int, int]:
    """A number and where it ends; raises InvalidBundle."""
    value = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
    raise not_onnx("a number in it has no end")


def message(number: int, payload: bytes) -> bytes:
    """A field that holds `payload`: a message, a text or bytes."""
    return encoded(number << 3 | BYTES) + encoded(len(payload)) + payload


def encoded(value: int) -> bytes:
    """A number as a varint."""
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)


def not_onnx(cause: str) -> InvalidBundle:
    """What a caller raises who finds that a file is none."""
    return InvalidBundle("the file is not an ONNX model", cause=cause)
