"""Unpacks one layer: only what its index lists, beneath one folder, visible only when all of it is right."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence

from mlship_runtime.bundle.hashing import Hasher
from mlship_runtime.bundle.paths import PathSet
from mlship_runtime.bundle.spec import FileEntry
from mlship_runtime.bundle.ustar import CHUNK, MemberReader, Stream, members
from mlship_runtime.errors import InvalidBundle, SiteError

PART = ".part-"  # between the final name and a random end: an extraction that has not ended
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class HashedStream:
    """A Stream that hashes what passes."""

    def __init__(self, stream: Stream) -> None:
        self._stream, self._hasher = stream, Hasher()

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(size)
        self._hasher.update(data)
        return data

    @property
    def digest(self) -> str:
        return "sha256:" + self._hasher.hexdigest()


def indexed_members(
    stream: Stream, entries: Sequence[FileEntry], digest: str
) -> Iterator[tuple[FileEntry, MemberReader]]:
    """The files of a layer, held against its index; raises InvalidBundle at the first deviation and,
    at the end, if the tar as a whole is not the content of `digest`."""
    hashed, expected = HashedStream(stream), iter(entries)
    for path, size, reader in members(hashed):
        entry = next(expected, None)
        if entry is None or entry.path != path:
            raise InvalidBundle(
                f"the layer holds {path!a} where its index has {entry.path if entry else 'nothing more'!a}"
            )
        if entry.size != size:
            raise InvalidBundle(f"{path!a} has {size} bytes where the index says {entry.size}")
        yield entry, reader
    missing = next(expected, None)
    if missing is not None:
        raise InvalidBundle(f"the layer lacks {missing.path!a}")
    if hashed.digest != digest:
        raise InvalidBundle(f"the layer is not {digest[:19]}…", cause="it was damaged or exchanged")


def hashed_chunks(entry: FileEntry, reader: MemberReader) -> Iterator[bytes]:
    """The content of one file; raises InvalidBundle at its end if it is not what the index says."""
    hasher = Hasher()
    for data in iter(lambda: reader.read(CHUNK), b""):
        hasher.update(data)
        yield data
    if hasher.hexdigest() != entry.sha256:
        raise InvalidBundle(f"{entry.path!a} is not what the index says", cause="it was damaged or exchanged")


def extract_layer(stream: Stream, into: str, entries: Sequence[FileEntry], digest: str) -> None:
    """Unpack the tar in `stream` to the folder `into`: files 0444, folders 0755, all on disk before it shows.

    Raises InvalidBundle if the tar is not exactly the layer `digest` with these `entries`, SiteError if the
    disk refuses; nothing is under the final name then. If `into` came to be meanwhile, it is left as it is.
    """
    paths = PathSet()
    for entry in entries:
        paths.add(entry.path)
    part = into + PART + secrets.token_hex(8)
    try:
        os.mkdir(part, 0o700)
        try:
            _fill(part, stream, entries, digest)
            _publish(part, into)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        raise SiteError(f"{into} cannot be written", cause=error.strerror or str(error)) from error


def _fill(part: str, stream: Stream, entries: Sequence[FileEntry], digest: str) -> None:
    root = os.open(part, _FOLDER)
    try:
        with contextlib.closing(_Folders(root)) as folders:
            for entry, reader in indexed_members(stream, entries, digest):
                folder, _, name = entry.path.rpartition("/")
                _write(folders.open(folder), name, hashed_chunks(entry, reader))
    finally:
        os.close(root)
    _settle(part)


def _write(folder: int, name: str, chunks: Iterator[bytes]) -> None:
    file = os.open(name, _NEW_FILE, 0o600, dir_fd=folder)
    try:
        for chunk in chunks:
            view = memoryview(chunk)
            while view:
                view = view[os.write(file, view) :]
        os.fchmod(file, 0o444)
    finally:
        os.close(file)


class _Folders:
    """Opens folders part by part beneath one descriptor, never through a link; the last one stays open."""

    def __init__(self, root: int) -> None:
        self._root, self._path, self._open = root, "", root

    def open(self, path: str) -> int:
        if path == self._path:
            return self._open
        current = os.dup(self._root)
        for name in path.split("/") if path else ():
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o755, dir_fd=current)
            below = os.open(name, _FOLDER, dir_fd=current)
            os.close(current)
            current = below
        self.close()
        self._path, self._open = path, current
        return current

    def close(self) -> None:
        if self._open != self._root:
            os.close(self._open)
        self._path, self._open = "", self._root


def _settle(part: str) -> None:
    """Bring every file and folder to the disk; modes of folders do not depend on the umask."""
    for _, _, files, fd in os.fwalk(part, topdown=False, follow_symlinks=False):
        for name in files:
            _sync(name, os.O_RDONLY | os.O_NOFOLLOW, fd)
        os.fchmod(fd, 0o755)
        os.fsync(fd)


def _sync(name: str, flags: int, folder: int | None = None) -> None:
    file = os.open(name, flags | os.O_CLOEXEC, dir_fd=folder)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _publish(part: str, into: str) -> None:
    try:
        os.rename(part, into)
    except OSError as error:
        # The final name only ever comes from here, so what stands there is the same layer.
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
    _sync(os.path.dirname(into) or ".", os.O_RDONLY | os.O_DIRECTORY)
