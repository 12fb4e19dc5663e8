"""PICTURE strings: what a field holds."""

from __future__ import annotations

import re
from dataclasses import dataclass

TEXT, NUMBER = "text", "number"
_MOST_DIGITS, _LONGEST = 31, 1 << 20
_REPEATED = re.compile(r"([A-Z0-9$*+\-/,.])\((\d{1,7})\)")
_EDITED = re.compile(r"[Z*$+\-B/,.0]|CR|DB")


@dataclass(frozen=True)
class Picture:
    """`text` as written; TEXT has a `length`, NUMBER has `digits`, of which `scale` stand behind the point
    (negative: so many zeros stand before it that are not stored)."""

    text: str
    kind: str
    length: int = 0
    digits: int = 0
    scale: int = 0
    signed: bool = False


def read_picture(written: str) -> Picture:
    """Raises ValueError that says what is wrong."""
    text = written.upper()
    plain = _REPEATED.sub(lambda found: _repeat(found.group(1), int(found.group(2))), text)
    if "(" in plain or ")" in plain:
        raise ValueError(f"{written} is no picture")
    if re.fullmatch("[XA9]+", plain) and re.search("[XA]", plain):
        return Picture(text, TEXT, length=len(plain))
    found = re.fullmatch("(S?)(P*)(9*)(V?)(9*)(P*)", plain)
    if found and (found.group(3) or found.group(5)):
        return _number(text, *found.groups())
    found = re.fullmatch("(S?)(V?)(P*)()(9*)()", plain)
    if found and found.group(5):
        return _number(text, found.group(1), found.group(3), "", "V", found.group(5), "")
    if re.search("[NGU]", plain):
        raise ValueError(f"{written} is of double bytes, which is not read yet")
    if "E" in plain:
        raise ValueError(f"{written} is an external float, which is not read")
    if _EDITED.search(plain):
        raise ValueError(f"{written} is edited for print, which is no data")
    raise ValueError(f"{written} is no picture")


def _repeat(sign: str, count: int) -> str:
    if not 1 <= count <= _LONGEST:
        raise ValueError(f"({count}) is not between 1 and {_LONGEST}")
    return sign * count


def _number(text: str, sign: str, before: str, whole: str, point: str, parts: str, after: str) -> Picture:
    digits = len(whole) + len(parts)
    if digits > _MOST_DIGITS:
        raise ValueError(f"{text} has {digits} digits, more than {_MOST_DIGITS}")
    if before and (after or (whole and point)):
        raise ValueError(f"{text} is no picture: P stands at one end")
    if before:
        scale = len(before) + digits
    elif after:
        if point and parts:
            raise ValueError(f"{text} is no picture: P stands behind V and 9")
        scale = -len(after)
    else:
        scale = len(parts) if point else 0
    return Picture(text, NUMBER, digits=digits, scale=scale, signed=bool(sign))
