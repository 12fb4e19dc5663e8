"""Content of data sets as it travels: as text, as bytes, as records with their length before them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from mlship_batch.emulator.charset import DEFAULT, from_ebcdic, to_ebcdic
from mlship_batch.emulator.formats import BLANK, ZERO, Format
from mlship_batch.emulator.web.exchange import Problem, Request
from mlship_runtime.errors import BadInput
from mlship_runtime.records.codepages import code_page

_PREFIX = 4
_CHUNK = 1 << 20


def kind_of(request: Request) -> tuple[str, str]:
    """binary, record or text, and the code page at rest. Raises Problem."""
    value = request.header("x-ibm-data-type", "text")
    kind, _, options = value.partition(";")
    if kind not in ("binary", "record", "text"):
        raise Problem(400, 1, 4, 6, f"X-IBM-Data-Type {value} is none")
    page = options.partition("=")[2] or DEFAULT
    try:
        code_page(page)
    except BadInput as unknown:
        raise Problem(400, 1, 4, 6, f"fileEncoding {page} is not known") from unknown
    return kind, page


def records_of(request: Request, shape: Format) -> tuple[Iterator[bytes], bytes]:
    """The records that a body brings, and what fills them up. Raises Problem."""
    kind, page = kind_of(request)
    if kind == "binary":
        return shape.of_bytes(request.chunks()), ZERO
    if kind == "record":
        return _prefixed(request.chunks()), ZERO
    return (to_ebcdic(line, page) for line in _lines(request.chunks())), BLANK


def sent(records: Iterable[bytes], kind: str, page: str) -> Iterator[bytes]:
    """Records as the body of an answer."""
    for record in records:
        if kind == "text":
            yield from_ebcdic(record, page).rstrip().encode("utf-8") + b"\n"
        elif kind == "record":
            yield len(record).to_bytes(_PREFIX, "big") + record
        else:
            yield record


def etag_of(path: Path) -> str:
    """Changes with the bytes at rest."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()[:32].upper()


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (_text(line) for line in lines)
    if rest:
        yield _text(rest)


def _text(line: bytes) -> str:
    return line.removesuffix(b"\r").decode("utf-8", "replace")


def _prefixed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        rest += chunk
        at = 0
        while len(rest) - at >= _PREFIX:
            end = at + _PREFIX + int.from_bytes(rest[at : at + _PREFIX], "big")
            if end > len(rest):
                break
            yield rest[at + _PREFIX : end]
            at = end
        rest = rest[at:]
    if rest:
        raise Problem(500, 6, 8, 520, "The last record ends within its length")
