"""Fields of records to columns, a whole block at a time."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple, Optional, Union

import numpy as np

from mlship_runtime.records import tables
from mlship_runtime.records.block import Block
from mlship_runtime.records.codepages import UNDEFINED, CodePage
from mlship_runtime.records.form import RecordForm
from mlship_runtime.records.items import BINARY, DOUBLE, FLOAT, NATIVE, PACKED
from mlship_runtime.records.layout import Field
from mlship_runtime.records.tables import Array

EXACT_DIGITS = 15  # that a float64 holds without loss
_WHOLE_DIGITS = 18  # that an int64 holds


class _Piece(NamedTuple):
    offset: int
    width: int
    table: Array
    digits: int


class _Plan(NamedTuple):
    """How a number is read: pieces from the left, and where its sign is, if it has one."""

    pieces: tuple[_Piece, ...]
    sign: Optional[_Piece]


def sign_way(form: RecordForm) -> str:
    if form.page.ebcdic:
        return tables.EBCDIC
    return tables.ASCII if form.signs == "ascii" else tables.ASCII_AS_EBCDIC


def decode_floats(field: Field, block: Block, form: RecordForm) -> Array:
    """The numbers of `field`; NaN where there is none, as in a record that is too short."""
    if field.kind in (FLOAT, DOUBLE):
        found = _floating(field, block, form)
    elif field.kind in (BINARY, NATIVE) or field.digits > EXACT_DIGITS:
        whole, bad = decode_whole(field, block, form)
        found = whole.astype(np.float64)
        if bad is not None:
            found[bad] = np.nan
    else:
        found = _pieced(_plan(field, form).pieces, _plan(field, form).sign, block)
        short = block.reach(field.end)
        if short is not None:
            found[short] = np.nan
    return scaled(found, field.scale)


def scaled(numbers: Array, scale: int) -> Array:
    """Divided, not multiplied by a tenth, which no float is."""
    if scale > 0:
        return numbers / 10.0**scale
    return numbers * 10.0**-scale if scale else numbers


def decode_whole(field: Field, block: Block, form: RecordForm) -> tuple[Array, Optional[Array]]:
    """The numbers of `field` without their point: int64, objects beyond 18 digits; and which are bad, None if
    none is. Bad ones are 0."""
    if field.kind in (BINARY, NATIVE):
        found, bad = _binary(field, block, form)
    else:
        found, bad = _digits(_plan(field, form), field.digits, block)
    short = block.reach(field.end)
    if short is not None:
        bad = short if bad is None else bad | short
        found[short] = 0
    return found, bad


def decode_texts(
    field: Field, block: Block, form: RecordForm, stripped: bool = True
) -> tuple[Array, Optional[Array]]:
    """The texts of `field` as objects, without the blanks that fill them up; and which are bad (bytes that
    are no characters)."""
    codes = _characters(form.page)[block.bytes_at(field.offset, field.length)]
    bad = (codes == ord(UNDEFINED)).any(axis=1)
    short = block.reach(field.end)
    if short is not None:
        bad |= short
    texts = _joined(codes)
    if stripped:
        texts = [text.lstrip(" ").rstrip(" ") if field.right else text.rstrip(" ") for text in texts]
    found = np.empty(len(texts), object)
    found[:] = texts
    return found, bad if bad.any() else None


def blank_fields(field: Field, block: Block, form: RecordForm) -> Array:
    """Where the whole field is blanks, or bytes of zero: how records say that there is no value."""
    part = block.bytes_at(field.offset, field.length)
    return np.asarray((part == form.page.blank).all(axis=1) | (part == 0).all(axis=1))


def _joined(codes: Array) -> list[str]:
    """The texts of a matrix of code points. A numpy text would lose a last character that is NUL."""
    count, length = codes.shape
    text = codes.astype("<u4").tobytes().decode("utf-32-le")
    return [text[at : at + length] for at in range(0, count * length, length)]


def _pieced(pieces: tuple[_Piece, ...], sign: Optional[_Piece], block: Block) -> Array:
    first = pieces[0]
    index = block.index(first.offset, first.width)
    total = first.table[index]
    for piece in pieces[1:]:
        total *= 10.0**piece.digits
        index = block.index(piece.offset, piece.width)
        total += piece.table[index]
    if sign is not None:
        if (sign.offset, sign.width) != (pieces[-1].offset, pieces[-1].width):
            index = block.index(sign.offset, sign.width)
        total *= sign.table[index]
        total += 0.0  # -0 is 0
    return np.asarray(total)


def _digits(plan: _Plan, digits: int, block: Block) -> tuple[Array, Optional[Array]]:
    """All digits, exactly: in parts that a float holds, put together as whole numbers."""
    parts: list[list[_Piece]] = [[]]
    for piece in plan.pieces:
        if sum(one.digits for one in parts[-1]) + piece.digits > EXACT_DIGITS:
            parts.append([])
        parts[-1].append(piece)
    bad = np.zeros(block.count, bool)
    total: Union[Array, int] = 0
    for part in parts:
        found = _pieced(tuple(part), None, block)
        wrong = np.isnan(found)
        bad |= wrong
        found[wrong] = 0
        whole = found.astype(np.int64)
        if digits > _WHOLE_DIGITS:
            whole = whole.astype(object)
        total = whole if isinstance(total, int) else total * 10 ** sum(one.digits for one in part) + whole
    result = np.asarray(total)
    if plan.sign is not None:
        signs = plan.sign.table[block.index(plan.sign.offset, plan.sign.width)]
        bad |= np.isnan(signs)
        result = np.where(signs < 0, -result, result)
    if not bad.any():
        return result, None
    result[bad] = 0
    return result, bad


@lru_cache(maxsize=4096)
def _plan_of(field: Field, way: str, zone: int, plus: int, minus: int) -> _Plan:
    if field.kind == PACKED:
        return _packed_plan(field)
    return _zoned_plan(field, way, zone, plus, minus)


def _plan(field: Field, form: RecordForm) -> _Plan:
    page = form.page
    return _plan_of(field, sign_way(form), page.zone, page.sign_byte(True), page.sign_byte(False))


def _packed_plan(field: Field) -> _Plan:
    pieces, at = [], field.offset
    if field.length % 2:
        if field.length == 1:
            table = tables.packed_end(field.signed)
            return _Plan((_Piece(at, 1, table.digit, 1),), _Piece(at, 1, table.sign, 0))
        pieces.append(_Piece(at, 1, tables.packed_digits(), 2))
        at += 1
    while at < field.end - 2:
        pieces.append(_Piece(at, 2, tables.packed_pair(), 4))
        at += 2
    last = tables.packed_last_pair(field.signed)
    pieces.append(_Piece(at, 2, last.digit, 3))
    return _Plan(tuple(pieces), _Piece(at, 2, last.sign, 0))


def _zoned_plan(field: Field, way: str, zone: int, plus: int, minus: int) -> _Plan:
    first, last = field.offset, field.end
    if field.separate:
        place = first if field.leading else last - 1
        first, last = (first + 1, last) if field.leading else (first, last - 1)
        sign = _Piece(place, 1, tables.separate_sign(plus, minus), 0)
        return _Plan(tuple(_zoned_pieces(first, last, zone)), sign)
    table = tables.zoned_sign(way, field.signed)
    if field.leading:
        pieces = [_Piece(first, 1, table.digit, 1), *_zoned_pieces(first + 1, last, zone)]
        return _Plan(tuple(pieces), _Piece(first, 1, table.sign, 0))
    pieces = [*_zoned_pieces(first, last - 1, zone), _Piece(last - 1, 1, table.digit, 1)]
    return _Plan(tuple(pieces), _Piece(last - 1, 1, table.sign, 0))


def _zoned_pieces(first: int, last: int, zone: int) -> list[_Piece]:
    pieces, at = [], first
    if (last - first) % 2:
        pieces.append(_Piece(at, 1, tables.zoned_digit(zone), 1))
        at += 1
    while at < last:
        pieces.append(_Piece(at, 2, tables.zoned_pair(zone), 2))
        at += 2
    return pieces


def _binary(field: Field, block: Block, form: RecordForm) -> tuple[Array, Optional[Array]]:
    order = "<" if form.little(field.kind) else ">"
    found = block.numbers(field.offset, f"{order}{'i' if field.signed else 'u'}{field.length}")
    if field.length == 8 and not field.signed:
        bad = found > np.iinfo(np.int64).max
        return np.where(bad, 0, found).astype(np.int64), bad if bad.any() else None
    return found.astype(np.int64), None


def _floating(field: Field, block: Block, form: RecordForm) -> Array:
    if form.floats == "ieee":
        order = "<" if form.native == "little" else ">"
        found = block.numbers(field.offset, f"{order}f{field.length}").astype(np.float64)
        found[np.isinf(found)] = np.nan
    else:
        found = _hexadecimal(block.numbers(field.offset, f">u{field.length}").astype(np.uint64), field.length)
    short = block.reach(field.end)
    if short is not None:
        found[short] = np.nan
    return found


def _hexadecimal(bits: Array, length: int) -> Array:
    """IBM's floats: a sign, seven bits of exponent to 16, and a fraction."""
    shift = np.uint64(8 * length - 8)
    top = (bits >> shift).astype(np.int64)
    fraction = (bits & np.uint64((1 << (8 * length - 8)) - 1)).astype(np.float64)
    exponent = 4 * ((top & 0x7F) - 64) - (8 * length - 8)
    return np.asarray(np.where(top & 0x80, -1.0, 1.0) * np.ldexp(fraction, exponent.astype(np.int32)) + 0.0)


@lru_cache(maxsize=64)
def _characters(page: CodePage) -> Array:
    """The code point of each byte."""
    return np.array([ord(character) for character in page.characters], np.uint32)
