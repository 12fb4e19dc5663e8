"""What a result looks like before it is drawn (plain or rich): lines, facts and tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Line(NamedTuple):
    """A plain sentence."""

    text: str


class Facts(NamedTuple):
    """Names with values, one below the other."""

    rows: Sequence[tuple[str, str]]


class Table(NamedTuple):
    """Rows under a header; `right` are the columns of numbers, from 0."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: frozenset[int] = frozenset()


Block = Line | Facts | Table
