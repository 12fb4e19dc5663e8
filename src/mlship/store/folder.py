"""A Store in a folder (`dir:///srv/models`): one file per key, safe for many processes at once.

<root>/<key> the values, read-only · <root>/.tmp/ what is being written · <root>/.lock for compare-and-set.
The folder is made by the first write.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from mlship.digest import CHUNK, chunks_of
from mlship.errors import RegistryError, UsageError
from mlship.store import disk
from mlship.store.keys import check_key, check_prefix, is_segment
from mlship.store.protocol import Stat
from mlship.store.trouble import told

SMALL = 1 << 20  # bytes that compare-and-set takes at most
MAX_GET = 16 << 20
_WRITABLE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW


class FolderStore:
    """The Store at a `dir://` URL with an absolute path. Not tied to a thread."""

    def __init__(self, url: str) -> None:
        scheme, _, path = url.partition("://")
        if scheme != "dir" or not path.startswith("/") or "\0" in path:
            raise UsageError(
                f"{url!r} is not the URL of a folder", fix="Write dir:///its/path or dir://./path"
            )
        self.root = Path(path)
        self._lasting: set[Path] = set()  # folders that were brought to the disk

    @property
    def url(self) -> str:
        return f"dir://{self.root}"

    def stat(self, key: str) -> Stat | None:
        """Size and version; that of a small value is its hash, so that it fits what `get` says."""
        with told(self.root, "read"), self._opened(key) as file:
            if file is None:
                return None
            size = os.fstat(file).st_size
            return Stat(size, _version(_read_all(file)) if size <= SMALL else f"large-{size}")

    def read(self, key: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Chunks of at most 1 MiB; RegistryError if there is no such key."""
        with told(self.root, "read"), self._opened(key) as file:
            if file is None:
                raise RegistryError(f"{self.url} has no {key}")
            os.lseek(file, start, os.SEEK_SET)
            left = length
            while left is None or left > 0:
                data = os.read(file, CHUNK if left is None else min(CHUNK, left))
                if not data:
                    return
                left = left if left is None else left - len(data)
                yield data

    def get(self, key: str) -> tuple[bytes, str] | None:
        """A small value and its version."""
        with told(self.root, "read"), self._opened(key) as file:
            if file is None:
                return None
            if os.fstat(file).st_size > MAX_GET:
                raise RegistryError(f"{key} in {self.url} is too large to be read at once")
            data = _read_all(file)
            return data, _version(data)

    def write_if_absent(self, key: str, chunks: Iterable[bytes], size: int | None = None) -> bool:
        """See Store; the chunks are not asked for if the key is there."""
        path = self._path(key)
        with told(self.root, "write to"):
            if path.exists():
                self.settle([key])
                return False
            self._prepare(path)
            with disk.temporary(self._tmp, chunks) as (temporary, written):
                if size is not None and written != size:
                    raise RegistryError(f"{written} bytes came for {key} where {size} were announced")
                return disk.publish(temporary, path, self._lock)

    def write_if_match(self, key: str, data: bytes, version: str | None) -> str | None:
        """See Store; the version is the hash of the value, like an ETag of S3."""
        if len(data) > SMALL:
            raise RegistryError(
                f"{len(data)} bytes are too many for {key}", cause=f"at most {SMALL} can be compared"
            )
        if version is None:
            return _version(data) if self.write_if_absent(key, [data]) else None
        path = self._path(key)
        with told(self.root, "write to"):
            self._prepare(path)
            with disk.temporary(self._tmp, [data]) as (temporary, _), disk.locked(self._lock):
                if self._current(key) != version:
                    return None
                disk.replace(temporary, path)
        return _version(data)

    def delete_if_match(self, key: str, version: str) -> bool:
        """See Store. Folders that become empty stay."""
        path = self._path(key)
        with told(self.root, "write to"):
            if not path.exists():
                self.settle([key])
                return False
            with disk.locked(self._lock):
                if self._current(key) != version:
                    return False
                disk.remove(path)
        return True

    def settle(self, keys: Collection[str]) -> None:
        """See Settles."""
        with told(self.root, "write to"):
            for folder in sorted({self._path(key).parent for key in keys}):
                if folder.is_dir():
                    self._make(folder)
                    disk.sync(folder)

    def list(self, prefix: str) -> Iterator[str]:
        """See Store; a key that comes or goes meanwhile may be in the list or not."""
        folder = check_prefix(prefix).rpartition("/")[0]
        with told(self.root, "read"):
            found = sorted(key for key in self._walk(folder) if key.startswith(prefix))
        return iter(found)

    def file_of(self, key: str) -> Path | None:
        """The file that holds the value: to read, and never to change. None if there is no such key."""
        path = self._path(key)
        return path if path.is_file() and not path.is_symlink() else None

    def adopt(self, key: str, source: Path) -> bool:
        """`write_if_absent` of a file's content, without copying where both lie on one file system.

        A file that somebody may write to is copied, as a second name would change with it.
        """
        path = self._path(key)
        with told(self.root, "write to"):
            if path.exists():
                self.settle([key])
                return False
            self._prepare(path)
            if not source.stat().st_mode & _WRITABLE and disk.link(source, path):
                return True
        return self.write_if_absent(key, chunks_of(source))

    @property
    def _tmp(self) -> Path:
        return self.root / ".tmp"

    @property
    def _lock(self) -> Path:
        return self.root / ".lock"

    def _path(self, key: str) -> Path:
        return self.root / check_key(key)

    def _prepare(self, path: Path) -> None:
        if self._tmp not in self._lasting:
            self._make(self._tmp)
            disk.sweep(self._tmp)
        self._make(path.parent)

    def _make(self, folder: Path) -> None:
        """Make sure that `folder` is there, and lasts."""
        if folder in self._lasting and folder.is_dir():
            return
        if folder == self.root:
            disk.make_folders(folder)
        else:
            self._make(folder.parent)
            disk.make_folder(folder)
        self._lasting.add(folder)

    def _current(self, key: str) -> str | None:
        found = self.stat(key)
        return found.version if found else None

    @contextlib.contextmanager
    def _opened(self, key: str) -> Iterator[int | None]:
        """A descriptor of the value's file; None if there is none."""
        try:
            file = os.open(self._path(key), _READ)
        except FileNotFoundError:
            yield None
            return
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                yield None
                return
            yield file
        finally:
            os.close(file)

    def _walk(self, folder: str) -> Iterator[str]:
        try:
            with os.scandir(self.root / folder) as entries:
                found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        except FileNotFoundError:
            return
        for name, is_folder in found:
            key = f"{folder}/{name}" if folder else name
            if not is_segment(name):
                continue
            if is_folder:
                yield from self._walk(key)
            else:
                yield key


def _version(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


def _read_all(file: int) -> bytes:
    return b"".join(iter(lambda: os.read(file, CHUNK), b""))
