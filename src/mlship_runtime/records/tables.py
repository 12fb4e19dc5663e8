"""Tables by which one or two bytes become the number that they hold; NaN where they hold none."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]
EBCDIC, ASCII, ASCII_AS_EBCDIC = "ebcdic", "ascii", "ascii-as-ebcdic"  # how zoned numbers carry a sign
_PLUS, _MINUS = (0xA, 0xC, 0xE, 0xF), (0xB, 0xD)
_POSITIVE, _NEGATIVE = b"{ABCDEFGHI", b"}JKLMNOPQR"


class Signed(NamedTuple):
    """By byte: its digit, and 1 or -1; both NaN where it is neither."""

    digit: Array
    sign: Array


@cache
def zoned_digit(zone: int) -> Array:
    """The digit of each byte with that zone."""
    table = np.full(256, np.nan)
    table[zone << 4 : (zone << 4) + 10] = np.arange(10)
    return table


@cache
def zoned_sign(way: str, signed: bool) -> Signed:
    """The digit and the sign of a byte that carries both. A number without a sign may have a plus."""
    digit, sign = np.full(256, np.nan), np.full(256, np.nan)
    if way == EBCDIC:
        ways = [(zone << 4, 1) for zone in _PLUS] + [(zone << 4, -1) for zone in _MINUS]
        codes = [(base + number, number, factor) for base, factor in ways for number in range(10)]
    else:
        codes = [(0x30 + number, number, 1) for number in range(10)]
        if way == ASCII:
            codes += [(0x70 + number, number, -1) for number in range(10)]
        else:
            codes += [(_POSITIVE[number], number, 1) for number in range(10)]
            codes += [(_NEGATIVE[number], number, -1) for number in range(10)]
    for byte, number, factor in codes:
        if signed or factor > 0:
            digit[byte], sign[byte] = number, factor
    return Signed(digit, sign)


@cache
def zoned_pair(zone: int) -> Array:
    """Two digits at once, by the two bytes as one number, the first one high."""
    one = zoned_digit(zone)
    return _frozen((one[:, None] * 10 + one[None, :]).reshape(-1))


@cache
def packed_pair() -> Array:
    """Four digits at once."""
    one = packed_digits()
    return _frozen((one[:, None] * 100 + one[None, :]).reshape(-1))


@cache
def packed_digits() -> Array:
    """Two digits in one byte."""
    high, low = np.divmod(np.arange(256), 16)
    return _frozen(np.where((high < 10) & (low < 10), high * 10.0 + low, np.nan))


@cache
def packed_end(signed: bool) -> Signed:
    """The last byte: a digit, and the sign behind it."""
    high, low = np.divmod(np.arange(256), 16)
    plus, minus = np.isin(low, _PLUS), np.isin(low, _MINUS) & signed
    known = (high < 10) & (plus | minus)
    return Signed(
        _frozen(np.where(known, high * 1.0, np.nan)),
        _frozen(np.where(known, np.where(minus, -1.0, 1.0), np.nan)),
    )


@cache
def packed_last_pair(signed: bool) -> Signed:
    """The last two bytes: three digits, and the sign behind them."""
    first, last = packed_digits(), packed_end(signed)
    digits = (first[:, None] * 10 + last.digit[None, :]).reshape(-1)
    return Signed(_frozen(digits), _frozen(np.tile(last.sign, 256)))


def separate_sign(plus: int, minus: int) -> Array:
    """1 or -1 by the byte of a sign that stands by itself."""
    table = np.full(256, np.nan)
    table[plus], table[minus] = 1.0, -1.0
    return table


def _frozen(table: Array) -> Array:
    table.flags.writeable = False
    return table
