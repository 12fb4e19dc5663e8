"""Columns to fields of records, a whole block at a time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np

from mlship_runtime.errors import BadInput
from mlship_runtime.records import tables
from mlship_runtime.records.block import Block
from mlship_runtime.records.codepages import CodePage
from mlship_runtime.records.decode import sign_way
from mlship_runtime.records.form import RecordForm
from mlship_runtime.records.items import BINARY, DOUBLE, FLOAT, NATIVE, PACKED
from mlship_runtime.records.layout import WHOLE, Field
from mlship_runtime.records.rounding import Faults
from mlship_runtime.records.tables import Array

_LONG = 18
_PLUS, _MINUS, _UNSIGNED = 0xC, 0xD, 0xF


def check_writable(field: Field) -> None:
    """Raise BadInput for a field that is not written: floats are hexadecimal there, and lose digits."""
    if field.kind in (FLOAT, DOUBLE):
        fix = "Use PIC S9(1)V9(6) COMP-3 or the like"
        raise BadInput(
            f"{field.name} is {field.kind.upper()}, which is not written", field=field.name, fix=fix
        )


def encode_whole(field: Field, whole: Array, out: Block, form: RecordForm) -> None:
    """Numbers without their point, which fit."""
    if field.kind in (BINARY, NATIVE):
        order = "<" if form.little(field.kind) else ">"
        out.numbers(field.offset, f"{order}{'i' if field.signed else 'u'}{field.length}")[:] = whole
        return
    size = np.abs(whole)
    minus = np.asarray(whole < 0)
    digits = _digit_pairs(size, field.digits)
    if field.kind == PACKED:
        _packed(field, digits, minus, out)
    else:
        _zoned(field, digits, minus, out, form)


def encode_texts(field: Field, texts: Sequence[Any], out: Block, form: RecordForm) -> Faults:
    """Texts, filled up with blanks; what is too long or not in the code page is told, and is blanks."""
    assert field.kind not in WHOLE  # noqa: S101 - settled by whoever maps
    quick = _quick_texts(field, texts, out, form)
    if quick:
        return {}
    faults: Faults = {}
    table, blank = _bytes_of(form.page), form.page.blank
    rows = out.bytes_at(field.offset, field.length)
    for at, text in enumerate(texts):
        if text is None:
            faults[at] = "is missing"
            continue
        try:
            data = bytes(table[character] for character in str(text))
        except KeyError as error:
            faults[at] = f"{error.args[0]!r} is not in {form.page.name}"
            continue
        if len(data) > field.length:
            faults[at] = f"{str(text)[:40]!r} is {len(data)} bytes long, PIC {field.picture} {field.length}"
            continue
        filled = (
            data.rjust(field.length, bytes([blank]))
            if field.right
            else data.ljust(field.length, bytes([blank]))
        )
        rows[at] = np.frombuffer(filled, np.uint8)
    return faults


def _quick_texts(field: Field, texts: Sequence[Any], out: Block, form: RecordForm) -> bool:
    """All at once, where each is a text of Latin letters that fits; tells whether they were."""
    try:
        filled = "".join(
            [text.rjust(field.length) if field.right else text.ljust(field.length) for text in texts]
        )
        data = filled.encode("latin-1")
    except (AttributeError, TypeError, UnicodeEncodeError):
        return False
    if len(data) != len(texts) * field.length:
        return False
    if any(len(text) > field.length for text in texts):
        return False
    found = _latin(form.page)[np.frombuffer(data, np.uint8)]
    if (found < 0).any():
        return False
    out.bytes_at(field.offset, field.length)[:] = found.reshape(len(texts), field.length)
    return True


@lru_cache(maxsize=64)
def _bytes_of(page: CodePage) -> dict[str, int]:
    return page.bytes_of()


@lru_cache(maxsize=64)
def _latin(page: CodePage) -> Array:
    """The byte of each character of Latin-1, -1 where there is none."""
    known = _bytes_of(page)
    return np.array([known.get(chr(code), -1) for code in range(256)], np.int16)


def _digit_pairs(size: Array, digits: int) -> Array:
    """A row for each number, two digits in each element, the last pair last; one more pair than needed."""
    count = digits // 2 + 1
    if size.dtype == object:
        text = "".join(str(one).zfill(2 * count) for one in size.tolist())
        flat = np.frombuffer(text.encode("ascii"), np.uint8).reshape(len(size), 2 * count) - 0x30
        return np.asarray(flat[:, 0::2] * np.uint8(10) + flat[:, 1::2])
    pairs = np.zeros((count, len(size)), np.uint8)
    rest = size.astype(np.int64)
    at = count
    while at > 0 and (at == count or rest.any()):
        rest, four = rest // 10_000, rest
        four = (four - rest * 10_000).astype(np.int32)
        pairs[at - 1] = four % 100
        if at > 1:
            pairs[at - 2] = four // 100
        at -= 2
    return pairs.T


@cache
def _split_pairs() -> tuple[Array, Array]:
    tens, ones = np.divmod(np.arange(100, dtype=np.uint8), np.uint8(10))
    return tens, ones


def _digits_of(pairs: Array, digits: int) -> Array:
    """A row for each number, one digit in each element."""
    tens, ones = _split_pairs()
    found = np.empty((len(pairs), 2 * pairs.shape[1]), np.uint8)
    found[:, 0::2], found[:, 1::2] = tens[pairs], ones[pairs]
    return found[:, found.shape[1] - digits :]


def _packed(field: Field, pairs: Array, minus: Array, out: Block) -> None:
    nibbles = 2 * field.length
    digits = _digits_of(pairs, min(nibbles - 1, 2 * pairs.shape[1]))
    rows = out.bytes_at(field.offset, field.length)
    sign = np.where(minus, _MINUS, _PLUS) if field.signed else _UNSIGNED
    rows[:, : field.length - 1] = (digits[:, 0:-1:2] << 4) | digits[:, 1::2]
    rows[:, field.length - 1] = (digits[:, -1] << 4) | sign


def _zoned(field: Field, pairs: Array, minus: Array, out: Block, form: RecordForm) -> None:
    digits = _digits_of(pairs, field.digits)
    first = field.offset + (field.separate and field.leading)
    rows = out.bytes_at(first, field.digits)
    rows[:] = digits | (form.page.zone << 4)
    if field.separate:
        place = field.offset if field.leading else field.end - 1
        plus = form.page.sign_byte(True)
        out.numbers(place, "u1")[:] = np.where(minus, form.page.sign_byte(False), plus)
    elif field.signed:
        at = 0 if field.leading else field.digits - 1
        rows[:, at] = _overpunched(sign_way(form))[minus.astype(np.intp), digits[:, at]]


@cache
def _overpunched(way: str) -> Array:
    """The byte of a digit with its sign: plus in the first row, minus in the second."""
    found = np.zeros((2, 10), np.uint8)
    table = tables.zoned_sign(way, True)
    for byte in range(255, -1, -1):  # the lower of two, but for the signs C and D that compilers prefer
        if not np.isnan(table.digit[byte]):
            preferred = way != tables.EBCDIC or byte >> 4 in (_PLUS, _MINUS)
            if preferred and not (way == tables.ASCII_AS_EBCDIC and 0x30 <= byte <= 0x39):
                found[int(table.sign[byte] < 0), int(table.digit[byte])] = byte
    return found
