"""How a file comes to stand under its name: whole and on the disk, or not at all.

Written beside, fsync, link or rename, fsync of the folder: after a crash at any point the name is either
absent or holds everything. All changes go through functions of `os`, which is what the kill tests count.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from mlship_runtime.errors import StoreFault

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_STALE = 24 * 3600  # seconds after which a temporary file has no living owner
_LOCK_WAIT = 30.0  # seconds; the lock is held for milliseconds
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


def make_folders(folder: Path, private: Path | None = None) -> None:
    """Make `folder` and what is missing above it, durably; `private` for this user alone, if it is made."""
    if folder.is_dir():
        with contextlib.suppress(PermissionError):  # then it is not ours, and was there before us
            sync(folder.parent)  # whoever made it may have been killed before its own fsync
        return
    make_folders(folder.parent, private)
    make_folder(folder, 0o700 if folder == private else 0o777)


def make_folder(folder: Path, mode: int = 0o777) -> None:
    """Make `folder` where its parent is there, durably, also if somebody has made it who did not come to his
    own fsync."""
    if not folder.is_dir():
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode)
    sync(folder.parent)


def sync(path: Path) -> None:
    """fsync a file or folder."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


@contextlib.contextmanager
def temporary(folder: Path, chunks: Iterable[bytes]) -> Iterator[tuple[Path, int]]:
    """A read-only file of `chunks`, on the disk, and its size; gone at the end, whatever happens."""
    path = folder / f"{os.getpid()}-{secrets.token_hex(8)}"
    file = os.open(path, _NEW, 0o600)
    try:
        try:
            size = 0
            for chunk in chunks:
                view = memoryview(chunk)
                size += len(view)
                while view:
                    view = view[os.write(file, view) :]
            os.fchmod(file, 0o444)
            os.fsync(file)
        finally:
            os.close(file)
        yield path, size
    finally:
        with contextlib.suppress(FileNotFoundError):  # renamed
            path.unlink()


def sweep(folder: Path) -> None:
    """Remove temporary files that a killed process left a day ago or more."""
    oldest = time.time() - _STALE
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime < oldest:
                path.unlink()


def publish(temporary: Path, final: Path, lock: Path) -> bool:
    """Let `final` be a further name of `temporary`; False if that name is taken. The folder must exist."""
    try:
        os.link(temporary, final)
    except FileExistsError:
        sync(final.parent)  # whoever was faster may not have come to its own fsync
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        with locked(lock):
            free = not final.exists()
            if free:
                temporary.rename(final)
        sync(final.parent)
        return free
    sync(final.parent)
    return True


def link(source: Path, final: Path) -> bool:
    """Let `final` be a further name of `source`, durably; False if that cannot be, or the name is taken."""
    sync(source)
    try:
        os.link(source, final)
    except OSError:  # another file system, no links here, somebody was faster: the copy tells them apart
        return False
    sync(final.parent)
    return True


def replace(temporary: Path, final: Path) -> None:
    """Let `final` be `temporary` from now on."""
    temporary.replace(final)
    sync(final.parent)


def remove(final: Path) -> None:
    """Take the name away, durably."""
    final.unlink()
    sync(final.parent)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Alone among all processes on this folder; the lock goes with its process. Raises StoreFault when
    somebody keeps it for more than 30 seconds."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        _wait_for(file, path)
        yield
    finally:
        os.close(file)


def _wait_for(file: int, path: Path) -> None:
    deadline, pause = time.monotonic() + _LOCK_WAIT, 0.001
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise StoreFault(
                    f"the folder {path.parent} is locked",
                    cause="another process holds it and does not go on",
                    fix=f"Look who has {path} open (lsof, fuser)",
                ) from None
            time.sleep(pause)
            pause = min(pause * 2, 0.05)
        else:
            return
