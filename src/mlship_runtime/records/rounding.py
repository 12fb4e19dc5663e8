"""Numbers to whole ones at the scale of a picture: half to even, of the exact value that a float has."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal, DecimalException, InvalidOperation
from fractions import Fraction
from typing import Any

import numpy as np

from mlship_runtime.records.exact import with_point
from mlship_runtime.records.layout import Field
from mlship_runtime.records.tables import Array

Faults = dict[int, str]  # why, by the index of the record
_SAFE = float(1 << 62)
_LONG = 18  # digits that an int64 holds
_EXACT_POWER = 22  # 10 to this is the last power that a float64 holds exactly
_HALVES = float((1 << 27) + 1)
_PRECISE = Context(prec=80, rounding=ROUND_HALF_EVEN)


def whole_of(field: Field, values: Array) -> tuple[Array, Faults]:
    """`values` (floats, whole numbers or truth values) times 10 to the scale of `field`, as int64 or, beyond
    18 digits, objects. Those of `Faults` do not fit, and are 0."""
    if values.dtype.kind == "f":
        return _floats(field, values.astype(np.float64))
    return _ranged(field, _integers(field, values), {})


def whole_of_texts(field: Field, texts: Sequence[Any]) -> tuple[Array, Faults]:
    """The same of numbers as they are written, or as Decimal."""
    found, faults = np.zeros(len(texts), object), {}
    for at, text in enumerate(texts):
        try:
            number = _decimal(text)
            scaled = number.scaleb(field.scale, _PRECISE).to_integral_value(ROUND_HALF_EVEN, _PRECISE)
        except (DecimalException, ValueError):
            faults[at] = "is missing" if text in (None, "") else f"{str(text)[:40]!r} is not a number"
            continue
        found[at] = int(scaled)
    return _ranged(field, found, faults)


def _decimal(text: Any) -> Decimal:
    number = text if isinstance(text, Decimal) else Decimal(str(text).strip() if text is not None else "")
    if not number.is_finite() or (isinstance(text, str) and "_" in text):
        raise InvalidOperation
    if number and abs(number.adjusted()) > 40:
        raise InvalidOperation
    return number


def capacity(field: Field) -> int:
    """One more than the largest number, without its point, that the field holds."""
    if field.kind == "comp-5":
        bits = 8 * field.length
        return 1 << (bits - 1 if field.signed else min(bits, 63))
    return int(10**field.digits)


def fitting(field: Field, whole: Array) -> tuple[Array, Faults]:
    """Numbers that are at the scale of `field` already."""
    return _ranged(field, whole, {})


def _integers(field: Field, values: Array) -> Array:
    whole = values.astype(object if values.dtype.kind in "uO" else np.int64)
    if not field.scale:
        return np.asarray(whole)
    if field.scale < 0:
        return np.array([round(Fraction(int(one), 10**-field.scale)) for one in whole.tolist()], object)
    factor = 10**field.scale
    most = int(np.abs(whole).max()) if len(whole) else 0
    return np.asarray(whole * factor if 0 <= most * factor < _SAFE else whole.astype(object) * factor)


def _ranged(field: Field, whole: Array, faults: Faults) -> tuple[Array, Faults]:
    limit = capacity(field)
    low = (
        -limit - 1 if field.kind == "comp-5" else -limit
    )  # the least of two's complement has no positive twin
    wrong = (whole >= limit) | (whole <= low)
    if not field.signed:
        wrong |= whole < 0
    if wrong.any():
        whole = whole.copy()
        for at in np.flatnonzero(wrong).tolist():
            faults.setdefault(at, _misfit(field, int(whole[at])))
        whole[wrong] = 0
    if whole.dtype == object and field.digits <= _LONG:
        whole = whole.astype(np.int64)
    return whole, faults


def _floats(field: Field, values: Array) -> tuple[Array, Faults]:
    faults: Faults = {}
    wrong = ~np.isfinite(values)
    if wrong.any():
        for at in np.flatnonzero(wrong).tolist():
            faults[at] = "is not a number (NaN)" if np.isnan(values[at]) else "is infinite"
        values = np.where(wrong, 0.0, values)
    rounded = _rounded(values, field.scale)
    if field.digits > _LONG or bool((np.abs(rounded) >= _SAFE).any()):
        whole = np.array([_exactly(one, field.scale) for one in values.tolist()], object)
        return _ranged(field, whole, faults)
    return _ranged(field, rounded.astype(np.int64), faults)


def _exactly(value: float, scale: int) -> int:
    return round(Fraction(value) * Fraction(10) ** scale)


def _rounded(values: Array, scale: int) -> Array:
    """A product of floats is rounded itself, but never across a half: only where it is a half, what was
    rounded away decides."""
    if not scale:
        return np.asarray(np.rint(values))
    if not 0 < scale <= _EXACT_POWER:
        return np.array([float(_exactly(one, scale)) for one in values.tolist()])
    factor = 10.0**scale
    with np.errstate(over="ignore", invalid="ignore"):
        product = values * factor
        rounded = np.rint(product)
        halves = np.flatnonzero(np.abs(product - np.trunc(product)) == 0.5)
    if len(halves):
        rest = _rest(values[halves], factor, product[halves])
        away = rest != 0
        rounded[halves[away]] = np.where(
            rest[away] > 0, np.ceil(product[halves[away]]), np.floor(product[halves[away]])
        )
    return np.asarray(rounded)


def _rest(values: Array, factor: float, product: Array) -> Array:
    """`values` * `factor` - `product`, exactly (Dekker, 1971)."""
    high = values * _HALVES
    high = high - (high - values)
    low = values - high
    factor_high = factor * _HALVES
    factor_high = factor_high - (factor_high - factor)
    factor_low = factor - factor_high
    return np.asarray(
        ((high * factor_high - product) + high * factor_low + low * factor_high) + low * factor_low
    )


def _misfit(field: Field, whole: int) -> str:
    number = f"{with_point(whole, field.scale):f}"
    if whole < 0 and not field.signed:
        return f"{number} is negative, and PIC {field.picture} has no sign"
    return f"{number} does not fit PIC {field.picture}"
