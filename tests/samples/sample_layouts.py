"""Copybooks made by chance, with values that their fields can hold."""

from __future__ import annotations

import random
from typing import Any, NamedTuple

from mlship_runtime.records.exact import with_point
from mlship_runtime.records.layout import WHOLE, Field

CODE_PAGES = ("cp037", "cp1047", "cp273", "cp500", "cp1140")
LETTERS = "ABCXYZabcxyz0123456789 .,-+/"
_SIGNS = ("", "SIGN LEADING", "SIGN TRAILING", "SIGN IS LEADING SEPARATE CHARACTER", "TRAILING SEPARATE")
_USAGES = ("", "", "COMP-3", "COMP-3", "COMP", "BINARY", "PACKED-DECIMAL", "COMP-5")


class Made(NamedTuple):
    """A copybook in reference format and the name of its record."""

    text: str
    record: str = "REC"


def made_layout(chance: random.Random, *, digits: int = 18, tables: bool = True, odo: bool = False) -> Made:
    """`digits` is the most of a number; `tables` allows OCCURS, redefinitions and groups, `odo` ends with a
    table that varies."""
    lines = ["01  REC."]
    for number in range(1, chance.randint(2, 10)):
        kind = chance.random()
        if tables and kind < 0.12:
            lines += [f"    05  G{number} OCCURS {chance.randint(1, 4)} TIMES."]
            lines += [
                f"        10  F{number}-{at} {_picture(chance, digits)}."
                for at in range(chance.randint(1, 3))
            ]
        elif tables and kind < 0.2:
            lines += [f"    05  F{number} PIC X(8).", f"    05  R{number} REDEFINES F{number}."]
            lines += [f"        10  R{number}-A PIC 9(4).", "        10  FILLER PIC X(4)."]
        elif tables and kind < 0.27:
            lines.append(f"    05  FILLER PIC X({chance.randint(1, 5)}).")
        elif tables and kind < 0.35:
            lines.append(f"    05  F{number} {_picture(chance, digits)} OCCURS {chance.randint(1, 5)}.")
        else:
            lines.append(f"    05  F{number} {_picture(chance, digits)}.")
    lines.append(f"    05  LAST-BUT-ONE {_picture(chance, digits)}.")
    if odo:
        lines += ["    05  CNT PIC 9(2) COMP-3.", "    05  T OCCURS 0 TO 5 TIMES DEPENDING ON CNT."]
        lines += [
            f"        10  T-A {_picture(chance, digits)}.",
            f"        10  T-B {_picture(chance, digits)}.",
        ]
        lines += ["    05  LAST-ONE PIC X(3)."]
    return Made("".join(f"       {line}\n" for line in _cut(lines)))


def made_value(chance: random.Random, field: Field) -> Any:
    """A value that `field` can hold, as CSV writes it and as it reads back."""
    if field.kind not in WHOLE:
        length = chance.choice((0, 1, field.length, chance.randint(0, field.length)))
        return "".join(chance.choice(LETTERS) for _ in range(length)).rstrip(" ")
    largest = 10**field.digits - 1
    whole = chance.choice(
        (0, 1, largest, chance.randint(0, largest), 10 ** chance.randint(0, field.digits - 1))
    )
    whole = -whole if field.signed and chance.random() < 0.5 else whole
    return with_point(whole, field.scale)


def _picture(chance: random.Random, digits: int) -> str:
    if chance.random() < 0.25:
        return f"PIC {chance.choice(('X', 'X', 'A'))}({chance.randint(1, 12)})"
    count = chance.choice((1, 2, 3, 4, 5, 7, 9, 10, 15, 16, digits))
    parts = chance.choice((0, 0, 2, chance.randint(0, count)))
    parts = min(parts, count)
    whole, sign = count - parts, chance.choice(("S", "S", ""))
    picture = sign + (f"9({whole})" if whole else "") + (f"V9({parts})" if parts else "")
    usage = chance.choice(_USAGES)
    if usage in ("COMP", "BINARY", "COMP-5") and count > 18:
        usage = "COMP-3"
    if not usage and sign and chance.random() < 0.6:
        return f"PIC {picture} {chance.choice(_SIGNS)}".rstrip()
    return f"PIC {picture} {usage}".rstrip()


def _cut(lines: list[str]) -> list[str]:
    """What would pass column 72 goes on in the next line."""
    found = []
    for line in lines:
        while len(line) > 64:
            at = line.rindex(" ", 0, 64)
            found.append(line[:at])
            line = "            " + line[at:].lstrip()
        found.append(line)
    return found
