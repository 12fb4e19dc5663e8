"""An output that grows beside its final name: appended to, made durable, cut back to what is known to be
good, and put under its name in the end."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import Callable, Optional

from mlship_runtime.errors import SiteError
from mlship_runtime.files import site_error, sync_folder, take_lock

_BLOCK = 1 << 20
SUFFIX = ".mlship-part"
Converter = Callable[[Path, Path], None]


class Damaged(SiteError):
    """What lies there is not what a run before this one has written."""


class PartFile:
    """Named as the final file and `SUFFIX`, locked while it is open. `size` and `digest` (sha256) are of what
    was written."""

    def __init__(self, path: str) -> None:
        self.final = Path(path)
        self.part = self.final.with_name(self.final.name + SUFFIX)
        try:
            self._file = take_lock(self.part, path, timeout=0)
        except OSError as error:
            raise site_error(f"{path} cannot be written", error) from error
        self.size = 0
        self._settled = False
        self._hash = hashlib.sha256()

    def start(self, size: int, digest: str) -> None:
        """Go on after the first `size` bytes, which must have the sha256 `digest`; what follows is cut off.
        Raises Damaged."""
        self.size, self._hash = 0, hashlib.sha256()
        os.lseek(self._file, 0, os.SEEK_SET)
        while self.size < size:
            data = os.read(self._file, min(_BLOCK, size - self.size))
            if not data:
                break
            self._hash.update(data)
            self.size += len(data)
        if size and self.digest() != digest:
            raise Damaged(
                f"{self.part} is not what was written there",
                cause=f"of {size} bytes {self.size} are there" if self.size < size else "it was changed",
                fix="Begin anew with --fresh",
            )
        os.ftruncate(self._file, size)
        os.lseek(self._file, size, os.SEEK_SET)
        sync_folder(self.part.parent)  # its name is to be as durable as what is written to it

    def write(self, data: bytes) -> None:
        """Append; raises SiteError, e.g. for a full disk."""
        _write(self._file, data, str(self.part))
        self._hash.update(data)
        self.size += len(data)

    def sync(self) -> None:
        try:
            os.fsync(self._file)
        except OSError as error:
            raise site_error(f"{self.part} cannot be written", error) from error

    def digest(self) -> str:
        return self._hash.hexdigest()

    def settle(self, size: int, digest: str, convert: Optional[Converter] = None) -> None:
        """Put it durably under its final name, replacing what is there; `convert` writes the final file from
        this one. If an earlier run has come so far, nothing is left to do. Raises Damaged, SiteError."""
        try:
            if size and not os.fstat(self._file).st_size:
                if not self.final.exists() or (not convert and digest_of_file(self.final) != digest):
                    raise Damaged(f"{self.part} is gone", fix="Begin anew with --fresh")
            else:
                self.start(size, digest)
                os.fchmod(self._file, 0o666 & ~_umask())  # private until now
                self._put_in_place(convert)
            self.part.unlink(missing_ok=True)
            sync_folder(self.final.parent)
            self._settled = True
        except OSError as error:
            raise site_error(f"{self.final} cannot be put in place", error) from error

    def final_digest(self) -> str:
        return digest_of_file(self.final)

    def close(self) -> None:
        """A file in which nothing was written is taken away."""
        if not self._settled and not os.fstat(self._file).st_size:
            self.part.unlink(missing_ok=True)
        os.close(self._file)

    def _put_in_place(self, convert: Optional[Converter]) -> None:
        if convert is None:
            os.replace(self.part, self.final)
            return
        whole = self.part.with_name(self.part.name + ".whole")
        convert(self.part, whole)
        os.replace(whole, self.final)


class StreamOut:
    """Standard output in the place of a file: nothing can be cut back."""

    def __init__(self, descriptor: int) -> None:
        self._file = descriptor
        self.size = 0
        self._hash = hashlib.sha256()

    def start(self, size: int, digest: str) -> None:
        """Nothing: a stream begins at its beginning."""

    def write(self, data: bytes) -> None:
        _write(self._file, data, "stdout")
        self._hash.update(data)
        self.size += len(data)

    def sync(self) -> None:
        """Nothing."""

    def digest(self) -> str:
        return self._hash.hexdigest()

    def settle(self, size: int, digest: str) -> None:
        """Nothing: what was written has gone."""

    def final_digest(self) -> str:
        return self.digest()

    def close(self) -> None:
        """Nothing: it belongs to the process."""


def _umask() -> int:
    now = os.umask(0o077)
    os.umask(now)
    return now


def take_stdout() -> int:
    """The descriptor of standard output, for answers alone: what a bundle's code prints goes to stderr."""
    sys.stdout.flush()
    own = os.dup(1)
    os.dup2(2, 1)
    return own


def digest_of_file(path: Path) -> str:
    """sha256 of a file; raises OSError."""
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(_BLOCK):
            hasher.update(data)
    return hasher.hexdigest()


def _write(descriptor: int, data: bytes, name: str) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BrokenPipeError:
            raise SiteError(f"{name} was closed by its reader") from None
        except OSError as error:
            raise site_error(f"{name} cannot be written", error) from error
