"""Names as a batch host has them: of jobs, steps, DDs, members, data sets and generations."""

from __future__ import annotations

import re
from dataclasses import dataclass

LONGEST = 44  # characters of a data set's name
_NAME = re.compile(r"[A-Z@#$][A-Z0-9@#$]{0,7}")
_QUALIFIER = re.compile(r"[A-Z@#$][A-Z0-9@#$-]{0,7}")
_GENERATION = re.compile(r"G(\d{4})V(\d{2})")
_IN_BRACKETS = re.compile(r"([^()]+)\(([^()]*)\)")
_RELATIVE = re.compile(r"0|[+-]\d{1,3}")


class NotAName(ValueError):
    """Text that is no name of its kind; the message says which kind."""


@dataclass(frozen=True)
class DataSetName:
    """`dsn`, and what stood in brackets behind it: a member, or a generation counted from the newest."""

    dsn: str
    member: str | None = None
    relative: int | None = None

    def __str__(self) -> str:
        if self.member is not None:
            return f"{self.dsn}({self.member})"
        if self.relative is not None:
            return f"{self.dsn}({self.relative:+d})" if self.relative else f"{self.dsn}(0)"
        return self.dsn


def is_name(text: str) -> bool:
    """One to eight of A-Z 0-9 @ # $, not a digit first: jobs, steps, DDs, members."""
    return _NAME.fullmatch(text) is not None


def is_data_set(text: str) -> bool:
    """Qualifiers between dots, 44 characters at most."""
    return len(text) <= LONGEST and all(_QUALIFIER.fullmatch(part) for part in text.split("."))


def read_data_set(text: str) -> DataSetName:
    """`A.B`, `A.B(MEMBER)` or `A.B(+1)`. Raises NotAName."""
    found = _IN_BRACKETS.fullmatch(text)
    dsn, inner = (found[1], found[2]) if found else (text, None)
    if not is_data_set(dsn):
        raise NotAName(f"{dsn!r} is no name of a data set")
    if inner is None:
        return DataSetName(dsn)
    if _RELATIVE.fullmatch(inner):
        return DataSetName(dsn, relative=int(inner))
    if not is_name(inner):
        raise NotAName(f"{inner!r} is no name of a member")
    return DataSetName(dsn, member=inner)


def generation_name(base: str, number: int) -> str:
    """The data set of generation `number` of `base`."""
    return f"{base}.G{number:04d}V00"


def generation_number(base: str, dsn: str) -> int | None:
    """Which generation of `base` the data set is; None if it is none."""
    head, dot, last = dsn.rpartition(".")
    found = _GENERATION.fullmatch(last)
    return int(found[1]) if dot and head == base and found else None
