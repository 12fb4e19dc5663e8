"""Reads a wheel as the files that it would install into site-packages, without installing anything.

Format: binary distribution format (PEP 427). purelib and platlib are one; scripts, headers and data of
`.data` are dropped, for nothing of them is importable.
"""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from mlship.errors import BuildError
from mlship_runtime.bundle.paths import PathSet
from mlship_runtime.errors import InvalidBundle

_LIBRARIES = ("purelib", "platlib")
_MAX_BYTES = 2 << 30  # of one wheel, unpacked
_MAX_RATIO = 200  # unpacked to packed
_ENCRYPTED = 0x1
_BROKEN = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    EOFError,
    ValueError,
    NotImplementedError,
    OSError,
)
_OPTIONAL = frozenset(("coloredlogs.pth",))  # of a package that older onnxruntimes need; it colours logs


def wheel_files(path: Path, name: str) -> Iterator[tuple[str, bytes]]:
    """Path below site-packages and content of each file of the wheel at `path`, sorted by path bytes.

    `name` is the wheel's file name, for messages. Raises BuildError for what must not be in a bundle: links,
    encrypted entries, unusual names, and `.pth` files (they would have to be executed at start).
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = _entries(archive, name, path.stat().st_size)
            for place in sorted(entries, key=lambda text: text.encode("utf-8")):
                content = archive.read(entries[place])
                if len(content) != entries[place].file_size:
                    raise _unreadable(name, f"{place!a} has not the size that it says")
                yield place, content
    except _BROKEN as error:
        raise _unreadable(name, str(error)) from error


def _unreadable(name: str, cause: str) -> BuildError:
    return BuildError(f"{name} cannot be read", cause=cause, fix="Remove it from the cache")


def _entries(archive: zipfile.ZipFile, wheel: str, packed: int) -> dict[str, zipfile.ZipInfo]:
    paths, found, total = PathSet(), dict[str, zipfile.ZipInfo](), 0
    for entry in archive.infolist():
        place = _place(entry.filename)
        if place is None or place in _OPTIONAL or entry.is_dir():
            continue
        if why := _objection(entry, place):
            raise BuildError(f"{wheel} cannot be packed: {place!a} {why}", fix="Use another version of it")
        try:
            paths.add(place)
        except InvalidBundle as error:
            raise BuildError(f"{wheel} cannot be packed", cause=f"{error.what} {error.cause}") from error
        total += entry.file_size
        if total > _MAX_BYTES:
            raise BuildError(
                f"{wheel} cannot be packed", cause=f"it unpacks to more than {_MAX_BYTES >> 30} GiB"
            )
        if total > _MAX_RATIO * packed:
            raise BuildError(
                f"{wheel} cannot be packed", cause=f"it unpacks to more than {_MAX_RATIO} times its size"
            )
        found[place] = entry
    return found


def _place(filename: str) -> str | None:
    """Where the file would lie in site-packages; None if it would not."""
    first, _, rest = filename.partition("/")
    if not first.endswith(".data") or not rest:
        return filename
    kind, _, place = rest.partition("/")
    return place if kind in _LIBRARIES else None


def _objection(entry: zipfile.ZipInfo, place: str) -> str:
    mode = entry.external_attr >> 16
    if entry.flag_bits & _ENCRYPTED:
        return "is encrypted"
    if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        return "is not a regular file"
    if place.endswith(".pth") and "/" not in place:
        return "is code that runs at every start of Python"
    return ""
