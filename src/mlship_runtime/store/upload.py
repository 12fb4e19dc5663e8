"""A long value on its way into a folder store, in pieces: what a writer sent before it was killed stays, and
is not sent again.

<root>/.tmp/part-<hash of the key>-<n> is the file; whoever writes it has it locked. Two who write one key at
the same time have a file each.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from mlship_runtime.errors import StoreFault
from mlship_runtime.store import disk
from mlship_runtime.store.folder import CHUNK, Folder
from mlship_runtime.store.write_back import WriteBack

PIECE = CHUNK  # bytes of each piece but the last
_WRITERS = 64  # of one key at a time
_FREED = 2.0  # seconds in which the process of a writer that was killed notices
_OPEN = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class Upload:
    """One value of `folder` that is being written. Raises StoreFault as Folder does."""

    def __init__(self, folder: Folder, key: str, others: int = 0) -> None:
        """`others` of this process write the same key: their files are not waited for."""
        self.key, self._folder, self._final = key, folder, folder.path(key)
        with folder.writing():
            folder.prepare(self._final)
            self._part, self._file = _claimed(folder.temporary, key, others)
        self._written_back = WriteBack(self._file)

    def there(self) -> Iterator[bytes]:
        """The sha256 of each piece that an earlier writer has left."""
        with self._folder.reading():
            for at in range(0, os.fstat(self._file).st_size, PIECE):
                yield hashlib.sha256(os.pread(self._file, PIECE, at)).digest()

    def put(self, at: int, data: memoryview) -> None:
        """Write one piece."""
        with self._folder.writing():
            self._written_back.more(len(data))
            while data:
                written = os.pwrite(self._file, data, at)
                data, at = data[written:], at + written

    def commit(self, size: int) -> bool:
        """Give what came its name, on the disk; False if somebody was faster. The upload is over."""
        with self._folder.writing(), contextlib.closing(self):
            if os.fstat(self._file).st_size < size:
                raise StoreFault(f"not all of {self.key} came", fix="Repeat the command")
            os.ftruncate(self._file, size)
            os.fchmod(self._file, 0o444)
            self._sync()
            published = disk.publish(self._part, self._final, self._folder.lock)
            self._part.unlink(missing_ok=True)
            return published

    def _sync(self) -> None:
        try:
            os.fsync(self._file)
            self._written_back.end()
        except OSError:
            self._lost()
            raise

    def _lost(self) -> None:
        """What is in memory is no longer what is on the disk: nobody may go on with it."""
        self._part.unlink(missing_ok=True)

    def drop(self) -> None:
        """Forget what came. The upload is over."""
        with self._folder.writing(), contextlib.closing(self):
            self._part.unlink(missing_ok=True)

    def close(self) -> None:
        """Leave what came to a later writer."""
        if self._file >= 0:
            try:
                self._written_back.end()
            except OSError:
                self._lost()
            os.close(self._file)
            self._file = -1


def _claimed(temporary: Path, key: str, others: int) -> tuple[Path, int]:
    """A part file of `key` that nobody else writes, locked."""
    name = "part-" + hashlib.sha256(key.encode()).hexdigest()[:32]
    deadline = time.monotonic() + _FREED
    number = others
    while number < _WRITERS:
        path = temporary / f"{name}-{number}"
        file = _locked(path)
        if file is not None:
            return path, file
        if number == others and time.monotonic() < deadline:
            time.sleep(0.05)
        else:
            number += 1
    raise StoreFault(f"{_WRITERS} others write {key} just now", fix="Repeat the command")


def _locked(path: Path) -> int | None:
    """The open file, and nobody else's; None if somebody has it."""
    try:
        file = os.open(path, _OPEN, 0o600)
    except PermissionError:
        if os.stat(path, follow_symlinks=False).st_uid == os.geteuid():  # not another user's
            path.unlink()  # made read-only, to be published, by a writer that was killed right then
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        found = os.fstat(file)
        named = os.stat(path, follow_symlinks=False)
        if found.st_ino != named.st_ino:  # its writer was done with it meanwhile
            raise FileNotFoundError
        if found.st_nlink > 1:  # it is a value already, which never changes
            path.unlink()
            raise FileNotFoundError
        os.fchmod(file, 0o600)
        os.utime(file)  # no sweep takes it for an old one
    except (BlockingIOError, FileNotFoundError):
        os.close(file)
        return None
    except BaseException:
        os.close(file)
        raise
    return file
