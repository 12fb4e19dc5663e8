"""Whole numbers with a point in them, exactly: the arithmetic of Decimal keeps 28 digits. Stdlib only."""

from __future__ import annotations

from decimal import Decimal


def with_point(whole: int, scale: int) -> Decimal:
    """`whole`, of which `scale` digits stand behind the point."""
    if scale <= 0:
        return Decimal(whole * 10**-scale)
    return Decimal((int(whole < 0), tuple(map(int, str(abs(whole)))), -scale))


def without_point(number: Decimal) -> tuple[int, int]:
    """The digits of a finite number as a whole one, and how many of them stand behind the point."""
    sign, digits, exponent = number.as_tuple()
    if not isinstance(exponent, int):
        raise ValueError(f"{number} is not finite")
    whole = int("".join(map(str, digits)) or "0") * (-1 if sign else 1)
    return (whole * 10**exponent, 0) if exponent > 0 else (whole, -exponent)
