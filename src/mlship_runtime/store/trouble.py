"""What an operating system error means for somebody whose folder store has it."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from mlship_runtime.errors import StoreFault

_CAUSES = {
    errno.ENOSPC: (
        "its disk is full",
        "Free space there, then repeat the command; what arrived whole is kept",
    ),
    errno.EDQUOT: (
        "your quota of its disk is used up",
        "Free space there, then repeat the command; what arrived whole is kept",
    ),
    errno.EROFS: ("its file system is read-only", "Make it writable, or use another registry"),
    errno.EACCES: ("permission denied", "Get write permission on it, or use another registry"),
    errno.EPERM: ("operation not permitted", "Get write permission on it, or use another registry"),
    errno.ENOTDIR: ("a part of its path is a file", "Name a folder"),
    errno.EIO: ("its disk reports an error", "Look at the disk before using it again"),
}


@contextmanager
def told(doing: str, folder: str) -> Iterator[None]:
    """Turn an OSError into a StoreFault: `folder` as it is called, the cause, what to do. `doing` is
    `write to`, …"""
    try:
        yield
    except OSError as error:
        cause, fix = _CAUSES.get(error.errno or 0, (error.strerror or str(error), ""))
        raise StoreFault(f"cannot {doing} {folder}", cause=cause, fix=fix) from error
