"""A store in a folder: one file per key, safe for many processes at once.

<root>/<key> the values, read-only · <root>/.tmp/ what is being written · <root>/.lock for compare-and-set.
The folder is made by the first write. What is acknowledged survives a crash; what was interrupted was never
there.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from mlship_runtime.errors import StoreFault
from mlship_runtime.store import disk
from mlship_runtime.store.keys import check_key, check_prefix, is_segment
from mlship_runtime.store.trouble import told

CHUNK = 1 << 20  # bytes read at a time
SMALL = 1 << 20  # bytes that compare-and-set takes at most
MAX_GET = 16 << 20
_WRITABLE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW


class Folder:
    """The store below `root`, an absolute path, which messages call `url`, and its machine ` on …` where it
    is not theirs. Not tied to a thread.

    `private` is a folder above it (or itself) that is made for this user alone. Only StoreFault and, from the
    `chunks` given, their own errors come out.
    """

    def __init__(self, root: Path, url: str, private: Path | None = None, on: str = "") -> None:
        self.root, self.url, self._private = root, url, private
        self._called = f"the folder {root}{on}"
        self._lasting: set[Path] = set()  # folders that were brought to the disk

    @property
    def temporary(self) -> Path:
        """Where what is being written lies."""
        return self.root / ".tmp"

    @property
    def lock(self) -> Path:
        """What is locked while two are compared."""
        return self.root / ".lock"

    def stat(self, key: str) -> tuple[int, str] | None:
        """Size and version; that of a small value is its hash, so that it fits what `get` says."""
        with self.reading(), self.opened(key) as file:
            if file is None:
                return None
            size = os.fstat(file).st_size
            return size, version_of(_read_all(file)) if size <= SMALL else f"large-{size}"

    def read(self, key: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Chunks of at most 1 MiB; StoreFault if there is no such key."""
        with self.reading(), self.opened(key) as file:
            if file is None:
                raise self.has_no(key)
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
        with self.reading(), self.opened(key) as file:
            if file is None:
                return None
            if os.fstat(file).st_size > MAX_GET:
                raise StoreFault(f"{key} in {self.url} is too large to be read at once")
            data = _read_all(file)
            return data, version_of(data)

    def write_if_absent(self, key: str, chunks: Iterable[bytes], size: int | None = None) -> bool:
        """Write a value that never changes; False, and the chunks not asked for, if the key is there."""
        path = self.path(key)
        with self.writing():
            if self.is_there(key):
                return False
            self.prepare(path)
            with disk.temporary(self.temporary, chunks) as (temporary, written):
                if size is not None and written != size:
                    raise StoreFault(f"{written} bytes came for {key} where {size} were announced")
                return disk.publish(temporary, path, self.lock)

    def write_if_match(self, key: str, data: bytes, version: str | None) -> str | None:
        """The new version, or None if the key's is not `version` (None: absent). A version is the hash of
        the value, like an ETag of S3."""
        check_small(key, data)
        if version is None:
            return version_of(data) if self.write_if_absent(key, [data]) else None
        path = self.path(key)
        with self.writing():
            self.prepare(path)
            with disk.temporary(self.temporary, [data]) as (temporary, _), disk.locked(self.lock):
                if self._current(key) != version:
                    return None
                disk.replace(temporary, path)
        return version_of(data)

    def delete_if_match(self, key: str, version: str) -> bool:
        """Remove the key if its version is `version`. Folders that become empty stay."""
        path = self.path(key)
        with self.writing():
            if not path.exists():
                self.settle([key])
                return False
            with disk.locked(self.lock):
                if self._current(key) != version:
                    return False
                disk.remove(path)
        return True

    def settle(self, keys: Collection[str]) -> None:
        """From here on a crash leaves these keys as they are now, there or not."""
        with self.writing():
            for folder in sorted({self.path(key).parent for key in keys}):
                if folder.is_dir():
                    self._make(folder)
                    disk.sync(folder)

    def list(self, prefix: str) -> Iterator[str]:
        """The keys that begin with `prefix`, sorted; one that comes or goes meanwhile may be in it or not."""
        folder = check_prefix(prefix).rpartition("/")[0]
        with self.reading():
            found = sorted(key for key in self._walk(folder) if key.startswith(prefix))
        return iter(found)

    def file_of(self, key: str) -> Path | None:
        """The file that holds the value: to read, and never to change. None if there is no such key."""
        path = self.path(key)
        return path if path.is_file() and not path.is_symlink() else None

    def adopt(self, key: str, source: Path) -> bool:
        """`write_if_absent` of a file's content, without copying where both lie on one file system.

        A file that somebody may write to is copied, as a second name would change with it.
        """
        path = self.path(key)
        with self.writing():
            if self.is_there(key):
                return False
            self.prepare(path)
            if not source.stat().st_mode & _WRITABLE and disk.link(source, path):
                return True
        with source.open("rb") as file:
            return self.write_if_absent(key, iter(lambda: file.read(CHUNK), b""))

    def path(self, key: str) -> Path:
        """The file of a key, there or not."""
        return self.root / check_key(key)

    def is_there(self, key: str) -> bool:
        """Whether the key is there, and then for good."""
        if not self.path(key).exists():
            return False
        self.settle([key])
        return True

    def prepare(self, path: Path) -> None:
        """Make sure that `path` can be written beside and then named."""
        if self.temporary not in self._lasting or not self.temporary.is_dir():  # a purge takes it
            self._make(self.temporary)
            disk.sweep(self.temporary)
        self._make(path.parent)

    def has_no(self, key: str) -> StoreFault:
        return StoreFault(f"{self.url} has no {key}")

    def reading(self) -> contextlib.AbstractContextManager[None]:
        """What the operating system refuses meanwhile is a StoreFault."""
        return told("read", self._called)

    def writing(self) -> contextlib.AbstractContextManager[None]:
        """See `reading`."""
        return told("write to", self._called)

    @contextlib.contextmanager
    def opened(self, key: str) -> Iterator[int | None]:
        """A descriptor of the value's file; None if there is none."""
        try:
            file = os.open(self.path(key), _READ)
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

    def _make(self, folder: Path) -> None:
        """Make sure that `folder` is there, and lasts."""
        if folder in self._lasting and folder.is_dir():
            return
        if folder == self.root:
            disk.make_folders(folder, self._private)
        else:
            self._make(folder.parent)
            disk.make_folder(folder)
        self._lasting.add(folder)

    def _current(self, key: str) -> str | None:
        found = self.stat(key)
        return found[1] if found else None

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


def check_small(key: str, data: bytes) -> None:
    """Raises StoreFault for a value that compare-and-set does not take."""
    if len(data) > SMALL:
        raise StoreFault(
            f"{len(data)} bytes are too many for {key}", cause=f"at most {SMALL} can be compared"
        )


def version_of(data: bytes) -> str:
    """The version of a small value: its hash."""
    return hashlib.sha256(data).hexdigest()[:32]


def _read_all(file: int) -> bytes:
    return b"".join(iter(lambda: os.read(file, CHUNK), b""))
