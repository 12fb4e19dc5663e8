"""Tells pickles by their content: code that runs when they are read, which no bundle brings to a target."""

from __future__ import annotations

import io
import pickletools
import zipfile
import zlib
from collections.abc import Iterator, Mapping

from mlship.errors import BuildError

_ENDINGS = (".pkl", ".pickle", ".joblib", ".pt", ".pth", ".dill", ".cloudpickle")
_CALLS = {"GLOBAL", "STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "REDUCE", "BUILD", "EXT1"}
_PROTOCOLS = tuple(bytes([0x80, number]) for number in range(2, 6))
_NPY, _NPY_HEADER = b"\x93NUMPY", 1024
_LOOKED_AT = 1 << 20  # bytes of what is compressed
_MEMBERS = 10_000


def refuse_pickles(files: Mapping[str, bytes]) -> None:
    """Raise BuildError for the first of `files` (by their paths) that is a pickle or holds one."""
    for file, data in sorted(files.items()):
        for what in find_pickles(file, data):
            raise BuildError(
                f"{file} {what}",
                cause="reading it on the target could run anything",
                fix="Keep what it holds as JSON, CSV or an array without objects",
            )


def find_pickles(name: str, data: bytes, *, cut: bool = False) -> Iterator[str]:
    """What is wrong with a file, as words that follow its name; `cut` if `data` is only its beginning."""
    if name.lower().endswith(_ENDINGS) or is_pickle(data):
        yield "is a pickle"
    elif data.startswith(_NPY) and _has_objects(data):
        yield "is an array of pickled objects"
    elif data.startswith(b"PK\x03\x04"):
        yield from ("is an archive too large to be looked into",) if cut else _in_zip(data)
    elif data[:1] in (b"\x78", b"\x1f") and is_pickle(_decompressed(data)):
        yield "is a compressed pickle"


def is_pickle(data: bytes) -> bool:
    """Whether `data` begins as pickles of protocols 2 to 5 do, or is an older one that calls code."""
    return _first_operations(data) if data.startswith(_PROTOCOLS) else _calls(data)


def _first_operations(data: bytes) -> bool:
    """Whether what follows the protocol is the beginning of a pickle; a cut one counts, too."""
    try:
        for count, _ in enumerate(pickletools.genops(data)):
            if count >= 8:
                break
    except ValueError as error:
        return "exhausted" in str(error)
    return True


def _calls(data: bytes) -> bool:
    try:
        return bool(_CALLS & {operation.name for operation, _, _ in pickletools.genops(data)})
    except (ValueError, UnicodeDecodeError):
        return False


def _has_objects(data: bytes) -> bool:
    return b"|O" in data[:_NPY_HEADER] or b"'O'" in data[:_NPY_HEADER]


def _in_zip(data: bytes) -> Iterator[str]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for info in archive.infolist()[:_MEMBERS]:
                with archive.open(info) as member:
                    head = member.read(_LOOKED_AT)
                if (
                    info.filename.lower().endswith(_ENDINGS)
                    or is_pickle(head)
                    or (head.startswith(_NPY) and _has_objects(head))
                ):
                    yield f"holds the pickle {info.filename[:100]!a}"
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error, EOFError):
        yield "is an archive that cannot be looked into"


def _decompressed(data: bytes) -> bytes:
    try:
        return zlib.decompressobj(47).decompress(data, _LOOKED_AT)  # zlib's header or gzip's
    except zlib.error:
        return b""
