"""Packs a layer: a deterministic tar, its digest and its file index in one pass."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from mlship.bundle.fault import as_bundle_error
from mlship.bundle.manifest import layer_descriptor
from mlship.errors import BuildError
from mlship_runtime.bundle.hashing import Hasher
from mlship_runtime.bundle.paths import PathSet
from mlship_runtime.bundle.spec import FileEntry
from mlship_runtime.bundle.ustar import CHUNK, END, header, padding


@dataclass(frozen=True, order=True)
class Stretch:
    """`length` bytes of a file from `offset` on; zeros where there is no file."""

    file: Path | None
    offset: int
    length: int


Pieces = tuple[Stretch, ...]
Content = bytes | Path | Pieces | Callable[[], bytes]  # the last is called when its turn comes


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """A layer that was written to `path`: digest and size (bytes) of the tar, and its files in order."""

    role: str
    title: str
    platform: str
    path: Path
    digest: str
    size: int
    entries: tuple[FileEntry, ...]

    def descriptor(self) -> dict[str, Any]:
        """What the manifest says of it."""
        return layer_descriptor(self.role, self.digest, self.size, title=self.title, platform=self.platform)

    def index(self) -> list[list[Any]]:
        """What the spec says of its files: `[path, size, sha256]`."""
        return [[entry.path, entry.size, entry.sha256] for entry in self.entries]


def write_layer(
    out: Path, role: str, files: Iterable[tuple[str, Content]], *, platform: str = "", title: str = ""
) -> Layer:
    """Write `files` (path in the bundle, content), sorted by the bytes of their paths, as a tar to `out`.

    `title` is the name of `out` unless given. The same files give the same bytes anywhere; `out` is replaced,
    read-only, and on the disk. Raises BundleError for a path that bundles do not allow or two that clash,
    BuildError if a file changes while it is read.
    """
    ordered = sorted(files, key=lambda item: item[0].encode("utf-8", "surrogatepass"))
    with as_bundle_error():
        paths = PathSet()
        for path, _ in ordered:
            paths.add(path)
        out.unlink(missing_ok=True)
        try:
            with out.open("xb") as target:
                digest, size, entries = _write(ordered, target)
                target.flush()
                os.fchmod(target.fileno(), 0o444)
                os.fsync(target.fileno())
        except BaseException:
            out.unlink(missing_ok=True)
            raise
    return Layer(
        role=role,
        title=title or out.name,
        platform=platform,
        path=out,
        digest=digest,
        size=size,
        entries=entries,
    )


def _write(files: list[tuple[str, Content]], target: BinaryIO) -> tuple[str, int, tuple[FileEntry, ...]]:
    whole, size, entries = Hasher(), 0, []

    def put(data: bytes) -> None:
        nonlocal size
        whole.update(data)
        target.write(data)
        size += len(data)

    for path, content in files:
        alone, length = Hasher(), _size(content := _loaded(content))
        put(header(path, length))
        for chunk in _chunks(path, content, length):
            alone.update(chunk)
            put(chunk)
        put(padding(length))
        entries.append(FileEntry(path, length, alone.hexdigest()))
    put(END)
    return "sha256:" + whole.hexdigest(), size, tuple(entries)


def _loaded(content: Content) -> bytes | Path | Pieces:
    return content() if callable(content) else content


def _size(content: bytes | Path | Pieces) -> int:
    if isinstance(content, tuple):
        return sum(stretch.length for stretch in content)
    return content.stat().st_size if isinstance(content, Path) else len(content)


def _chunks(path: str, content: bytes | Path | Pieces, length: int) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
    elif isinstance(content, tuple):
        for stretch in content:
            yield from _stretched(path, stretch)
    else:
        yield from _whole_file(path, content, length)


def _stretched(path: str, stretch: Stretch) -> Iterator[bytes]:
    if stretch.file is None:
        yield bytes(stretch.length)
        return
    left = stretch.length
    with stretch.file.open("rb", buffering=0) as file:
        file.seek(stretch.offset)
        while left and (chunk := file.read(min(CHUNK, left))):
            left -= len(chunk)
            yield chunk
    if left:
        raise _changed(path, stretch.file)


def _whole_file(path: str, content: Path, length: int) -> Iterator[bytes]:
    seen = 0
    with content.open("rb") as file:
        while chunk := file.read(CHUNK):
            seen += len(chunk)
            if seen > length:
                break
            yield chunk
    if seen != length:
        raise _changed(path, content)


def _changed(path: str, file: Path) -> BuildError:
    return BuildError(f"{file} changed while it was packed as {path}", fix="Build again")
