"""Packs a layer: a deterministic tar, its digest and its file index in one pass."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from mlship.bundle.fault import as_bundle_error
from mlship.bundle.manifest import layer_descriptor
from mlship.errors import BuildError
from mlship_runtime.bundle.paths import PathSet
from mlship_runtime.bundle.spec import FileEntry
from mlship_runtime.bundle.ustar import CHUNK, END, header, padding

Content = bytes | Path | Callable[[], bytes]  # the last is called when its turn comes


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
    hasher, size, entries = hashlib.sha256(), 0, []

    def put(data: bytes) -> None:
        nonlocal size
        hasher.update(data)
        target.write(data)
        size += len(data)

    for path, content in files:
        file_hasher, length = hashlib.sha256(), _size(content := _loaded(content))
        put(header(path, length))
        for chunk in _chunks(path, content, length):
            file_hasher.update(chunk)
            put(chunk)
        put(padding(length))
        entries.append(FileEntry(path, length, file_hasher.hexdigest()))
    put(END)
    return "sha256:" + hasher.hexdigest(), size, tuple(entries)


def _loaded(content: Content) -> bytes | Path:
    return content if isinstance(content, bytes | Path) else content()


def _size(content: bytes | Path) -> int:
    return content.stat().st_size if isinstance(content, Path) else len(content)


def _chunks(path: str, content: bytes | Path, length: int) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    seen = 0
    with content.open("rb") as file:
        while chunk := file.read(CHUNK):
            seen += len(chunk)
            if seen > length:
                break
            yield chunk
    if seen != length:
        raise BuildError(f"{content} changed while it was packed as {path}", fix="Build again")
