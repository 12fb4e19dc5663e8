"""The entries of a tar that others have written, as a stream: names, kinds and sizes, nothing unpacked.

Base images come from anywhere, so every length that a header claims is bounded before anything is read.
Formats: POSIX.1-2001 pax(1); GNU tar manual, "Basic Tar Format".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from mlship.errors import RegistryError
from mlship_runtime.bundle.ustar import BLOCK, CHUNK, MemberReader, Stream
from mlship_runtime.errors import InvalidBundle

FILE, HARD_LINK, LINK, FOLDER, OTHER = "file", "hard link", "link", "folder", "other"
_KINDS = {b"0": FILE, b"\0": FILE, b"7": FILE, b"1": HARD_LINK, b"2": LINK, b"5": FOLDER}
_HEADER_ONLY = (b"1", b"2", b"3", b"4", b"5", b"6")  # whatever size they claim
_MOST_ENTRIES = 2_000_000
_LONGEST_RECORD = 1 << 20  # bytes of a PAX record or a GNU long name
_LARGEST_FILE = 64 << 30
_EXTENDED, _MORE_EXTENDED = 482, 504  # where a sparse header says that another block of it follows


@dataclass(frozen=True)
class Entry:
    """`path` has no slash at either end, and no `.` in it; `target` is that of a link; `size` in bytes."""

    path: str
    kind: str
    size: int
    mode: int
    target: str = ""


@dataclass(frozen=True)
class _Said:
    """What records before a header say of it."""

    path: str | None = None
    target: str | None = None
    size: int | None = None


def entries(stream: Stream, place: str) -> Iterator[tuple[Entry, MemberReader]]:
    """Each entry and what reads it; what is left unread is skipped. RegistryError for what is no tar, and for
    more than an image can need. `place` is for errors."""
    try:
        yield from _entries(stream, place)
    except (InvalidBundle, ValueError) as fault:
        raise _unsound(place, fault) from fault


class _Content(MemberReader):
    """As its base, for whoever reads between two entries."""

    def __init__(self, stream: Stream, size: int, place: str) -> None:
        super().__init__(stream, size)
        self._place = place

    def read(self, size: int, /) -> bytes:
        try:
            return super().read(size)
        except InvalidBundle as fault:
            raise _unsound(self._place, fault) from fault


def _unsound(place: str, fault: Exception) -> RegistryError:
    return RegistryError(f"{place} is no sound tar", cause=str(fault))


def _entries(stream: Stream, place: str) -> Iterator[tuple[Entry, MemberReader]]:
    said = _Said()
    for _ in range(_MOST_ENTRIES):
        block = _block(stream)
        if block is None or not any(block):
            return
        _check_sum(block)
        kind, size = block[156:157], _number(block[124:136])
        if kind in (b"x", b"L", b"K"):
            said = _with_record(said, kind, _record(stream, size))
            continue
        if kind == b"g":
            _record(stream, size)
            continue
        entry = _entry(block, size, said)
        said = _Said()
        if kind == b"S":
            _skip_sparse_map(stream, block)
        if entry.size > _LARGEST_FILE:
            raise InvalidBundle(f"{entry.path[:200]!a} claims {entry.size} bytes")
        reader = _Content(stream, entry.size, place)
        yield entry, reader
        while reader.read(CHUNK):
            continue
        _exactly(stream, -entry.size % BLOCK)
    raise InvalidBundle(f"it has more than {_MOST_ENTRIES} entries")


def _entry(block: bytes, size: int, said: _Said) -> Entry:
    name, prefix = _text(block[:100]), ""
    if block[257:263] == b"ustar\0":
        prefix = _text(block[345:500])
    kind = _KINDS.get(block[156:157], FILE if block[156:157] == b"S" else OTHER)
    path = said.path if said.path is not None else f"{prefix}/{name}" if prefix else name
    if kind == FILE and path.endswith("/"):
        kind = FOLDER  # as tars of before POSIX have it
    target = said.target if said.target is not None else _text(block[157:257])
    claimed = said.size if said.size is not None else size
    length = 0 if block[156:157] in _HEADER_ONLY or kind == FOLDER else claimed
    return Entry(plain_path(path), kind, length, _number(block[100:108]) & 0o7777, target)


def plain_path(path: str) -> str:
    """A path of a tar from the root of the image, its `.` and `..` taken out as if / were above nothing."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def _with_record(said: _Said, kind: bytes, data: bytes) -> _Said:
    if kind == b"L":
        return replace(said, path=_text(data))
    if kind == b"K":
        return replace(said, target=_text(data))
    for key, value in _pax(data):
        if key == b"path":
            said = replace(said, path=_text(value))
        elif key == b"linkpath":
            said = replace(said, target=_text(value))
        elif key == b"size":
            said = replace(said, size=_decimal(value))
    return said


def _pax(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """`LENGTH KEY=VALUE\\n`, the length counting all of it."""
    at = 0
    while at < len(data):
        space = data.find(b" ", at, at + 20)
        length = _decimal(data[at:space]) if space > at else 0
        record = data[space + 1 : at + length]
        key, equals, value = record[:-1].partition(b"=")
        if length <= space - at + 1 or at + length > len(data) or record[-1:] != b"\n" or not equals:
            raise InvalidBundle("a PAX record is damaged")
        yield key, value
        at += length


def _record(stream: Stream, size: int) -> bytes:
    if size > _LONGEST_RECORD:
        raise InvalidBundle(f"a record before a header claims {size} bytes")
    data = _exactly(stream, size)
    _exactly(stream, -size % BLOCK)
    return data


def _skip_sparse_map(stream: Stream, block: bytes) -> None:
    more = block[_EXTENDED]
    while more:
        more = _exactly(stream, BLOCK)[_MORE_EXTENDED]


def _check_sum(block: bytes) -> None:
    found = sum(block[:148]) + 8 * ord(" ") + sum(block[156:])
    if _number(block[148:156]) != found:
        raise InvalidBundle("the check sum of a header is wrong")


def _number(field: bytes) -> int:
    """Octal digits, or binary behind a set bit, as GNU writes what is large."""
    if field[0] & 0x80:
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    text = field.split(b"\0", 1)[0].strip(b" ")
    if any(byte not in b"01234567" for byte in text):
        raise InvalidBundle("a number of a header is none")
    return int(text or b"0", 8)


def _decimal(text: bytes) -> int:
    if not text.isdigit() or len(text) > 20:
        raise InvalidBundle("a PAX record is damaged")
    return int(text)


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def _block(stream: Stream) -> bytes | None:
    """The next block, None where the tar ends without one."""
    first = stream.read(BLOCK)
    if not first:
        return None
    return first + _exactly(stream, BLOCK - len(first))


def _exactly(stream: Stream, size: int) -> bytes:
    data = bytearray()
    while size > len(data):
        part = stream.read(min(CHUNK, size - len(data)))
        if not part:
            raise InvalidBundle("it ends in its middle")
        data += part
    return bytes(data)
