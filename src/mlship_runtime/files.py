"""Files that survive a power cut (write, sync, rename, sync the folder), and locks between processes."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlship_runtime.errors import RuntimeFault, SiteError

_LOCK_PAUSE = 0.05  # seconds between two tries


def write_atomic(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Put `data` under `path`, whole or not at all; durable when this returns. Raises OSError."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
    sync_folder(path.parent)


def write_json(path: Path, value: Any, mode: int = 0o600) -> None:
    """`write_atomic` of `value` as readable JSON."""
    write_atomic(path, (json.dumps(value, sort_keys=True, indent=1) + "\n").encode("utf-8"), mode)


def read_json(path: Path) -> dict[str, Any] | None:
    """The JSON object in `path`, None if there is no such file; raises SiteError if it is no object."""
    try:
        value = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise SiteError(f"{path} cannot be read", cause=str(error)) from error
    if not isinstance(value, dict):
        raise SiteError(f"{path} cannot be read", cause="it is not a JSON object")
    return value


def read_numbered(path: Path, known: int = 1) -> dict[str, Any] | None:
    """`read_json` of what has a schema number: `known` or the one before. Raises SiteError for any other."""
    value = read_json(path)
    if value is None:
        return None
    number = value.get("schemaVersion")
    if not isinstance(number, int) or number < known - 1:
        raise SiteError(f"{path} cannot be read", cause="it has no schema number that this mlship reads")
    if number > known:
        raise SiteError(f"{path} was made by a newer mlship", fix="Upgrade mlship here")
    return value


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Create `folder` and those above it, durably."""
    if folder.is_dir():
        with contextlib.suppress(PermissionError):  # then it is not ours, and was there before us
            sync_folder(folder.parent)  # whoever made it may have been killed before its own fsync
        return
    make_folder(folder.parent)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o755)
    sync_folder(folder.parent)


def remove(path: Path) -> None:
    """Delete a file or a whole folder; nothing there is fine."""
    if path.is_dir() and not path.is_symlink():
        gone = path if path.name.endswith(".gone") else path.with_name(f".{path.name}.{os.getpid()}.gone")
        with contextlib.suppress(FileNotFoundError):
            path.rename(gone)  # never half a folder under its name
            shutil.rmtree(gone, ignore_errors=False)
    else:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


def last_lines(path: Path, count: int = 20, reach: int = 16384) -> list[str]:
    """The last `count` lines of a text file, read from its last `reach` bytes; empty if it is not there."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - reach))
            text = file.read(reach).decode("utf-8", "replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if line.strip()][-count:]


@contextlib.contextmanager
def locked(path: Path, what: str, timeout: float = 30.0) -> Iterator[None]:
    """Hold an exclusive lock on `path` (flock: it goes with the process). Raises SiteError after `timeout`
    seconds, naming `what` is locked."""
    descriptor = take_lock(path, what, timeout)
    try:
        yield
    finally:
        os.close(descriptor)


def take_lock(path: Path, what: str, timeout: float) -> int:
    """The descriptor of a locked `path`; the lock lasts until it is closed. Raises as `locked` does."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    end = time.monotonic() + timeout
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            if time.monotonic() >= end:
                os.close(descriptor)
                raise SiteError(
                    f"{what} is in use",
                    cause=f"another process holds {path}",
                    fix="Try again when it has ended",
                ) from None
        time.sleep(_LOCK_PAUSE)


@contextlib.contextmanager
def as_site_errors(what: str) -> Iterator[None]:
    """Turn an OSError into a SiteError that says what could not be done and what to do about it."""
    try:
        yield
    except RuntimeFault:
        raise
    except OSError as error:
        raise site_error(what, error) from error


def site_error(what: str, error: OSError) -> SiteError:
    """The SiteError for an OSError met while doing `what`."""
    fixes = {
        errno.ENOSPC: "Free space there and try again",
        errno.EDQUOT: "Free space there and try again",
        errno.EROFS: "Choose a folder that can be written",
        errno.EACCES: "Give this user the right to write there, or choose another folder",
    }
    place = f" ({error.filename})" if error.filename else ""
    cause = f"{error.strerror or error}{place}"
    return SiteError(what, cause=cause, fix=fixes.get(error.errno or 0, ""))
