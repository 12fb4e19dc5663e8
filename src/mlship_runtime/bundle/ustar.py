"""Tar as bundles use it: ustar headers of regular files with constant owner, mode and time, and nothing else.

The reader takes exactly what the writer writes, byte for byte: links, devices, PAX and GNU records, sparse
files and unusual numbers have no way in. Format: POSIX.1-1988 ustar (pax(1), "ustar Interchange Format").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from mlship_runtime.bundle.paths import check_path
from mlship_runtime.errors import InvalidBundle

BLOCK = 512
END = bytes(2 * BLOCK)
MAX_FILE = 8**11 - 1  # bytes: eleven octal digits
CHUNK = 1 << 20
_KINDS = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a character device",
    b"4": "a block device",
    b"5": "a folder",
    b"6": "a pipe",
    b"7": "a contiguous file",
    b"x": "a PAX record",
    b"g": "a PAX record",
    b"L": "a GNU long name",
    b"K": "a GNU long link",
    b"S": "a sparse file",
}


class Stream(Protocol):
    """Bytes in order: `read` returns at most `size` of them, none only at the end."""

    def read(self, size: int, /) -> bytes: ...


class ChunkStream:
    """A Stream over an iterator of chunks."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._chunk, self._at = b"", 0

    def read(self, size: int, /) -> bytes:
        while self._at == len(self._chunk):
            chunk = next(self._chunks, None)
            if chunk is None:
                return b""
            self._chunk, self._at = chunk, 0
        end = min(self._at + size, len(self._chunk))
        taken = self._chunk if end - self._at == len(self._chunk) else self._chunk[self._at : end]
        self._at = end
        return taken


class MemberReader:
    """The content of one file of a tar; `read` raises InvalidBundle if the tar ends before it."""

    def __init__(self, stream: Stream, size: int) -> None:
        self._stream, self._left = stream, size

    def read(self, size: int, /) -> bytes:
        if not self._left:
            return b""
        data = self._stream.read(min(size, self._left))
        if not data:
            raise _cut()
        self._left -= len(data)
        return data


def header(path: str, size: int) -> bytes:
    """The 512 bytes before a file; raises InvalidBundle for a path or size that does not fit."""
    if not 0 <= size <= MAX_FILE:
        raise InvalidBundle(f"{path[:250]!a} has {size} bytes", cause="a file of a layer has less than 8 GiB")
    prefix, name = _split(check_path(path).encode("utf-8"))
    block = b"".join(
        (
            name.ljust(100, b"\0"),
            b"0000644\0000000000\0000000000\0",  # mode, owner, group
            b"%011o\00000000000000\0" % size,  # size, time
            b" " * 8,  # the checksum counts as spaces
            b"0" + bytes(100) + b"ustar\00000",  # regular file, no link target
            bytes(64) + b"0000000\0000000000\0",  # no names of owner and group, no device
            prefix.ljust(155, b"\0") + bytes(12),
        )
    )
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def padding(size: int) -> bytes:
    """The zeros that fill the last block of a file of `size` bytes."""
    return bytes(-size % BLOCK)


def tar_size(sizes: Iterable[int]) -> int:
    """The bytes of a whole tar with files of these sizes."""
    return len(END) + sum(BLOCK + size + len(padding(size)) for size in sizes)


def members(stream: Stream) -> Iterator[tuple[str, int, MemberReader]]:
    """Path, size and reader of each file in order; what is left unread is skipped. Raises InvalidBundle
    for anything that `header` would not have written, for a tar cut short, and for bytes after its end."""
    while True:
        block = _exactly(stream, BLOCK)
        if not any(block):
            if any(_exactly(stream, BLOCK)):
                raise InvalidBundle("the tar has one empty block in its middle")
            if stream.read(1):
                raise InvalidBundle("the tar has bytes after its end")
            return
        path, size = _parse(block)
        reader = MemberReader(stream, size)
        yield path, size, reader
        while reader.read(CHUNK):
            continue
        if any(_exactly(stream, -size % BLOCK)):
            raise InvalidBundle(f"the padding after {path!a} is not zero")


def _split(path: bytes) -> tuple[bytes, bytes]:
    """Prefix and name; a path of more than 100 bytes is divided at its first fitting slash."""
    if len(path) <= 100:
        return b"", path
    slash = path.find(b"/", len(path) - 101)
    if slash < 1 or slash > 155:
        raise InvalidBundle(
            f"the path {path.decode('utf-8')!a} does not fit a tar header",
            cause="its last parts have more than 100 bytes together",
            fix="Shorten a name",
        )
    return path[:slash], path[slash + 1 :]


def _parse(block: bytes) -> tuple[str, int]:
    kind = block[156:157]
    if kind in _KINDS:
        raise InvalidBundle(f"the tar holds {_KINDS[kind]}", cause="a layer has regular files only")
    name, prefix = block[:100].rstrip(b"\0"), block[345:500].rstrip(b"\0")
    try:
        path = (prefix + b"/" + name if prefix else name).decode("utf-8")
        size = int(block[124:135], 8)
    except ValueError:
        path, size = "", -1
    if not path or size < 0 or header(path, size) != block:
        raise InvalidBundle(
            "a tar header is not one that mlship writes",
            cause="the layer was damaged, or packed by another tool",
        )
    return path, size


def _exactly(stream: Stream, size: int) -> bytes:
    parts = []
    while size:
        part = stream.read(size)
        if not part:
            raise _cut()
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _cut() -> InvalidBundle:
    return InvalidBundle("the tar ends in its middle", cause="it was cut short")
